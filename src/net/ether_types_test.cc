#include "net/ether_types.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace cygnet
