#include "datapath/departures.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace cygnet {
namespace {

class DeparturesTest : public testing::Test {
 protected:
  uint8_t Reserve(SequenceCounter* counter, uint32_t n, uint8_t egress = 0) {
    return departures_.Add(counter, counter->Reserve(n), egress);
  }
  // The events while packets of these runs leave, in order: "1", "2" …, "send".
  std::string LeaveBy(uint8_t egress, std::initializer_list<uint8_t> runs) {
    std::string log;
    bool any = false;
    const auto send = [&] {
      if (any) log += "send ";
      if (any && at_first_send_) std::exchange(at_first_send_, {})();
      any = false;
    };
    departures_.Begin(egress);
    for (const uint8_t run : runs) {
      departures_.Reach(run, send);
      log += std::to_string(run) + " ";
      any = true;
    }
    departures_.End(send);
    return log;
  }

  SequenceCounter a_{0, ~uint64_t{0}};
  SequenceCounter b_{0, ~uint64_t{0}};
  Departures departures_;
  std::function<void()> at_first_send_;
};

TEST_F(DeparturesTest, AloneNothingWaitsAndOneSendIsEnough) {
  Reserve(&a_, 3);
  Reserve(&b_, 1);
  Reserve(&a_, 2);
  Reserve(&b_, 1);
  EXPECT_EQ(LeaveBy(0, {1, 1, 1, 2, 3, 3, 4}), "1 1 1 2 3 3 4 send ");
  departures_.Clear();
  EXPECT_TRUE(a_.TurnOf(6));
  EXPECT_FALSE(a_.TurnOf(7));
  EXPECT_TRUE(b_.TurnOf(3));
}

TEST_F(DeparturesTest, WaitsForTheRunOfAnotherWorker) {
  const SequenceRange others = a_.Reserve(10);
  Reserve(&b_, 1);
  Reserve(&a_, 2);
  std::thread other;
  at_first_send_ = [&] {
    other = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      a_.Depart(others.first + others.count - 1);
    });
  };
  EXPECT_EQ(LeaveBy(0, {1, 2, 2}), "1 send 2 2 send ") << "earlier packets go first";
  EXPECT_TRUE(b_.TurnOf(2));
  other.join();
  EXPECT_TRUE(a_.TurnOf(13));
}

TEST_F(DeparturesTest, NobodyWaitsForEver) {
  (void)a_.Reserve(10);  // a worker that does not return
  Reserve(&a_, 2);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(LeaveBy(0, {1}), "1 send ");
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(took, std::chrono::nanoseconds(Departures::kLongestWaitNs));
  EXPECT_TRUE(a_.TurnOf(13)) << "the next run does not wait again";
  a_.Depart(10);  // it returns after all
  EXPECT_TRUE(a_.TurnOf(13));
}

TEST_F(DeparturesTest, TimeInWhichTheProcessIsStoppedDoesNotCount) {
  const SequenceRange others = a_.Reserve(10);
  Reserve(&b_, 1);
  Reserve(&a_, 2);
  std::atomic<bool> left{false};
  bool left_early = true;
  std::thread other;
  at_first_send_ = [&] {
    other = std::thread([&] {
      const std::string self = std::to_string(getpid());
      EXPECT_EQ(std::system(("kill -STOP " + self + "; sleep 0.5; kill -CONT " + self).c_str()), 0);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      left_early = left.load();
      a_.Depart(others.first + others.count - 1);
    });
  };
  EXPECT_EQ(LeaveBy(0, {1, 2}), "1 send 2 send ");
  left = true;
  other.join();
  EXPECT_FALSE(left_early);
}

TEST_F(DeparturesTest, RunWithoutPacketsLeavesToo) {
  Reserve(&a_, 3);  // dropped, parked
  Reserve(&a_, 1);
  Reserve(&b_, 1);
  EXPECT_EQ(LeaveBy(0, {2}), "2 send ");
  EXPECT_TRUE(a_.TurnOf(5));
  EXPECT_TRUE(b_.TurnOf(2));
}

TEST_F(DeparturesTest, EachInterfaceHasItsOwn) {
  Reserve(&a_, 1, 0);
  Reserve(&b_, 1, 1);
  EXPECT_EQ(LeaveBy(0, {1}), "1 send ");
  EXPECT_TRUE(a_.TurnOf(2));
  EXPECT_FALSE(b_.TurnOf(2));
  EXPECT_EQ(LeaveBy(1, {2}), "2 send ");
  EXPECT_TRUE(b_.TurnOf(2));
}

TEST_F(DeparturesTest, NumbersThatControlSkippedAreNotWaitedFor) {
  a_.AdvanceTo(100);
  Reserve(&a_, 1);
  EXPECT_TRUE(a_.TurnOf(101));
}

}  // namespace
}  // namespace cygnet
