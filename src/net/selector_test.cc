#include "net/selector.h"

#include <gtest/gtest.h>

#include "support/test_sa.h"

namespace cygnet {
namespace {

FlowKey Flow(const std::string& src, const std::string& dst, uint16_t sport = 1000,
             uint16_t dport = 80, uint8_t proto = 6) {
  FlowKey f;
  f.saddr = test::Ip(src);
  f.daddr = test::Ip(dst);
  f.family = test::Addr(src).family;
  f.sport = sport;
  f.dport = dport;
  f.proto = proto;
  return f;
}

TEST(SelectorTest, EmptySelectorTakesItsFamilyOnly) {
  Selector s;
  s.family = IpFamily::kV4;
  EXPECT_TRUE(s.Matches(Flow("10.1.0.1", "10.2.0.1"), 0));
  EXPECT_FALSE(s.Matches(Flow("fd01::1", "fd02::1"), 0));
}

TEST(SelectorTest, AddressesByPrefix) {
  const Selector s = test::MakeSelector("10.1.0.0/16", "10.2.0.128/25");
  EXPECT_TRUE(s.Matches(Flow("10.1.255.1", "10.2.0.128"), 0));
  EXPECT_FALSE(s.Matches(Flow("10.1.255.1", "10.2.0.127"), 0));
  EXPECT_FALSE(s.Matches(Flow("10.0.255.1", "10.2.0.128"), 0));
}

TEST(SelectorTest, HostBitsBeyondThePrefixDoNotCountForMatchingButForIdentity) {
  const Selector network = test::MakeSelector("10.1.0.0/16", "10.2.0.0/16");
  const Selector host_bits = test::MakeSelector("10.1.2.3/16", "10.2.0.0/16");
  EXPECT_TRUE(host_bits.Matches(Flow("10.1.9.9", "10.2.0.1"), 0));
  EXPECT_FALSE(network == host_bits);
}

TEST(SelectorTest, PortsByMask) {
  Selector s = test::MakeSelector("0.0.0.0/0", "0.0.0.0/0", 6);
  s.dport = 80;
  s.dport_mask = 0xffff;
  EXPECT_TRUE(s.Matches(Flow("10.1.0.1", "10.2.0.1", 5, 80), 0));
  EXPECT_FALSE(s.Matches(Flow("10.1.0.1", "10.2.0.1", 5, 81), 0));
  s.dport_mask = 0xfffe;
  EXPECT_TRUE(s.Matches(Flow("10.1.0.1", "10.2.0.1", 5, 81), 0));
  EXPECT_FALSE(s.Matches(Flow("10.1.0.1", "10.2.0.1", 5, 82), 0));
  s.sport = 1024;
  s.sport_mask = 0xfc00;
  EXPECT_TRUE(s.Matches(Flow("10.1.0.1", "10.2.0.1", 2047, 80), 0));
  EXPECT_FALSE(s.Matches(Flow("10.1.0.1", "10.2.0.1", 2048, 80), 0));
}

TEST(SelectorTest, ProtocolZeroIsAny) {
  EXPECT_TRUE(test::MakeSelector("0.0.0.0/0", "0.0.0.0/0")
                  .Matches(Flow("10.1.0.1", "10.2.0.1", 0, 0, 89), 0));
  EXPECT_FALSE(
      test::MakeSelector("0.0.0.0/0", "0.0.0.0/0", 17).Matches(Flow("10.1.0.1", "10.2.0.1"), 0));
}

TEST(SelectorTest, InterfaceZeroIsAny) {
  Selector s = test::MakeSelector("0.0.0.0/0", "0.0.0.0/0");
  EXPECT_TRUE(s.Matches(Flow("10.1.0.1", "10.2.0.1"), 3));
  s.ifindex = 3;
  EXPECT_TRUE(s.Matches(Flow("10.1.0.1", "10.2.0.1"), 3));
  EXPECT_FALSE(s.Matches(Flow("10.1.0.1", "10.2.0.1"), 4));
  EXPECT_FALSE(s.Matches(Flow("10.1.0.1", "10.2.0.1"), 0));
}

TEST(SelectorTest, IpTypeAndUserAreCarriedAndNotMatched) {
  Selector s = test::MakeSelector("0.0.0.0/0", "0.0.0.0/0");
  s.user = 1000;
  EXPECT_TRUE(s.Matches(Flow("10.1.0.1", "10.2.0.1"), 0));
}

TEST(SelectorTest, TextIsThatOfIproute2) {
  Selector s = test::MakeSelector("10.1.0.0/16", "10.2.0.0/24", 6);
  s.dport = 80;
  s.dport_mask = 0xffff;
  EXPECT_EQ(ToString(s), "src 10.1.0.0/16 dst 10.2.0.0/24 proto 6 dport 80");
  s.dport_mask = 0xfff0;
  EXPECT_EQ(ToString(s), "src 10.1.0.0/16 dst 10.2.0.0/24 proto 6 dport 80/65520");
}

TEST(SelectorTest, TextOfGreNamesItsKey) {
  Selector s = test::MakeSelector("10.1.0.0/16", "10.2.0.0/24", 47);
  s.sport = 1;
  s.dport = 5;
  s.sport_mask = 0xffff;
  s.dport_mask = 0xffff;
  EXPECT_EQ(ToString(s), "src 10.1.0.0/16 dst 10.2.0.0/24 proto 47 key 65541");
}

// Used as an SA's selector.
TEST(SelectorTest, AdmitsWithoutFamilyOrWithoutAnythingSaid) {
  const FlowKey v4 =
      ParseIpPacket(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, {}))->flow;
  const FlowKey v6 = ParseIpPacket(test::Udp({.src = "fd01::1", .dst = "fd02::1"}, 1, 2, {}))->flow;
  Selector any;
  EXPECT_TRUE(any.Admits(v4, 0) && any.Admits(v6, 0));
  any.family = IpFamily::kV4;  // the stack's default for a client that named no family
  EXPECT_TRUE(any.Admits(v4, 0) && any.Admits(v6, 0));
  Selector host;
  host.daddr = v4.daddr;
  host.prefixlen_d = 32;
  EXPECT_TRUE(host.Admits(v4, 0));
  EXPECT_FALSE(host.Admits(v6, 0));
  host.family = IpFamily::kV4;
  EXPECT_TRUE(host.Admits(v4, 0));
  host.family = IpFamily::kV6;
  EXPECT_FALSE(host.Admits(v4, 0));
  Selector udp;
  udp.proto = 17;
  udp.dport = 2;
  udp.dport_mask = 0xffff;
  EXPECT_TRUE(udp.Admits(v4, 0) && udp.Admits(v6, 0));
  udp.dport = 3;
  EXPECT_FALSE(udp.Admits(v4, 0) || udp.Admits(v6, 0));
}

// `ip xfrm state add … sel … dev nic0`: traffic through another interface does not match the SA.
TEST(SelectorTest, AnInterfaceIsAskedWhateverElseIsSaid) {
  const FlowKey v4 =
      ParseIpPacket(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, {}))->flow;
  Selector alone;
  alone.ifindex = 7;
  EXPECT_FALSE(alone.SaysNothing());
  EXPECT_TRUE(alone.Admits(v4, 7));
  EXPECT_FALSE(alone.Admits(v4, 8) || alone.Admits(v4, 0));
  Selector host = alone;
  host.daddr = v4.daddr;
  host.prefixlen_d = 32;
  EXPECT_TRUE(host.Admits(v4, 7));
  EXPECT_FALSE(host.Admits(v4, 8));
}

}  // namespace
}  // namespace cygnet
