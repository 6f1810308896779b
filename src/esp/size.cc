#include "esp/size.h"

#include <algorithm>

namespace cygnet::esp {
namespace {

uint32_t LessOrZero(uint32_t a, uint32_t b) { return a > b ? a - b : 0; }

}  // namespace

// Linux computes its value as if the inner header were as long as the outer one and, for IPv4, as
// if the pseudo-header were always present. With IPv6 inside, that is up to 20 bytes too little, so
// this function returns what fits. 4-in-6 it may be a few bytes too much with 16-byte blocks: such
// a packet leaves in two fragments, as from Linux. 4-in-4 with options it may be too much, too, but
// DF forbids fragments there, so the smaller value is returned.
uint32_t BeetInnerMtu(const OutboundSa& sa, uint32_t path_mtu, uint32_t inner_header) {
  const bool v4 = sa.inner_family == IpFamily::kV4;
  const uint32_t outer = IpHeaderOf(sa.family);
  const uint32_t fixed = FrontLength(sa) + sa.layout.icv;
  const uint32_t set_aside = v4 ? kBeetPhReserve + outer - kIpv4Header : 0;
  const uint32_t linux_payload = LargestPayload(sa, LessOrZero(path_mtu, fixed + set_aside));
  const uint32_t options = v4 ? LessOrZero(inner_header, kIpv4Header) : 0;
  const uint32_t payload =
      LessOrZero(LargestPayload(sa, LessOrZero(path_mtu, fixed)), BeetPseudoHeader(options));
  if (linux_payload == 0 || payload == 0) return 0;
  const uint32_t fits = payload + IpHeaderOf(sa.inner_family);
  if (!v4) return fits;
  const uint32_t as_linux = linux_payload + outer;
  return sa.family == IpFamily::kV6 ? as_linux : std::min(as_linux, fits);
}

uint32_t TfcPadding(const OutboundSa& sa, uint32_t inner_length, uint32_t path_mtu) {
  if (sa.tfc_pad == 0) return 0;
  const uint32_t target = std::min(sa.tfc_pad, InnerMtu(sa, path_mtu, 0));
  return target > inner_length ? target - inner_length : 0;
}

uint32_t WireLength(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header) {
  uint32_t outside = 0;
  uint32_t payload = inner_length;
  if (sa.mode == SaMode::kBeet) {
    const bool v4 = sa.inner_family == IpFamily::kV4;
    payload -= IpHeaderOf(sa.inner_family);
    payload += BeetPseudoHeader(v4 ? inner_header - kIpv4Header : 0);
  } else if (sa.mode != SaMode::kTunnel) {
    outside = inner_header;
    payload -= inner_header;
  }
  return outside + FrontLength(sa) + payload + PadFor(payload, sa.layout.align) + kTrailer +
         sa.layout.icv;
}

uint32_t Overhead(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header) {
  return WireLength(sa, inner_length, inner_header) - inner_length;
}

}  // namespace cygnet::esp
