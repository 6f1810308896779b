#include "sa/sequence_counter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace cygnet {
namespace {

TEST(SequenceCounterTest, StartsBehindTheLastSent) {
  SequenceCounter c(41, 1000);
  const SequenceRange r = c.Reserve(3);
  EXPECT_EQ(r.first, 42u);
  EXPECT_EQ(r.count, 3u);
  EXPECT_EQ(c.last_sent(), 44u);
}

TEST(SequenceCounterTest, GivesWhatIsLeftAndThenNothing) {
  SequenceCounter c(0xfffffffc, 0xffffffff);
  EXPECT_EQ(c.Reserve(10).count, 3u);
  EXPECT_EQ(c.last_sent(), 0xffffffffu);
  EXPECT_EQ(c.Reserve(1).count, 0u);
  EXPECT_EQ(c.Reserve(64).count, 0u);
}

TEST(SequenceCounterTest, NothingAsksForNothing) {
  SequenceCounter c(5, 10);
  EXPECT_EQ(c.Reserve(0).count, 0u);
  EXPECT_EQ(c.last_sent(), 5u);
}

TEST(SequenceCounterTest, SixtyFourBitsEndToo) {
  SequenceCounter c(~uint64_t{0} - 2, ~uint64_t{0});
  const SequenceRange r = c.Reserve(64);
  EXPECT_EQ(r.first, ~uint64_t{0} - 1);
  EXPECT_EQ(r.count, 2u);
  EXPECT_EQ(c.Reserve(1).count, 0u);
}

// A client may install an SA whose counter is already beyond its limit: it must not start over.
TEST(SequenceCounterTest, StartBeyondTheLimitIsExhausted) {
  SequenceCounter c(0x1'00000005, 0xffffffff);
  EXPECT_EQ(c.Reserve(1).count, 0u);
  EXPECT_EQ(c.last_sent(), 0x1'00000005u);
}

TEST(SequenceCounterTest, EveryStartGoesOnBehindItAndStopsAtTheLimit) {
  constexpr uint64_t kEnd = ~uint64_t{0};
  for (const uint64_t limit : {uint64_t{0xffffffff}, kEnd}) {
    for (const uint64_t start :
         {uint64_t{0}, uint64_t{1}, limit - 65, limit - 64, limit - 63, limit - 1, limit}) {
      SequenceCounter c(start, limit);
      uint64_t last = start;
      for (int batch = 0; batch < 4; ++batch) {
        const SequenceRange r = c.Reserve(64);
        const uint64_t left = limit - last;
        ASSERT_EQ(r.count, std::min<uint64_t>(left, 64)) << start;
        if (r.count == 0) continue;
        ASSERT_EQ(r.first, last + 1) << start;
        last = r.first + (r.count - 1);
        ASSERT_LE(last, limit);
      }
      ASSERT_EQ(c.last_sent(), last);
    }
  }
}

TEST(SequenceCounterTest, ThreadsNeverShareANumber) {
  constexpr uint64_t kLimit = 100'000;
  SequenceCounter c(0, kLimit);
  std::vector<std::vector<uint64_t>> got(4);
  std::vector<std::thread> threads;
  for (auto& mine : got) {
    threads.emplace_back([&c, &mine] {
      for (uint32_t n = 1;; n = n % 64 + 1) {
        const SequenceRange r = c.Reserve(n);
        if (r.count == 0) return;
        for (uint32_t i = 0; i < r.count; ++i) mine.push_back(r.first + i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<uint64_t> all;
  for (const auto& mine : got) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), kLimit);
  for (uint64_t i = 0; i < kLimit; ++i) ASSERT_EQ(all[i], i + 1);
}

TEST(SequenceCounterTest, ClosedGivesNothingAndSaysWhereItStood) {
  for (const uint64_t limit : {uint64_t{0xffffffff}, ~uint64_t{0}}) {
    SequenceCounter c(40, limit);
    EXPECT_EQ(c.Reserve(2).first, 41u);
    EXPECT_EQ(c.Close(), 42u);
    EXPECT_EQ(c.Reserve(1).count, 0u);
  }
}

TEST(SequenceCounterTest, WhatGoesOnElsewhereOverlapsNothing) {
  constexpr int kRounds = 300;
  for (int round = 0; round < kRounds; ++round) {
    SequenceCounter from(0, ~uint64_t{0});
    std::atomic<bool> started{false};
    uint64_t last = 0;
    std::thread worker([&] {
      started = true;
      while (true) {
        const SequenceRange r = from.Reserve(3);
        if (r.count == 0) return;
        last = r.first + r.count - 1;
      }
    });
    while (!started) std::this_thread::yield();
    SequenceCounter to(0, ~uint64_t{0});
    to.AdvanceTo(from.Close());
    worker.join();
    ASSERT_EQ(to.Reserve(1).first, last + 1);
  }
}

TEST(SequenceCounterTest, UnusedNumbersOfABlockComeBack) {
  SequenceCounter c(10, ~uint64_t{0});
  const SequenceRange block = c.Reserve(1000);
  c.Depart(1010);
  c.ReturnUnused(25, 1010);
  EXPECT_EQ(block.first, 11u);
  EXPECT_EQ(c.last_sent(), 25u);
  EXPECT_FALSE(c.TurnOf(27)) << "26 has not left";
  EXPECT_EQ(c.Reserve(1).first, 26u);
}

TEST(SequenceCounterTest, UnusedNumbersStayAGapIfOthersFollow) {
  SequenceCounter c(0, ~uint64_t{0});
  (void)c.Reserve(1000);
  EXPECT_EQ(c.Reserve(5).first, 1001u);
  c.ReturnUnused(25, 1000);
  EXPECT_EQ(c.last_sent(), 1005u);
  EXPECT_EQ(c.Reserve(1).first, 1006u);
}

// --- Blocks (control/numbers) ---

TEST(SequenceCounterTest, NothingWithoutABlock) {
  SequenceCounter c(41, 1000);
  c.RequireBlocks();
  EXPECT_EQ(c.Reserve(1).count, 0u);
  EXPECT_FALSE(c.exhausted()) << "the next block may come";
  EXPECT_EQ(c.last_sent(), 41u);
}

TEST(SequenceCounterTest, ABlockEndsAtTheEdgeAndTellsOnceThatItIsLow) {
  SequenceCounter c(0, 1000);
  c.RequireBlocks();
  c.Allow({1, 8}, 4);
  EXPECT_FALSE(c.Reserve(3).low);
  EXPECT_TRUE(c.Reserve(1).low);
  EXPECT_FALSE(c.Reserve(1).low) << "once";
  const SequenceRange rest = c.Reserve(64);
  EXPECT_EQ(rest.first, 6u);
  EXPECT_EQ(rest.count, 3u);
  EXPECT_EQ(c.Reserve(1).count, 0u);
  EXPECT_FALSE(c.exhausted());
  c.Allow({9, 9}, 9);
  EXPECT_TRUE(c.Reserve(64).low);
  c.AllowAll();
  EXPECT_EQ(c.Reserve(64).count, 64u);
}

TEST(SequenceCounterTest, TheNextBlockContinuesAndAGapIsSkipped) {
  SequenceCounter c(0, 1000);
  c.RequireBlocks();
  c.Allow({1, 8}, 4);
  EXPECT_EQ(c.Reserve(6).count, 6u);
  c.Allow({9, 16}, 12);
  EXPECT_EQ(c.Reserve(4).first, 7u) << "what is left of the first block, then the second";
  c.Allow({101, 108}, 104);  // another SA of the key has the numbers between
  const SequenceRange range = c.Reserve(64);
  EXPECT_EQ(range.first, 101u);
  EXPECT_EQ(range.count, 8u);
}

TEST(SequenceCounterTest, NoBlockPassesTheOwnLimit) {
  SequenceCounter c(0, 10);
  c.RequireBlocks();
  c.Allow({1, 64}, 32);
  EXPECT_EQ(c.edge(), 10u);
  EXPECT_EQ(c.Reserve(64).count, 10u);
  EXPECT_TRUE(c.exhausted());
}

// Control raises the edge over gaps while workers reserve: nobody gets a number of a gap.
TEST(SequenceCounterTest, WorkersNeverGetANumberBetweenTwoBlocks) {
  constexpr uint64_t kBlocks = 200;
  constexpr uint64_t kSize = 50;  // of each block, and of the gap behind it
  SequenceCounter c(0, ~uint64_t{0});
  c.RequireBlocks();
  std::atomic<bool> done{false};
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!done.load()) {
        const SequenceRange r = c.Reserve(7);
        for (uint64_t n = r.first; n < r.first + r.count; ++n) {
          if ((n - 1) / kSize % 2 != 0) wrong.fetch_add(1);
        }
      }
    });
  }
  for (uint64_t b = 0; b < kBlocks; ++b) {
    c.Allow({2 * b * kSize + 1, (2 * b + 1) * kSize}, 0);
    std::this_thread::yield();
  }
  done.store(true);
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0u);
}

}  // namespace
}  // namespace cygnet
