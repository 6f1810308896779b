#include "net/ether_types.h"

#include <gtest/gtest.h>
#include <linux/if_ether.h>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;

Bytes Arp(uint16_t operation) {
  Bytes arp = {0, 1, 8, 0, 6, 4, 0, 0};
  test::Put16(&arp, 6, operation);
  return arp + Bytes(20, 7);
}

TEST(EtherTypesTest, ArpIsRequestOrReplyForIpv4OverEthernet) {
  EXPECT_TRUE(IsArp(Arp(1)));
  EXPECT_TRUE(IsArp(Arp(2)));
  EXPECT_TRUE(IsArp(Arp(1) + Bytes(18, 0)));  // Ethernet padding
  EXPECT_FALSE(IsArp(Arp(3)));                // reverse ARP and others
  for (std::size_t i = 0; i < 6; ++i) {
    Bytes other = Arp(1);
    other[i] ^= 1;
    EXPECT_FALSE(IsArp(other)) << i;
  }
  for (std::size_t n = 0; n < 28; ++n) {
    Bytes cut = Arp(1);
    cut.resize(n);
    EXPECT_FALSE(IsArp(cut)) << n;
  }
}

TEST(EtherTypesTest, WhatIsListedPassesAndNoLengthDoes) {
  EtherTypes types;
  EXPECT_FALSE(types.Has(0x88cc));
  const std::array<uint16_t, 2> listed = {0x88cc, 0x888e};
  types.Set(listed);
  EXPECT_TRUE(types.Has(0x88cc));
  EXPECT_TRUE(types.Has(0x888e));
  EXPECT_FALSE(types.Has(0x8864));
  EXPECT_FALSE(types.Has(0));
  EXPECT_FALSE(types.Has(38));
  types.Set({});
  EXPECT_FALSE(types.Has(0x88cc));
}

// Bug: only some tags and tunnels were refused, and a frame of another kind took IP past policy.
TEST(EtherTypesTest, TypesThatHoldPacketsOrFramesCarryIp) {
  constexpr uint16_t kTypes[] = {
      ETH_P_IP,       ETH_P_IPV6,      ETH_P_X25,       ETH_P_BPQ,      ETH_P_ERSPAN2,
      ETH_P_BATMAN,   ETH_P_TEB,       ETH_P_ATALK,     ETH_P_8021Q,    ETH_P_ERSPAN,
      ETH_P_WCCP,     ETH_P_MPLS_UC,   ETH_P_MPLS_MC,   ETH_P_ATMMPOA,  ETH_P_PPP_SES,
      ETH_P_LINK_CTL, ETH_P_ATMFATE,   ETH_P_REALTEK,   ETH_P_ETHERCAT, ETH_P_8021AD,
      ETH_P_MACSEC,   ETH_P_8021AH,    ETH_P_PRP,       ETH_P_FCOE,     ETH_P_IBOE,
      ETH_P_HSR,      ETH_P_NSH,       ETH_P_QINQ1,     ETH_P_QINQ2,    ETH_P_QINQ3,
      ETH_P_EDSA,     ETH_P_DSA_8021Q, ETH_P_DSA_A5PSW, ETH_P_IFE,
      0x22f3,   // TRILL
      0x8870,   // long LLC frames
      0x8926,   // VN-tag
      0x893f,   // 802.1BR tag
      0xa0ed,   // LoWPAN
      0xf1c1};  // 802.1CB tag
  for (const uint16_t type : kTypes) EXPECT_TRUE(CarriesIp(type)) << std::hex << type;
}

TEST(EtherTypesTest, TypesOfOneProtocolAloneCarryNoIp) {
  constexpr uint16_t kTypes[] = {ETH_P_TSN,  ETH_P_PAUSE, ETH_P_SLOW,     ETH_P_PPP_DISC, ETH_P_PAE,
                                 ETH_P_AOE,  ETH_P_LLDP,  ETH_P_PROFINET, ETH_P_802_EX1,  ETH_P_MRP,
                                 ETH_P_1588, ETH_P_CFM,   ETH_P_FIP,      ETH_P_TIPC};
  for (const uint16_t type : kTypes) EXPECT_FALSE(CarriesIp(type)) << std::hex << type;
}

}  // namespace
}  // namespace cygnet
