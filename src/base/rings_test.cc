// What threads hand each other: rings, bells, and memory that readers may still use.
#include <gtest/gtest.h>
#include <poll.h>

#include <numeric>
#include <thread>
#include <vector>

#include "base/doorbell.h"
#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "base/spsc_ring.h"

namespace cygnet {
namespace {

TEST(SpscRingTest, TakesUpToItsCapacityAndKeepsOrder) {
  SpscRing<int> ring(8);
  const int in[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  EXPECT_TRUE(ring.Empty());
  EXPECT_EQ(ring.Push(in), 8u);
  EXPECT_EQ(ring.Push(in), 0u);
  int out[5];
  EXPECT_EQ(ring.Pop(out), 5u);
  EXPECT_EQ(out[0], 1);
  EXPECT_EQ(out[4], 5);
  EXPECT_EQ(ring.Push(in), 5u);  // wraps
  int rest[16];
  EXPECT_EQ(ring.Pop(rest), 8u);
  EXPECT_EQ(rest[3], 1);
  EXPECT_EQ(rest[7], 5);
  EXPECT_EQ(ring.Pop(rest), 0u);
  EXPECT_TRUE(ring.Empty());
}

TEST(SpscRingDeathTest, CapacityMustBeAPowerOfTwo) {
  EXPECT_DEATH(SpscRing<int>(6), "CHECK failed");
  EXPECT_DEATH(SpscRing<int>(0), "CHECK failed");
}

TEST(SpscRingTest, TwoThreadsLoseNothing) {
  constexpr uint32_t kItems = 200'000;
  SpscRing<uint32_t> ring(64);
  std::thread producer([&] {
    for (uint32_t next = 0; next < kItems;) {
      uint32_t burst[7];
      const uint32_t n = std::min<uint32_t>(7, kItems - next);
      std::iota(burst, burst + n, next);
      next += static_cast<uint32_t>(ring.Push({burst, n}));
    }
  });
  uint32_t expected = 0;
  while (expected < kItems) {
    uint32_t burst[13];
    const std::size_t n = ring.Pop(burst);
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(burst[i], expected++);
  }
  producer.join();
}

bool Readable(const Doorbell& bell, int timeout_ms = 0) {
  pollfd fd{bell.fd(), POLLIN, 0};
  return poll(&fd, 1, timeout_ms) == 1;
}

TEST(DoorbellTest, RingsOnlyForASleeper) {
  Doorbell bell;
  bell.Ring();
  EXPECT_FALSE(Readable(bell));
  bell.Arm();
  bell.Ring();
  EXPECT_TRUE(Readable(bell));
  bell.Disarm();
  EXPECT_FALSE(Readable(bell));
}

TEST(DoorbellTest, NoWakeUpIsLost) {
  SpscRing<uint32_t> ring(1024);
  Doorbell bell;
  constexpr uint32_t kItems = 20'000;
  std::thread consumer([&] {
    uint32_t got = 0;
    while (got < kItems) {
      uint32_t burst[64];
      const std::size_t n = ring.Pop(burst);
      got += static_cast<uint32_t>(n);
      if (n > 0) continue;
      bell.Arm();
      if (ring.Empty()) {
        ASSERT_TRUE(Readable(bell, 5000)) << "slept although something was there";
      }
      bell.Disarm();
    }
  });
  for (uint32_t i = 0; i < kItems;) {
    const std::size_t pushed = ring.Push({&i, 1});
    if (pushed == 0) continue;
    bell.Ring();
    ++i;
  }
  consumer.join();
}

// --- Quiescence ---

TEST(QuiescenceTest, WithoutReadersOnlineAtOnce) {
  Quiescence q;
  q.AddReader();  // offline
  bool freed = false;
  q.Retire([&] { freed = true; });
  EXPECT_FALSE(freed);
  EXPECT_EQ(q.Collect(), 0u);
  EXPECT_TRUE(freed);
}

TEST(QuiescenceTest, WaitsForEveryReaderOnline) {
  Quiescence q;
  Quiescence::Reader* a = q.AddReader();
  Quiescence::Reader* b = q.AddReader();
  a->Online();
  b->Online();
  bool freed = false;
  q.Retire([&] { freed = true; });
  EXPECT_EQ(q.Collect(), 1u);
  a->Quiescent();
  EXPECT_EQ(q.Collect(), 1u);
  b->Offline();
  EXPECT_EQ(q.Collect(), 0u);
  EXPECT_TRUE(freed);
}

// Control unlinks, retires, then bumps the generation. A reader whose batch began between the last
// two still trusts its cache, and so may still use what was retired.
TEST(QuiescenceTest, ABatchThatBeganBetweenRetireAndCollectIsWaitedFor) {
  Quiescence q;
  Quiescence::Reader* reader = q.AddReader();
  reader->Online();
  bool freed = false;
  q.Retire([&] { freed = true; });
  reader->Quiescent();  // the batch begins here
  q.Collect();
  EXPECT_FALSE(freed);
  reader->Quiescent();
  q.Collect();
  EXPECT_TRUE(freed);
}

TEST(QuiescenceTest, DestructionFreesWhatWaits) {
  bool freed = false;
  {
    Quiescence q;
    q.AddReader()->Online();
    q.Retire([&] { freed = true; });
  }
  EXPECT_TRUE(freed);
}

TEST(QuiescenceTest, FreeingMayRetireMore) {
  Quiescence q;
  int freed = 0;
  q.Retire([&] {
    ++freed;
    q.Retire([&] { ++freed; });
  });
  q.Collect();
  q.Collect();
  EXPECT_EQ(freed, 2);
}

// --- RcuHash ---

TEST(RcuHashTest, NewestOfOneHashIsFoundFirst) {
  Quiescence q;
  RcuHash<int> hash(&q);
  int values[] = {1, 2, 3};
  for (int& v : values) hash.Insert(7, &v);
  EXPECT_EQ(hash.Find(7, [](const int*) { return true; }), &values[2]);
  EXPECT_EQ(hash.Find(7, [](const int* v) { return *v < 3; }), &values[1]);
  EXPECT_EQ(hash.Find(8, [](const int*) { return true; }), nullptr);
}

TEST(RcuHashTest, NewestStaysFirstWhenTheTableGrows) {
  Quiescence q;
  RcuHash<uint32_t> hash(&q);
  std::vector<uint32_t> values(1000);
  std::iota(values.begin(), values.end(), 0);
  for (uint32_t& v : values) hash.Insert(v % 10, &v);
  EXPECT_EQ(hash.size(), 1000u);
  for (uint32_t h = 0; h < 10; ++h) {
    std::vector<uint32_t> order;
    hash.Find(h, [&](const uint32_t* v) {
      order.push_back(*v);
      return false;
    });
    ASSERT_EQ(order.size(), 100u);
    for (uint32_t i = 0; i < 100; ++i) ASSERT_EQ(order[i], 990 - 10 * i + h);
  }
}

TEST(RcuHashTest, EraseTakesExactlyTheValue) {
  Quiescence q;
  RcuHash<int> hash(&q);
  int values[] = {1, 2, 3};
  for (int& v : values) hash.Insert(7, &v);
  hash.Erase(7, &values[1]);
  hash.Erase(7, &values[1]);
  EXPECT_EQ(hash.size(), 2u);
  EXPECT_EQ(hash.Find(7, [](const int* v) { return *v == 2; }), nullptr);
  EXPECT_EQ(hash.Find(7, [](const int* v) { return *v == 1; }), &values[0]);
  EXPECT_EQ(hash.Find(7, [](const int* v) { return *v == 3; }), &values[2]);
}

TEST(RcuHashTest, ReadersSeeWhatStaysWhileTheTableChanges) {
  Quiescence q;
  RcuHash<uint64_t> hash(&q);
  std::vector<uint64_t> kept(50);
  for (uint64_t i = 0; i < kept.size(); ++i) {
    kept[i] = i;
    hash.Insert(i * 11, &kept[i]);
  }
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> missed{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    Quiescence::Reader* reader = q.AddReader();
    readers.emplace_back([&, reader] {
      reader->Online();
      while (!stop.load()) {
        for (uint64_t i = 0; i < kept.size(); ++i) {
          const uint64_t* v = hash.Find(i * 11, [&](const uint64_t* x) { return *x == i; });
          if (v == nullptr) ++missed;
        }
        reader->Quiescent();
      }
      reader->Offline();
    });
  }
  for (uint64_t round = 0; round < 40; ++round) {
    std::vector<uint64_t*> passing;
    for (uint64_t i = 0; i < 100; ++i) {
      passing.push_back(new uint64_t(1'000'000 + i));
      hash.Insert(i * 11, passing.back());
    }
    for (uint64_t i = 0; i < 100; ++i) {
      hash.Erase(i * 11, passing[i]);
      q.Retire([p = passing[i]] { delete p; });
    }
    q.Collect();
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(missed, 0u);
  EXPECT_EQ(q.Collect(), 0u);
}

}  // namespace
}  // namespace cygnet
