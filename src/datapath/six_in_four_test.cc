// IPv6 fragments of the host inside IPv4: the outer packet is cut again rather than dropped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fragment_builder.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Cut;
using test::FragmentOf;
using test::Frame;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::TestPair;
using testing::Each;
using testing::IsEmpty;
using testing::SizeIs;

const IpFields kInner{.src = "fd01::1", .dst = "fd02::1"};

SaOptions OptionsFor(SaMode mode) {
  SaOptions o{.mode = mode};
  if (mode == SaMode::kBeet) {
    o.inner_src = kInner.src;
    o.inner_dst = kInner.dst;
  }
  return o;
}

class SixInFourTest : public testing::TestWithParam<SaMode> {
 protected:
  // The fragments of a UDP datagram of 3,000 bytes, cut by the host's stack for an MTU of 1,500.
  static std::vector<Bytes> Datagram() {
    const Bytes udp = test::Udp({}, 1, 2, Pattern(2992));
    const Bytes data(udp.begin() + 20, udp.end());
    std::vector<Bytes> frames;
    for (const Cut& cut : {Cut{0, 1448, true}, Cut{1448, 2896, true}, Cut{2896, 3000, false}}) {
      frames.push_back(Frame(FragmentOf(kInner, data, cut, 77)));
    }
    return frames;
  }
  // Everything that leaves A, and what B's host receives of it.
  void Send(const std::vector<Bytes>& frames) {
    for (const Bytes& frame : frames) pair_.a.FromHost(frame);
    pair_.a.Run();
    wire_ = pair_.a.ToWire();
    for (const Bytes& frame : wire_) pair_.b.FromWire(frame);
    pair_.b.Run();
    got_ = pair_.b.ToHost();
  }
  TestPair pair_;
  std::vector<Bytes> wire_;
  std::vector<Bytes> got_;
};

TEST_P(SixInFourTest, WhatTheHostHasCutArrives) {
  pair_.Protect(OptionsFor(GetParam()), "fd01::1", "fd02::1");
  Send(Datagram());
  ASSERT_THAT(got_, SizeIs(1));
  EXPECT_EQ(got_[0].size(), 14u + 40 + 3000);
  EXPECT_THAT(wire_, Each(SizeIs(testing::Le(1514u))));
  for (const Bytes& frame : wire_) EXPECT_EQ(frame[20] & 0x40, 0) << "DF";
  EXPECT_EQ(pair_.a.AllDrops(), 0u);
}

// A policy that selects by ports makes the stack reassemble the datagram first.
TEST_P(SixInFourTest, WhatWasPutTogetherArrives) {
  pair_.Protect(OptionsFor(GetParam()), "fd01::1", "fd02::1");
  PolicySpec ports =
      test::MakePolicy(PolicyDirection::kOut, "fd01::1", "fd02::1", {}, PolicyAction::kBlock, 1);
  ports.selector.proto = kProtoUdp;
  ports.selector.dport = 9;
  ports.selector.dport_mask = 0xffff;
  pair_.a.AddPolicy(ports);
  Send(Datagram());
  ASSERT_THAT(got_, SizeIs(1));
  EXPECT_EQ(pair_.a.AllDrops(), 0u);
}

// Whole packets keep DF, and their sender is notified.
TEST_P(SixInFourTest, WholePacketsAreNotCut) {
  pair_.Protect(OptionsFor(GetParam()), "fd01::1", "fd02::1");
  const Bytes fits = Frame(test::Udp(kInner, 1, 2, Pattern(1300)));
  const auto wire = pair_.a.Send(fits);
  ASSERT_THAT(wire, SizeIs(1));
  EXPECT_EQ(wire[0][20] & 0x40, 0x40);
  EXPECT_THAT(pair_.a.Send(Frame(test::Udp(kInner, 1, 2, Pattern(1452)))), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutTooBig), 1u);
  EXPECT_THAT(pair_.a.ToHost(), SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(Modes, SixInFourTest, testing::Values(SaMode::kTunnel, SaMode::kBeet),
                         [](const auto& mode) {
                           return std::string(mode.param == SaMode::kBeet ? "Beet" : "Tunnel");
                         });

// IPv6 in IPv6 in IPv4: the middle header has no bit that permits fragmentation.
TEST(SixInSixInFourTest, WhatTheHostHasCutArrives) {
  TestPair pair;
  const SaOptions inner{.src = "2001:db8::1", .dst = "2001:db8::2", .spi = 0x2000, .reqid = 2};
  const SaOptions outer{};
  for (test::TestHost* host : {&pair.a, &pair.b}) {
    host->Add(inner);
    host->Add(outer);
  }
  const std::vector<Template> both = {test::TemplateFor(inner), test::TemplateFor(outer)};
  pair.a.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "fd01::1", "fd02::1", both));
  pair.b.AddPolicy(test::MakePolicy(PolicyDirection::kIn, "fd01::1", "fd02::1", both));
  const Bytes udp = test::Udp({}, 1, 2, Pattern(1992));
  const Bytes data(udp.begin() + 20, udp.end());
  for (const Cut& cut : {Cut{0, 1448, true}, Cut{1448, 2000, false}}) {
    pair.a.FromHost(Frame(FragmentOf(kInner, data, cut, 7)));
  }
  pair.a.Run();
  for (const Bytes& frame : pair.a.ToWire()) pair.b.FromWire(frame);
  pair.b.Run();
  EXPECT_THAT(pair.b.ToHost(), SizeIs(1));
}

}  // namespace
}  // namespace cygnet
