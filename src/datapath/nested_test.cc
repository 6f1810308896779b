// Chains of SAs: several templates in a policy (RFC 4301 appendix E; up to 6 as in the kernel).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/test_host.h"

namespace cygnet::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

Bytes InnerFrame(std::size_t payload = 64) {
  return Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1000, 2000, Pattern(payload)));
}

class NestedTest : public testing::Test {
 protected:
  // Templates innermost first, as clients pass them, at both ends.
  void Protect(const std::vector<SaOptions>& chain, const std::vector<SaOptions>& demanded) {
    for (const SaOptions& o : chain) {
      pair_.a.Add(o);
      pair_.b.Add(o);
    }
    std::vector<Template> out;
    std::vector<Template> in;
    for (const SaOptions& o : chain) out.push_back(TemplateFor(o));
    for (const SaOptions& o : demanded) in.push_back(TemplateFor(o));
    pair_.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", out));
    pair_.b.AddPolicy(MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16", in));
  }
  void Protect(const std::vector<SaOptions>& chain) { Protect(chain, chain); }
  TestPair pair_;
};

// The n-th transform: SPI 0x100n, reqid n.
SaOptions Step(uint32_t n, SaMode mode = SaMode::kTunnel) {
  return {.spi = 0x1000 + n, .mode = mode, .reqid = n};
}
SaOptions StepV6(uint32_t n, SaMode mode = SaMode::kTunnel) {
  return {.src = "2001:db8::1", .dst = "2001:db8::2", .spi = 0x1000 + n, .mode = mode, .reqid = n};
}

TEST_F(NestedTest, TunnelInTunnel) {
  Protect({Step(1), Step(2)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
  ASSERT_THAT(pair_.wire, SizeIs(1));
  // The outermost SA is the last template's.
  EXPECT_EQ(LoadBe32(pair_.wire[0].data() + 14 + 20), 0x1002u);
  EXPECT_EQ(pair_.b.AllDrops(), 0u);
}

TEST_F(NestedTest, TransportAroundTunnel) {
  Protect({Step(1), Step(2, SaMode::kTransport)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
}

TEST_F(NestedTest, TunnelsOfBothFamilies) {
  Protect({Step(1), StepV6(2), Step(3)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
}

TEST_F(NestedTest, UdpEncapsulationOutside) {
  SaOptions outer = Step(2);
  outer.encap = NatT();
  Protect({Step(1), outer});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
}

TEST_F(NestedTest, UdpEncapsulationOverIpv6HasAChecksum) {
  SaOptions outer = StepV6(2);
  outer.encap = NatT();
  Protect({Step(1), outer});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
  ASSERT_THAT(pair_.wire, SizeIs(1));
  const Bytes ip(pair_.wire[0].begin() + 14, pair_.wire[0].end());
  EXPECT_NE(Get16(ip, 46), 0);
  EXPECT_TRUE(UpperChecksumHolds(ip));
}

TEST_F(NestedTest, SixDeepIsTheLimit) {
  Protect({Step(1), StepV6(2), Step(3), StepV6(4), Step(5), StepV6(6)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
  EXPECT_EQ(pair_.b.AllDrops(), 0u);
}

TEST_F(NestedTest, SevenDeepIsDropped) {
  Protect({Step(1), Step(2), Step(3), Step(4), Step(5), Step(6)});
  // A seventh tunnel around what A sends, to the same host.
  TestPair outer;
  outer.Protect({.spi = 0x2000, .reqid = 9}, "0.0.0.0/0", "0.0.0.0/0");
  pair_.b.Add({.spi = 0x2000, .reqid = 9});
  const std::vector<Bytes> six = pair_.a.Send(InnerFrame());
  ASSERT_THAT(six, SizeIs(1));
  const std::vector<Bytes> seven = outer.a.Send(six[0]);
  ASSERT_THAT(seven, SizeIs(1));
  EXPECT_THAT(pair_.b.Receive(seven[0]), IsEmpty());
  EXPECT_EQ(pair_.b.Drops(DropReason::kInNested), 1u);
}

TEST_F(NestedTest, EachSaCountsWhatItProtects) {
  Protect({Step(1), Step(2)});
  pair_.Deliver(InnerFrame(100));
  const auto sas = pair_.a.path.sad.List();  // newest first
  ASSERT_THAT(sas, SizeIs(2));
  EXPECT_EQ(sas[1]->lifetime().usage().bytes, 128u);  // the inner packet
  // The first SA's output: 20 outer + 8 ESP + 8 IV + 132 padded + 16 ICV.
  EXPECT_EQ(sas[0]->lifetime().usage().bytes, 184u);
  EXPECT_EQ(sas[0]->outbound()->sequence.last_sent(), 1u);
}

TEST_F(NestedTest, BatchKeepsItsOrder) {
  Protect({Step(1), Step(2)});
  std::vector<Bytes> sent;
  for (std::size_t i = 0; i < kMaxBatch; ++i) sent.push_back(InnerFrame(i + 1));
  for (const Bytes& frame : sent) pair_.a.FromHost(frame);
  pair_.a.Run();
  for (const Bytes& frame : pair_.a.ToWire()) pair_.b.FromWire(frame);
  pair_.b.Run();
  EXPECT_EQ(pair_.b.ToHost(), sent);
}

TEST_F(NestedTest, MissingOuterSaAsksForItAndDrops) {
  pair_.a.Add(Step(1));
  pair_.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                               {TemplateFor(Step(1)), TemplateFor(Step(2))}));
  EXPECT_THAT(pair_.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutNoState), 1u);
  EXPECT_THAT(pair_.a.Events(), SizeIs(1));
}

TEST_F(NestedTest, PolicyThatDemandsMoreThanWasDoneDrops) {
  Protect({Step(1)}, {Step(1), Step(2)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

TEST_F(NestedTest, PolicyThatDemandsAnotherOrderDrops) {
  Protect({Step(1), Step(2)}, {Step(2), Step(1)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

TEST_F(NestedTest, TunnelThatThePolicyDoesNotKnowDrops) {
  Protect({Step(1), Step(2)}, {Step(1)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

TEST_F(NestedTest, TransportThatThePolicyDoesNotKnowPasses) {
  Protect({Step(1), Step(2, SaMode::kTransport)}, {Step(1)});
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
}

TEST_F(NestedTest, SenderIsToldTheMtuOfTheWholeChain) {
  Protect({Step(1), Step(2)});
  // GCM over IPv4: 1500 leaves 1446, and that leaves 1390 (reference: (1446-36-16) & ~3, - 2).
  const auto frame = [](std::size_t size) {
    return Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1", .dont_fragment = true}, 1, 2,
                     Pattern(size - 28)));
  };
  EXPECT_THAT(pair_.a.Send(frame(1390)), SizeIs(1));
  EXPECT_THAT(pair_.a.Send(frame(1391)), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutTooBig), 1u);
  EXPECT_THAT(pair_.a.ToHost(), SizeIs(1));
}

TEST(NestedOffloadTest, OnlyTheLastTransformIsTheDevices) {
  TestPair pair({.nic = true}, {});
  SaOptions inner = Step(1);
  SaOptions outer = Step(2);
  const OffloadRequest request{.mode = OffloadMode::kCrypto, .ifindex = TestHost::kIfindex};
  inner.offload = request;
  outer.offload = request;
  pair.a.Add(inner);
  pair.a.Add(outer);
  pair.b.Add(Step(1));
  pair.b.Add(Step(2));
  pair.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                              {TemplateFor(inner), TemplateFor(outer)}));
  pair.b.AddPolicy(MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16",
                              {TemplateFor(Step(1)), TemplateFor(Step(2))}));
  EXPECT_THAT(pair.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
  EXPECT_EQ(pair.a.nic().offload_stats().sealed, 1u);
}

// --- A SUB and a MAIN policy of one flow ---

class SubPolicyTest : public NestedTest {
 protected:
  static void Add(TestHost* host, PolicyDirection direction, PolicyType type, const SaOptions& o,
                  const std::string& src = "10.1.0.0/16", const std::string& dst = "10.2.0.0/16") {
    PolicySpec spec = MakePolicy(direction, src, dst, {TemplateFor(o)});
    spec.type = type;
    host->AddPolicy(std::move(spec));
  }
};

TEST_F(SubPolicyTest, BothApplyTheSubOneInside) {
  for (const uint32_t n : {1u, 2u}) {
    const PolicyType type = n == 1 ? PolicyType::kSub : PolicyType::kMain;
    pair_.a.Add(Step(n));
    pair_.b.Add(Step(n));
    Add(&pair_.a, PolicyDirection::kOut, type, Step(n));
    Add(&pair_.b, PolicyDirection::kIn, type, Step(n));
  }
  EXPECT_THAT(pair_.Deliver(InnerFrame()), ElementsAre(InnerFrame()));
  ASSERT_THAT(pair_.wire, SizeIs(1));
  EXPECT_EQ(LoadBe32(pair_.wire[0].data() + 14 + 20), 0x1002u);
  EXPECT_EQ(pair_.b.AllDrops(), 0u);
}

TEST_F(SubPolicyTest, WhatMainDemandsIsNotForgottenInbound) {
  pair_.a.Add(Step(1));
  pair_.b.Add(Step(1));
  Add(&pair_.a, PolicyDirection::kOut, PolicyType::kMain, Step(1));
  Add(&pair_.b, PolicyDirection::kIn, PolicyType::kSub, Step(1));
  Add(&pair_.b, PolicyDirection::kIn, PolicyType::kMain, Step(2));
  EXPECT_THAT(pair_.Deliver(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

TEST_F(SubPolicyTest, NothingLeavesWithoutMainsSa) {
  pair_.a.Add(Step(1));
  Add(&pair_.a, PolicyDirection::kOut, PolicyType::kSub, Step(1));
  Add(&pair_.a, PolicyDirection::kOut, PolicyType::kMain, Step(2));
  EXPECT_THAT(pair_.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutNoState), 1u);
  EXPECT_THAT(pair_.a.Events(), SizeIs(1));
}

TEST_F(SubPolicyTest, MoreThanSixTogetherAreDropped) {
  std::vector<Template> four;
  for (const uint32_t n : {1u, 2u, 3u, 4u}) {
    pair_.a.Add(Step(n));
    four.push_back(TemplateFor(Step(n)));
  }
  for (const PolicyType type : {PolicyType::kSub, PolicyType::kMain}) {
    PolicySpec spec = MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", four);
    spec.type = type;
    pair_.a.AddPolicy(std::move(spec));
  }
  EXPECT_THAT(pair_.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutNoState), 1u);
}

// Kernel: xfrm_state_sort.
TEST_F(SubPolicyTest, OverIpv6TransportIsInsideWhoseverItIs) {
  const SaOptions tunnel = StepV6(1);
  const SaOptions transport = {.src = "fd00:1::1",
                               .dst = "fd00:2::1",
                               .spi = 0x1002,
                               .mode = SaMode::kTransport,
                               .reqid = 2};
  pair_.a.Add(tunnel);
  pair_.a.Add(transport);
  Add(&pair_.a, PolicyDirection::kOut, PolicyType::kSub, tunnel, "fd00:1::/32", "fd00:2::/32");
  Add(&pair_.a, PolicyDirection::kOut, PolicyType::kMain, transport, "fd00:1::/32", "fd00:2::/32");
  const auto sent =
      pair_.a.Send(Frame(Udp({.src = "fd00:1::1", .dst = "fd00:2::1"}, 1, 2, Pattern(64))));
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(LoadBe32(sent[0].data() + 14 + 40), 0x1001u) << "the tunnel is outside";
}

}  // namespace
}  // namespace cygnet::test
