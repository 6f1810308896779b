// A worker that holds packets back: they wait where they are, and nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Pattern;
using test::TestHost;
using test::Udp;
using testing::ElementsAre;
using testing::IsEmpty;

class WorkerHoldTest : public testing::Test {
 protected:
  WorkerHoldTest() { host_.SetAddresses({"192.0.2.1"}); }
  static Bytes Out(uint8_t i) {
    return Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, 1, 2, Pattern(40, i)));
  }
  static Bytes In(uint8_t i) {
    return Frame(Udp({.src = "192.0.2.2", .dst = "192.0.2.1"}, 2, 1, Pattern(40, i)));
  }
  uint64_t NowMs() const { return host_.clock.MonotonicNs() / 1'000'000; }
  void Pass(uint64_t ms) { host_.clock.monotonic_ns += ms * 1'000'000; }

  PacketPools pools_{64, 2};
  TestHost host_{&pools_};
};

TEST_F(WorkerHoldTest, FramesOfTheWireWaitUntilTheyAreReleased) {
  host_.worker->HoldWires(NowMs() + 500);
  EXPECT_THAT(host_.Receive(In(1)), IsEmpty());
  EXPECT_THAT(host_.Receive(In(2)), IsEmpty());
  EXPECT_THAT(host_.Send(Out(1)), ElementsAre(Out(1))) << "announcements of the host pass";
  host_.worker->HoldWires(0);
  host_.Run();
  EXPECT_THAT(host_.ToHost(), ElementsAre(In(1), In(2)));
  EXPECT_EQ(host_.AllDrops(), 0u);
}

TEST_F(WorkerHoldTest, WhatTheHostSentBeforePassesAndTheRestWaits) {
  host_.FromHost(Out(1));
  host_.FromHost(Out(2));
  host_.worker->HoldHosts(NowMs() + 500);
  host_.Run();
  EXPECT_THAT(host_.ToWire(), ElementsAre(Out(1), Out(2)));
  EXPECT_THAT(host_.Send(Out(3)), IsEmpty());
  EXPECT_THAT(host_.Receive(In(1)), ElementsAre(In(1)));
  host_.worker->HoldHosts(0);
  host_.Run();
  EXPECT_THAT(host_.ToWire(), ElementsAre(Out(3)));
  EXPECT_EQ(host_.AllDrops(), 0u);
}

TEST_F(WorkerHoldTest, AHoldEndsByItself) {
  host_.worker->HoldWires(NowMs() + 500);
  host_.worker->HoldHosts(NowMs() + 500);
  host_.Run();
  host_.FromWire(In(1));
  host_.FromHost(Out(1));
  Pass(499);
  host_.Run();
  EXPECT_THAT(host_.ToHost(), IsEmpty());
  EXPECT_THAT(host_.ToWire(), IsEmpty());
  Pass(1);
  host_.Run();
  EXPECT_THAT(host_.ToHost(), ElementsAre(In(1)));
  EXPECT_THAT(host_.ToWire(), ElementsAre(Out(1)));
}

}  // namespace
}  // namespace cygnet
