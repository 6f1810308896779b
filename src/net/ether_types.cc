#include "net/ether_types.h"

#include <algorithm>
#include <iterator>

namespace cygnet {

bool IsArp(std::span<const uint8_t> l3) {
  constexpr uint64_t kEthernetAndIpv4 = 0x0001080006'04;  // types and lengths of both addresses
  if (l3.size() < kArpLength) return false;
  const uint64_t kind = uint64_t{LoadBe32(l3.data())} << 16 | LoadBe16(l3.data() + 4);
  const uint16_t operation = LoadBe16(l3.data() + 6);
  return kind == kEthernetAndIpv4 && (operation == 1 || operation == 2);
}

// The types of linux/if_ether.h and of the registries whose frames hold a packet or a frame of
// others. Types that end at the next station, or hold data of one protocol alone, are not here.
bool CarriesIp(uint16_t type) {
  constexpr uint16_t kTypes[] = {
      kEtherTypeIpv4, kEtherTypeIpv6,
      0x0805,  // X.25 (RFC 1356)
      0x08ff,  // AX.25
      0x22eb,  // ERSPAN, type III
      0x22f3,  // TRILL
      0x4305,  // B.A.T.M.A.N.-Advanced
      0x6558,  // transparent Ethernet bridging
      0x6559,  // frame relay
      0x809b,  // AppleTalk
      0x8100,  // VLAN
      0x876b,  // compressed TCP/IP (RFC 1144)
      0x876d,  // secure data (RFC 1701)
      0x880b,  // PPP
      0x883e,  // WCCP
      0x8847,  // MPLS
      0x8848,  // MPLS, multicast
      0x884c,  // MPOA
      0x8864,  // PPPoE session
      0x886c,  // tunnel of HPNA and wireless links
      0x8870,  // long LLC frames
      0x8874,  // tag of Broadcom switches
      0x8880,  // tag of Vitesse switches
      0x8884,  // ATM
      0x8899,  // tag of Realtek switches
      0x88a4,  // EtherCAT, for its Ethernet over EtherCAT
      0x88a8,  // service tag
      0x88bb,  // LWAPP
      0x88be,  // ERSPAN, type II
      0x88e5,  // MACsec
      0x88e7,  // backbone service tag
      0x88fb,  // PRP, and HSR of version 0
      0x8903,  // FabricPath
      0x8906,  // Fibre Channel, for its IP (RFC 4338)
      0x8909,  // Cisco metadata
      0x8915,  // InfiniBand, for its IP (RFC 4391)
      0x8926,  // VN-tag
      0x892f,  // HSR
      0x893b,  // label of TRILL (RFC 7172)
      0x893f,  // 802.1BR tag
      0x8946,  // channel of TRILL (RFC 7978)
      0x8947,  // GeoNetworking, for its IPv6
      0x894f,  // network service header
      0x9100,  // QinQ
      0x9200,  // QinQ
      0x9300,  // QinQ
      0xa0ed,  // LoWPAN (RFC 7973)
      0xdada,  // DSA tag
      0xdadb,  // DSA tag
      0xe001,  // DSA tag
      0xed3e,  // IFE (RFC 8013)
      0xf1c1,  // 802.1CB redundancy tag
  };
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

}  // namespace cygnet
