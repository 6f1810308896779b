#include "net/ether_types.h"

#include <algorithm>

namespace cygnet {

bool IsArp(std::span<const uint8_t> l3) {
  constexpr uint64_t kEthernetAndIpv4 = 0x0001080006'04;  // types and lengths of both addresses
  if (l3.size() < kArpLength) return false;
  const uint64_t kind = uint64_t{LoadBe32(l3.data())} << 16 | LoadBe16(l3.data() + 4);
  const uint16_t operation = LoadBe16(l3.data() + 6);
  return kind == kEthernetAndIpv4 && (operation == 1 || operation == 2);
}

bool CarriesIp(uint16_t type) {
  constexpr std::array<uint16_t, 12> kTypes = {
      kEtherTypeIpv4, 0x6558,                          // transparent Ethernet bridging
      0x8100,         kEtherTypeIpv6, 0x8847, 0x8848,  // MPLS
      0x8864,                                          // PPPoE session
      0x880b,                                          // PPP
      0x88a8,         0x88e7,                          // service and backbone tags
      0x9100,         0x9200};
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

}  // namespace cygnet
