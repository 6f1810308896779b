// Packets that wait for key management: when they are retried, in which order, and for how long.
#include "datapath/hold_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fragment_builder.h"
#include "support/pools_test.h"

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kStart = 1'000'000;

class HoldQueueTest : public test::PoolsTest {
 protected:
  HoldQueueTest() : queue_(std::in_place, &sink_) { Retry(kStart); }
  void TearDown() override {
    queue_.reset();
    PoolsTest::TearDown();
  }

  bool Hold(uint8_t name, uint64_t policy, uint64_t now_ms = kStart) {
    Packet* packet = test::MakePacket(&pools_, test::Bytes(60, name));
    if (queue_->Hold(packet, policy, now_ms)) return true;
    sink_.Drop(packet, DropReason::kOutHoldFull);
    return false;
  }
  // Returns the packets that are retried. `again_under`: the policy that each is held again for, 0
  // = none.
  template <typename Fn>
  std::vector<int> Retry(uint64_t now_ms, Fn again_under) {
    std::vector<int> tried;
    queue_->Retry(now_ms, generation_, [&](Packet* packet) {
      const uint8_t name = packet->data()[0];
      tried.push_back(name);
      const uint64_t policy = again_under(name);
      if (policy == 0 || !queue_->Hold(packet, policy, now_ms)) sink_.Recycle(packet);
    });
    return tried;
  }
  std::vector<int> Retry(uint64_t now_ms) {
    return Retry(now_ms, [](uint8_t) { return 0u; });
  }
  // A failed retry: all packets are held again.
  std::vector<int> RetryInVain(uint64_t now_ms, uint64_t policy = 1) {
    return Retry(now_ms, [&](uint8_t) { return policy; });
  }

  std::optional<HoldQueue> queue_;
  uint64_t generation_ = 1;
};

TEST_F(HoldQueueTest, FirstRetryComesAfter100Ms) {
  EXPECT_TRUE(Hold(1, 1));
  EXPECT_TRUE(Hold(2, 1, kStart + 50));
  EXPECT_EQ(queue_->NextDueMs(generation_), kStart + 100);
  EXPECT_EQ(queue_->NextDueMs(generation_ + 1), 0u) << "a change that nobody has looked at";
  EXPECT_THAT(Retry(kStart + 99), IsEmpty());
  EXPECT_THAT(Retry(kStart + 100), ElementsAre(1, 2));
  EXPECT_TRUE(queue_->Idle());
  EXPECT_EQ(queue_->NextDueMs(generation_), std::nullopt);
}

