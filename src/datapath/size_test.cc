// Packets that exceed the path MTU, from host to host: fragments of ESP, path MTU, host fragments,
// and packets that wait for their SA.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/esp_view.h"
#include "net/ip_protocol.h"
#include "support/fragment_builder.h"
#include "support/test_host.h"

namespace cygnet::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

IpFields Flow(bool v4, bool dont_fragment = false) {
  IpFields f;
  f.src = v4 ? "10.1.0.1" : "fd01::1";
  f.dst = v4 ? "10.2.0.1" : "fd02::1";
  f.dont_fragment = dont_fragment;
  return f;
}

// A UDP packet whose IP packet has `size` bytes.
Bytes Inner(std::size_t size, const IpFields& f) {
  const std::size_t header = Addr(f.src).family == IpFamily::kV4 ? 20 : 40;
  return Udp(f, 1000, 2000, Pattern(size - header - 8));
}

struct Ends {
  bool inner_v4;
  bool outer_v4;
};

SaOptions Tunnel(bool v4) {
  SaOptions o;
  o.src = v4 ? "192.0.2.1" : "2001:db8::1";
  o.dst = v4 ? "192.0.2.2" : "2001:db8::2";
  return o;
}

class SizeTest : public testing::TestWithParam<Ends> {
 protected:
  void SetUp() override {
    const bool v4 = GetParam().inner_v4;
    pair_.Protect(Tunnel(GetParam().outer_v4), v4 ? "10.1.0.0/16" : "fd01::/64",
                  v4 ? "10.2.0.0/16" : "fd02::/64");
  }
  TestPair pair_;
};

// 1500 bytes that may be cut (IPv6: 1280, the minimum MTU of any path) arrive whole.
TEST_P(SizeTest, OuterPacketIsCutAndPutTogether) {
  const Bytes inner = Inner(GetParam().inner_v4 ? 1500 : 1280, Flow(GetParam().inner_v4));
  // A packet of IPv6's minimum MTU needs no cut on a wire of 1500.
  pair_.sa_a->outbound()->path_mtu = GetParam().inner_v4 ? 0 : 1280;
  pair_.sa_a->outbound()->path_mtu_until = pair_.a.clock.WallSeconds() + 600;
  const auto delivered = pair_.Deliver(Frame(inner));
  EXPECT_THAT(delivered, ElementsAre(Frame(inner)));
  EXPECT_THAT(pair_.wire, SizeIs(2));
  for (const Bytes& frame : pair_.wire) EXPECT_LE(frame.size(), 14u + 1500u);
  EXPECT_EQ(pair_.a.AllDrops() + pair_.b.AllDrops(), 0u);
}

TEST_P(SizeTest, FragmentsArriveInAnyOrder) {
  const Bytes inner = Inner(GetParam().inner_v4 ? 1500 : 1280, Flow(GetParam().inner_v4));
  pair_.sa_a->outbound()->path_mtu = GetParam().outer_v4 ? 600 : 1280;
  pair_.sa_a->outbound()->path_mtu_until = pair_.a.clock.WallSeconds() + 600;
  std::vector<Bytes> wire = pair_.a.Send(Frame(inner));
  ASSERT_GT(wire.size(), 1u);
  std::reverse(wire.begin(), wire.end());
  for (const Bytes& frame : wire) pair_.b.FromWire(frame);
  pair_.b.Run();
  EXPECT_THAT(pair_.b.ToHost(), ElementsAre(Frame(inner)));
}

TEST_P(SizeTest, MissingFragmentTimesOutAndMovesNothing) {
  const Bytes inner = Inner(GetParam().inner_v4 ? 1500 : 1280, Flow(GetParam().inner_v4));
  pair_.sa_a->outbound()->path_mtu = GetParam().outer_v4 ? 600 : 1280;
  pair_.sa_a->outbound()->path_mtu_until = pair_.a.clock.WallSeconds() + 600;
  const std::vector<Bytes> wire = pair_.a.Send(Frame(inner));
  ASSERT_GT(wire.size(), 1u);
  EXPECT_THAT(pair_.b.Receive(wire[0]), IsEmpty());
  pair_.b.clock.monotonic_ns += 61'000'000'000;
  pair_.b.Run();
  EXPECT_EQ(pair_.b.Drops(DropReason::kInFragmentTimeout), 1u);
  EXPECT_EQ(pair_.sa_b->inbound()->replay.highest(), 0u);
}

TEST_P(SizeTest, SenderThatForbidsCuttingIsToldTheRightMtu) {
  const bool v4 = GetParam().inner_v4;
  // The kernel's formula, GCM: ((mtu - header - 16) & ~3) - 2 with header 36 or 56.
  const std::size_t fits = ((1500 - (GetParam().outer_v4 ? 36 : 56) - 16) & ~3) - 2;
  EXPECT_THAT(pair_.a.Send(Frame(Inner(fits, Flow(v4, true)))), SizeIs(1));
  EXPECT_THAT(pair_.a.Send(Frame(Inner(fits + 1, Flow(v4, true)))), IsEmpty());
  const auto told = pair_.a.ToHost();
  ASSERT_THAT(told, SizeIs(1));
  const std::size_t icmp = 14 + (v4 ? 20 : 40);
  EXPECT_EQ(told[0][icmp], v4 ? 3 : 2);
  const uint32_t mtu = v4 ? LoadBe16(&told[0][icmp + 6]) : LoadBe32(&told[0][icmp + 4]);
  EXPECT_EQ(mtu, fits);
}

