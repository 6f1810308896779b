#include "sa/lifetime.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cygnet {
namespace {

using Result = Lifetime::ChargeResult;

Result Charge(Lifetime* l, std::vector<uint32_t> sizes, uint64_t now = 50) {
  return l->Charge(sizes, now);
}

TEST(LifetimeTest, UnlimitedCountsAndLetsPass) {
  Lifetime l({}, {.add_time = 7});
  const Result r = Charge(&l, {100, 200});
  EXPECT_EQ(r.allowed, 2u);
  EXPECT_FALSE(r.soft_hit);
  EXPECT_FALSE(r.hard_hit);
  EXPECT_EQ(l.usage(), (LifetimeUsage{.bytes = 300, .packets = 2, .add_time = 7, .use_time = 50}));
}

TEST(LifetimeTest, HardPacketsAtEveryPlaceOfTheRun) {
  for (uint64_t limit = 0; limit <= 6; ++limit) {
    Lifetime l({.hard_packets = limit}, {});
    const Result r = Charge(&l, {10, 10, 10, 10, 10});
    EXPECT_EQ(r.allowed, std::min<uint64_t>(limit, 5)) << limit;
    EXPECT_EQ(r.hard_hit, limit < 5) << limit;
    EXPECT_EQ(l.usage().packets, r.allowed);
    EXPECT_EQ(l.usage().bytes, 10 * r.allowed);
  }
}

TEST(LifetimeTest, HardBytesAreTestedBeforeThePacketIsCounted) {
  struct Case {
    uint64_t limit;
    uint32_t allowed;
  };
  for (const Case& c : {Case{0, 0}, {1, 1}, {100, 1}, {101, 2}, {200, 2}, {201, 3}, {300, 3}}) {
    Lifetime l({.hard_bytes = c.limit}, {});
    EXPECT_EQ(Charge(&l, {100, 100, 100}).allowed, c.allowed) << c.limit;
  }
}

TEST(LifetimeTest, EarlierUsageCounts) {
  Lifetime l({.hard_packets = 10}, {.packets = 8});
  EXPECT_EQ(Charge(&l, {1, 1, 1}).allowed, 2u);
}

TEST(LifetimeTest, WhatWasRefusedIsNotCounted) {
  Lifetime l({.hard_packets = 1}, {});
  for (int i = 0; i < 5; ++i) Charge(&l, {100, 100});
  EXPECT_EQ(l.usage().packets, 1u);
  EXPECT_EQ(l.usage().bytes, 100u);
}

TEST(LifetimeTest, NewLimitsSignalAgain) {
  Lifetime l({.soft_packets = 1}, {});
  EXPECT_TRUE(Charge(&l, {1, 1}).soft_hit);
  EXPECT_FALSE(Charge(&l, {1}).soft_hit);
  l.SetSoftTimeSignalled(true);
  l.SetLimits({.soft_packets = 1});
  EXPECT_FALSE(l.soft_time_signalled());
  EXPECT_TRUE(Charge(&l, {1}).soft_hit);
  Lifetime unlimited({}, {});
  EXPECT_FALSE(unlimited.soft_time_signalled());
  unlimited.SetSoftTimeSignalled(true);
  EXPECT_TRUE(unlimited.soft_time_signalled());
}

TEST(LifetimeTest, SoftIsSignalledOnceByThePacketBehindTheLimit) {
  Lifetime l({.soft_packets = 2}, {});
  EXPECT_FALSE(Charge(&l, {1, 1}).soft_hit);
  EXPECT_TRUE(Charge(&l, {1}).soft_hit);
  EXPECT_FALSE(Charge(&l, {1}).soft_hit);
}

TEST(LifetimeTest, SoftWithinARun) {
  Lifetime packets({.soft_packets = 3}, {});
  EXPECT_TRUE(Charge(&packets, {1, 1, 1, 1}).soft_hit);
  Lifetime bytes({.soft_bytes = 100}, {});
  EXPECT_FALSE(Charge(&bytes, {60, 60}).soft_hit);
  EXPECT_TRUE(Charge(&bytes, {1}).soft_hit);
}

TEST(LifetimeTest, SoftOfZeroComesWithTheFirstPacket) {
  Lifetime l({.soft_bytes = 0}, {});
  const Result r = Charge(&l, {1});
  EXPECT_TRUE(r.soft_hit);
  EXPECT_EQ(r.allowed, 1u);
}

// XFRM: 0 means a limit of nothing, all ones means no limit; each alone and in both directions of
// use.
TEST(LifetimeTest, HardOfZeroLetsNothingPassAndUnlimitedEverything) {
  for (const LifetimeLimits& limits :
       {LifetimeLimits{.hard_bytes = 0}, LifetimeLimits{.hard_packets = 0}}) {
    Lifetime l(limits, {});
    const Result r = Charge(&l, {0, 1});
    EXPECT_EQ(r.allowed, 0u);
    EXPECT_TRUE(r.hard_hit);
    EXPECT_EQ(l.usage().packets, 0u);
  }
  Lifetime none({.soft_bytes = kUnlimited, .hard_bytes = kUnlimited}, {.bytes = kUnlimited - 10});
  EXPECT_EQ(Charge(&none, {5}).allowed, 1u);
}

// An empty payload (as in an empty transport packet without UDP) still counts as a packet.
TEST(LifetimeTest, EmptyPayloadIsAPacket) {
  Lifetime l({.hard_packets = 2}, {});
  EXPECT_EQ(Charge(&l, {0, 0, 0}).allowed, 2u);
  EXPECT_EQ(l.usage().packets, 2u);
  EXPECT_EQ(l.usage().bytes, 0u);
}

// The kernel tests the hard limit first: a packet that it stops causes no soft event.
TEST(LifetimeTest, RefusedPacketBringsNoSoftEvent) {
  Lifetime equal({.soft_packets = 2, .hard_packets = 2}, {});
  const Result cut = Charge(&equal, {1, 1, 1});
  EXPECT_TRUE(cut.hard_hit);
  EXPECT_FALSE(cut.soft_hit);
  Lifetime zero({.soft_bytes = 0, .hard_bytes = 0}, {});
  EXPECT_FALSE(Charge(&zero, {1}).soft_hit);
}

TEST(LifetimeTest, SoftAndHardInOneRun) {
  Lifetime l({.soft_packets = 1, .hard_packets = 3}, {});
  const Result r = Charge(&l, {1, 1, 1, 1});
  EXPECT_EQ(r.allowed, 3u);
  EXPECT_TRUE(r.soft_hit);
  EXPECT_TRUE(r.hard_hit);
}

TEST(LifetimeTest, NewLimitsRearmTheSoftEvent) {
  Lifetime l({.soft_packets = 1}, {});
  EXPECT_TRUE(Charge(&l, {1, 1}).soft_hit);
  l.SetLimits({.soft_packets = 4});
  EXPECT_FALSE(Charge(&l, {1, 1}).soft_hit);
  EXPECT_TRUE(Charge(&l, {1}).soft_hit);
}

TEST(LifetimeTest, UseTimeIsTheFirstAndLastUsedTheLast) {
  Lifetime l({}, {});
  EXPECT_EQ(l.usage().use_time, 0u);
  EXPECT_EQ(l.last_used(), 0u);
  Charge(&l, {1}, 60);
  Charge(&l, {1}, 90);
  EXPECT_EQ(l.usage().use_time, 60u);
  EXPECT_EQ(l.last_used(), 90u);
}

TEST(LifetimeTest, RefusedPacketsAreNoUse) {
  Lifetime l({.hard_packets = 0}, {});
  Charge(&l, {1}, 60);
  EXPECT_EQ(l.usage().use_time, 0u);
}

TEST(LifetimeTest, ThreadsTogetherNeverExceedTheLimitAndUseAllOfIt) {
  constexpr uint64_t kLimit = 50'000;
  Lifetime l({.soft_packets = 40'000, .hard_packets = kLimit}, {});
  std::atomic<uint64_t> allowed{0};
  std::atomic<int> soft{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::vector<uint32_t> sizes(7 + t * 13, 10);
      for (;;) {
        const Result r = l.Charge(sizes, 1);
        allowed += r.allowed;
        soft += r.soft_hit ? 1 : 0;
        if (r.hard_hit) return;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(allowed, kLimit);
  EXPECT_EQ(soft, 1);
  EXPECT_EQ(l.usage().packets, kLimit);
  EXPECT_EQ(l.usage().bytes, kLimit * 10);
}

TEST(LifetimeTest, WhatADeviceCountedIsAdded) {
  Lifetime l({}, {.bytes = 5, .packets = 1, .add_time = 3});
  l.AddUsage(0, 0, 50);
  EXPECT_EQ(l.usage().use_time, 0u) << "it was not used";
  l.AddUsage(2, 100, 60);
  l.AddUsage(1, 10, 70);
  EXPECT_EQ(l.usage(), (LifetimeUsage{.bytes = 115, .packets = 4, .add_time = 3, .use_time = 60}));
  EXPECT_EQ(l.last_used(), 70u);
}

TEST(LifetimeTest, WhatIsSetReplacesWhatWorkersCountedAndLimitsSeeIt) {
  Lifetime l({}, {.bytes = 5, .packets = 1});
  (void)Charge(&l, {100, 200});
  l.SetUsage({.bytes = 40, .packets = 7, .add_time = 3, .use_time = 4});
  EXPECT_EQ(l.usage(), (LifetimeUsage{.bytes = 40, .packets = 7, .add_time = 3, .use_time = 4}));
  (void)Charge(&l, {10});
  EXPECT_EQ(l.usage().bytes, 50u);
  EXPECT_EQ(l.usage().packets, 8u);
  l.SetLimits({.hard_packets = 10});
  EXPECT_TRUE(l.HasRoomFor(1, 1));
  EXPECT_FALSE(l.HasRoomFor(2, 1));
  EXPECT_EQ(Charge(&l, {1, 1, 1}).allowed, 2u);
  l.AddUsage(0, 1, 60);
  EXPECT_EQ(l.usage().bytes, 53u);
}

TEST(LifetimeTest, TimesAreSetBesideCounts) {
  Lifetime l({}, {.bytes = 5, .packets = 1, .add_time = 3, .use_time = 4});
  l.AddUsage(1, 10, 60);
  (void)Charge(&l, {100, 200});
  l.SetTimes(30, 40);
  EXPECT_EQ(l.usage(), (LifetimeUsage{.bytes = 315, .packets = 4, .add_time = 30, .use_time = 40}));
}

TEST(LifetimeTest, NothingIsLostWhileTheOnlyWorkerCountsWithoutALock) {
  constexpr uint64_t kRounds = 20'000;
  Lifetime l({}, {});
  std::thread worker([&l] {
    const std::vector<uint32_t> sizes(3, 10);
    for (uint64_t i = 0; i < kRounds; ++i) (void)l.Charge(sizes, 1, Lifetime::Workers::kOne);
  });
  for (uint64_t i = 0; i < kRounds; ++i) l.AddUsage(1, 2, 1);
  worker.join();
  EXPECT_EQ(l.usage().packets, kRounds * 4);
  EXPECT_EQ(l.usage().bytes, kRounds * 32);
}

}  // namespace
}  // namespace cygnet
