#include "policy/kernel_order.h"

#include <algorithm>

namespace cygnet {
namespace {

constexpr unsigned kLeastBitsV4 = 16;  // INEXACT_PREFIXLEN_IPV4
constexpr unsigned kLeastBitsV6 = 48;  // INEXACT_PREFIXLEN_IPV6

// True if so few address bits are fixed that the kernel keeps no tree for them.
bool SaysLittle(const IpAddress& address, uint8_t bits, IpFamily family) {
  return address.IsAny() || bits < (family == IpFamily::kV4 ? kLeastBitsV4 : kLeastBitsV6);
}

}  // namespace

KernelList KernelListOf(const Selector& s) {
  const unsigned whole = AddressBits(s.family);
  if (s.prefixlen_s == whole && s.prefixlen_d == whole) return KernelList::kHosts;
  const bool little_s = SaysLittle(s.saddr, s.prefixlen_s, s.family);
  if (SaysLittle(s.daddr, s.prefixlen_d, s.family)) {
    return little_s ? KernelList::kAny : KernelList::kSource;
  }
  return little_s ? KernelList::kDestination : KernelList::kBoth;
}

bool AreNeighbours(const Selector& a, const Selector& b) {
  return a.family == b.family && KernelListOf(a) == KernelListOf(b) &&
         PrefixMatches(a.saddr, b.saddr, std::min(a.prefixlen_s, b.prefixlen_s)) &&
         PrefixMatches(a.daddr, b.daddr, std::min(a.prefixlen_d, b.prefixlen_d));
}

}  // namespace cygnet