std::string NameOf(const testing::TestParamInfo<Ends>& info) {
  return std::string(info.param.inner_v4 ? "4in" : "6in") + (info.param.outer_v4 ? "4" : "6");
}
INSTANTIATE_TEST_SUITE_P(Families, SizeTest,
                         testing::Values(Ends{true, true}, Ends{true, false}, Ends{false, true},
                                         Ends{false, false}),
                         NameOf);

// A router's "fragmentation needed", quoting what A sent.
Bytes FragNeeded(const Bytes& sent, uint32_t mtu) {
  IpFields f;
  f.src = "198.51.100.9";
  f.dst = "192.0.2.1";
  f.proto = kProtoIcmp;
  Bytes message = {3, 4, 0, 0, 0, 0, 0, 0};
  Put16(&message, 6, mtu);
  message = message + Slice(sent, {14, 14 + 60});
  Put16(&message, 2, NaiveChecksum(message));
  return Frame(IpPacket(f, message));
}

TEST(PathMtuPipelineTest, IcmpAboutTheOuterPacketReachesTheInnerSender) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const auto sent = pair.a.Send(Frame(Inner(1400, Flow(true, true))));
  ASSERT_THAT(sent, SizeIs(1));
  pair.a.Receive(FragNeeded(sent[0], 1400));
  EXPECT_EQ(pair.sa_a->outbound()->path_mtu.load(), 1400u);
  EXPECT_THAT(pair.a.Send(Frame(Inner(1400, Flow(true, true)))), IsEmpty());
  const auto told = pair.a.ToHost();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(LoadBe16(&told[0][14 + 20 + 6]), ((1400 - 36 - 16) & ~3) - 2);
  // A packet that may be cut is cut.
  EXPECT_THAT(pair.Deliver(Frame(Inner(1400, Flow(true)))), SizeIs(1));
  EXPECT_THAT(pair.wire, SizeIs(2));
}

TEST(PathMtuPipelineTest, IcmpThatGuessesTheSpiChangesNothing) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  auto sent = pair.a.Send(Frame(Inner(1400, Flow(true, true))));
  ASSERT_THAT(sent, SizeIs(1));
  Put32(&sent[0], 34, 0x1001);
  pair.a.Receive(FragNeeded(sent[0], 600));
  EXPECT_EQ(pair.sa_a->outbound()->path_mtu.load(), 0u);
}

TEST(PathMtuPipelineTest, OversizePacketOfAnOffloadedSaIsSealedInSoftware) {
  TestPair pair({.nic = true}, {});
  SaOptions options;
  options.offload = OffloadRequest{.mode = OffloadMode::kCrypto, .ifindex = TestHost::kIfindex};
  pair.sa_a = pair.a.Add(options);
  pair.sa_b = pair.b.Add(SaOptions{});
  pair.AddPolicies({}, "10.1.0.0/16", "10.2.0.0/16");
  const Bytes big = Frame(Inner(1500, Flow(true)));
  EXPECT_THAT(pair.Deliver(big), ElementsAre(big));
  EXPECT_EQ(pair.a.nic().offload_stats().sealed, 0u);
  const Bytes small = Frame(Inner(500, Flow(true)));
  EXPECT_THAT(pair.Deliver(small), ElementsAre(small));
  EXPECT_EQ(pair.a.nic().offload_stats().sealed, 1u);
}

// Transport mode protects the whole datagram of the host's fragments.
TEST(HostFragmentsTest, TransportModeProtectsTheDatagram) {
  TestPair pair;
  pair.Protect({.mode = SaMode::kTransport}, "192.0.2.1/32", "192.0.2.2/32");
  IpFields f;
  f.src = "192.0.2.1";
  f.dst = "192.0.2.2";
  const Bytes whole = Udp(f, 1000, 2000, Pattern(3000));
  const Bytes data = Slice(whole, {20, whole.size()});
  for (const Cut& cut :
       {Cut{0, 1480, true}, Cut{1480, 2960, true}, Cut{2960, data.size(), false}}) {
    pair.a.FromHost(Frame(FragmentOf(f, data, cut)));
  }
  pair.a.Run();
  const auto wire = pair.a.ToWire();
  EXPECT_THAT(wire, SizeIs(3));
  for (const Bytes& frame : wire) pair.b.FromWire(frame);
  pair.b.Run();
  const auto delivered = pair.b.ToHost();
  ASSERT_THAT(delivered, SizeIs(1));
  EXPECT_EQ(Slice(delivered[0], {34, delivered[0].size()}), data);
  EXPECT_EQ(pair.a.AllDrops() + pair.b.AllDrops(), 0u);
}