TEST_F(HoldQueueTest, IntervalsDoubleUntilTimeIsUp) {
  Hold(1, 1);
  uint64_t now = kStart;
  for (uint64_t interval = 100; interval < 60'000; interval *= 2) {
    EXPECT_EQ(Drops(DropReason::kOutHoldTimeout), 0u);
    EXPECT_THAT(RetryInVain(now + interval - 1), IsEmpty());
    now += interval;
    EXPECT_THAT(RetryInVain(now), ElementsAre(1));
  }
  EXPECT_EQ(now, kStart + 102'300);
  EXPECT_EQ(Drops(DropReason::kOutHoldTimeout), 1u);
  EXPECT_TRUE(queue_->Idle());
  // The policy's next packet starts at the first interval.
  Hold(2, 1, now);
  EXPECT_EQ(queue_->NextDueMs(generation_), now + 100);
}

TEST_F(HoldQueueTest, AChangeIsTriedAtOnceAndCostsNoAttempt) {
  Hold(1, 1);
  EXPECT_THAT(RetryInVain(kStart + 100), ElementsAre(1));
  for (int i = 0; i < 50; ++i) {
    ++generation_;
    EXPECT_THAT(RetryInVain(kStart + 110), ElementsAre(1));
    EXPECT_THAT(RetryInVain(kStart + 110), IsEmpty());
  }
  EXPECT_EQ(queue_->NextDueMs(generation_), kStart + 300);
  EXPECT_EQ(AllDrops(), 0u);
  ++generation_;
  EXPECT_THAT(Retry(kStart + 111), ElementsAre(1));
}

// The SA may arrive during the retry: packets behind one that is held again are held too.
TEST_F(HoldQueueTest, NoPacketOvertakesOneThatWaitsAgain) {
  for (const uint8_t name : {uint8_t{1}, uint8_t{2}, uint8_t{3}}) Hold(name, 1);
  Hold(9, 2);
  ++generation_;
  EXPECT_THAT(Retry(kStart, [](uint8_t name) { return name == 1 ? 1u : 0u; }), ElementsAre(1, 9));
  ++generation_;
  EXPECT_THAT(Retry(kStart), ElementsAre(1, 2, 3));
}

TEST_F(HoldQueueTest, AChangeWhileNothingIsHeldIsNotRememberedForLater) {
  ++generation_;
  Retry(kStart);
  Hold(1, 1);
  EXPECT_THAT(Retry(kStart + 1), IsEmpty());
}

TEST_F(HoldQueueTest, OrderIsKeptAndPoliciesAreApart) {
  Hold(1, 1);
  Hold(2, 2, kStart + 30);
  Hold(3, 1, kStart + 40);
  Hold(4, 2, kStart + 50);
  Hold(5, 1, kStart + 60);
  EXPECT_EQ(queue_->NextDueMs(generation_), kStart + 100);
  EXPECT_THAT(Retry(kStart + 100, [](uint8_t name) { return name == 1 ? 0u : 1u; }),
              ElementsAre(1, 3));
  EXPECT_EQ(queue_->NextDueMs(generation_), kStart + 130);
  Hold(6, 1, kStart + 110);
  EXPECT_THAT(Retry(kStart + 130), ElementsAre(2, 4));
  EXPECT_THAT(Retry(kStart + 299), IsEmpty());
  EXPECT_THAT(Retry(kStart + 300), ElementsAre(3, 5, 6));
}

TEST_F(HoldQueueTest, APolicyWhosePacketsAllWentStartsAnew) {
  Hold(1, 1);
  RetryInVain(kStart + 100);
  EXPECT_THAT(Retry(kStart + 300), ElementsAre(1));
  Hold(2, 1, kStart + 301);
  EXPECT_EQ(queue_->NextDueMs(generation_), kStart + 401);
}

TEST_F(HoldQueueTest, APacketMayMoveToAnotherPolicy) {
  Hold(1, 1);
  EXPECT_THAT(RetryInVain(kStart + 100, 9), ElementsAre(1));
  EXPECT_EQ(queue_->NextDueMs(generation_), kStart + 200);
  EXPECT_THAT(Retry(kStart + 200), ElementsAre(1));
}

TEST_F(HoldQueueTest, OnlyThePolicyThatWaitedInVainIsDropped) {
  Hold(1, 1);
  uint64_t now = kStart;
  for (uint64_t interval = 100; interval < 51'200; interval *= 2) RetryInVain(now += interval);
  Hold(2, 2, now + 51'150);
  EXPECT_THAT(RetryInVain(now + 51'200), ElementsAre(1));
  EXPECT_EQ(Drops(DropReason::kOutHoldTimeout), 1u);
  EXPECT_EQ(queue_->size(), 1u);
  EXPECT_THAT(Retry(now + 51'250), ElementsAre(2));
}

TEST_F(HoldQueueTest, RoomIsBoundedPerPolicyAndInAll) {
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Hold(1, 1));
  EXPECT_FALSE(Hold(1, 1));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Hold(2, 2));
  for (int i = 0; i < 56; ++i) EXPECT_TRUE(Hold(3, 3));
  EXPECT_FALSE(Hold(3, 3));
  EXPECT_FALSE(Hold(4, 4));
  EXPECT_EQ(queue_->size(), 256u);
  EXPECT_EQ(Drops(DropReason::kOutHoldFull), 3u);
  // After a failed retry all of them are held again.
  EXPECT_EQ(Retry(kStart + 100, [](uint8_t name) { return name; }).size(), 3u);  // one of each
  EXPECT_EQ(queue_->size(), 256u);
}

TEST_F(HoldQueueTest, AsManyPoliciesAsPackets) {
  for (uint32_t i = 0; i < 256; ++i) EXPECT_TRUE(Hold(static_cast<uint8_t>(i), 1000 + i));
  // Each moves to its own policy while the old ones are still being retried, so there is no room.
  uint64_t policy = 5000;
  EXPECT_EQ(Retry(kStart + 100, [&](uint8_t) { return ++policy; }).size(), 256u);
  EXPECT_TRUE(queue_->Idle());
  EXPECT_TRUE(Hold(1, 1));
}

TEST_F(HoldQueueTest, WhatIsHeldAtTheEndGoesBack) {
  Hold(1, 1);
  Hold(2, 2);
  queue_.reset();
  EXPECT_EQ(AllDrops(), 0u);  // TearDown checks the pools
}

}  // namespace
}  // namespace cygnet