// IPv6 may not be cut en route, but this datagram's source has already cut it.
TEST(HostFragmentsTest, TransportModeProtectsTheDatagramOfIpv6) {
  TestPair pair;
  SaOptions options = Tunnel(false);
  options.mode = SaMode::kTransport;
  pair.Protect(options, "2001:db8::1/128", "2001:db8::2/128");
  IpFields f;
  f.src = "2001:db8::1";
  f.dst = "2001:db8::2";
  const Bytes whole = Udp(f, 1000, 2000, Pattern(3000));
  const Bytes data = Slice(whole, {40, whole.size()});
  for (const Cut& cut :
       {Cut{0, 1448, true}, Cut{1448, 2896, true}, Cut{2896, data.size(), false}}) {
    pair.a.FromHost(Frame(FragmentOf(f, data, cut)));
  }
  pair.a.Run();
  for (const Bytes& frame : pair.a.ToWire()) pair.b.FromWire(frame);
  pair.b.Run();
  const auto delivered = pair.b.ToHost();
  ASSERT_THAT(delivered, SizeIs(1));
  EXPECT_EQ(Slice(delivered[0], {54, delivered[0].size()}), data);
}

TEST(HostFragmentsTest, PolicyThatAsksForPortsDecidesTheDatagram) {
  TestPair pair;
  pair.sa_a = pair.a.Add(SaOptions{});
  pair.sa_b = pair.b.Add(SaOptions{});
  PolicySpec out =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor({})});
  out.selector.proto = 17;
  out.selector.dport = 2000;
  out.selector.dport_mask = 0xffff;
  pair.a.AddPolicy(out);
  pair.b.AddPolicy(
      MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor({})}));
  const IpFields f = Flow(true);
  const Bytes whole = Udp(f, 1000, 2000, Pattern(2000));
  const Bytes data = Slice(whole, {20, whole.size()});
  // The later fragment first.
  pair.a.FromHost(Frame(FragmentOf(f, data, {1480, data.size(), false})));
  pair.a.FromHost(Frame(FragmentOf(f, data, {0, 1480, true})));
  pair.a.Run();
  for (const Bytes& frame : pair.a.ToWire()) {
    EXPECT_EQ(frame[23], kProtoEsp);
    pair.b.FromWire(frame);
  }
  pair.b.Run();
  const auto delivered = pair.b.ToHost();
  ASSERT_THAT(delivered, SizeIs(1));
  EXPECT_EQ(Slice(delivered[0], {34, delivered[0].size()}), data);
}

TEST(HostFragmentsTest, TunnelModeTakesThemAsTheyAre) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  IpFields f = Flow(true);
  f.src = "10.1.0.9";  // not an address of this host, so it cannot be its IKE
  f.dst = "10.2.0.9";
  const Bytes data = Slice(Udp(f, 1000, 2000, Pattern(1000)), {20, 1028});
  const Bytes first = Frame(FragmentOf(f, data, {0, 800, true}));
  EXPECT_THAT(pair.Deliver(first), IsEmpty());  // waits for the rest
  EXPECT_THAT(pair.wire, testing::SizeIs(1));
  const Bytes last = Frame(FragmentOf(f, data, {800, 1008, false}));
  EXPECT_THAT(pair.Deliver(last), ElementsAre(first, last));
}

class HoldTest : public testing::Test {
 protected:
  void SetUp() override {
    pair_.a.path.hold_larval = true;
    pair_.AddPolicies({}, "10.1.0.0/16", "10.2.0.0/16");
    pair_.b.Add(SaOptions{});
  }
  Bytes Packet(std::size_t n) { return Frame(Inner(100 + n, Flow(true))); }
  TestPair pair_;
};

TEST_F(HoldTest, PacketsLeaveInOrderOnceTheSaIsThere) {
  for (std::size_t n = 0; n < 3; ++n) EXPECT_THAT(pair_.a.Send(Packet(n)), IsEmpty());
  EXPECT_EQ(pair_.a.AllDrops(), 0u);
  EXPECT_THAT(pair_.a.Events(), Not(IsEmpty()));
  pair_.a.Add(SaOptions{});
  pair_.a.Run();
  for (const Bytes& frame : pair_.a.ToWire()) pair_.b.FromWire(frame);
  pair_.b.Run();
  EXPECT_THAT(pair_.b.ToHost(), ElementsAre(Packet(0), Packet(1), Packet(2)));
}

TEST_F(HoldTest, MoreThanAHundredOfAPolicyAreDropped) {
  for (std::size_t n = 0; n < 103; ++n) pair_.a.Send(Packet(n));
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutHoldFull), 3u);
}

TEST_F(HoldTest, WithoutAnSaTheyAreGivenUp) {
  pair_.a.Send(Packet(0));
  for (int i = 0; i < 200; ++i) {
    pair_.a.clock.monotonic_ns += 1'000'000'000;
    pair_.a.Run();
  }
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutHoldTimeout), 1u);
}

}  // namespace
}  // namespace cygnet::test
