// What threads use to hand data to each other: rings, doorbells, and memory that readers may still
// use.
#include <gtest/gtest.h>
#include <poll.h>

#include <deque>
#include <numeric>
#include <thread>
#include <vector>

#include "base/doorbell.h"
#include "base/ordered_rings.h"
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
      uint32_t batch[7];
      const uint32_t n = std::min<uint32_t>(7, kItems - next);
      std::iota(batch, batch + n, next);
      next += static_cast<uint32_t>(ring.Push({batch, n}));
    }
  });
  uint32_t expected = 0;
  while (expected < kItems) {
    uint32_t batch[13];
    const std::size_t n = ring.Pop(batch);
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(batch[i], expected++);
  }
  producer.join();
}

// --- OrderedRings ---

TEST(OrderedRingsTest, TheConsumerGetsPushesInTheirOrder) {
  OrderedRings<int> rings(3, 8);
  EXPECT_TRUE(rings.Empty());
  const auto push = [&](uint32_t producer, std::vector<int> items) {
    return rings.Push(producer, items);
  };
  EXPECT_EQ(push(2, {1, 2}), 2u);
  EXPECT_EQ(push(0, {3}), 1u);
  EXPECT_EQ(push(0, {4, 5}), 2u);
  EXPECT_EQ(push(1, {6}), 1u);
  EXPECT_EQ(push(2, {7}), 1u);
  const auto pop = [&](std::size_t most) {
    std::vector<int> out(most);
    uint32_t producer = 9;
    out.resize(rings.Pop(out, &producer));
    return std::pair(producer, out);
  };
  EXPECT_EQ(pop(8), std::pair(2u, std::vector{1, 2}));
  EXPECT_EQ(pop(2), std::pair(0u, std::vector{3, 4})) << "pushes of one producer go together";
  EXPECT_FALSE(rings.Empty());
  EXPECT_EQ(pop(8), std::pair(0u, std::vector{5})) << "a push may be taken in parts";
  EXPECT_EQ(pop(8), std::pair(1u, std::vector{6}));
  EXPECT_EQ(pop(8), std::pair(2u, std::vector{7}));
  EXPECT_TRUE(rings.Empty());
  EXPECT_EQ(pop(8), std::pair(9u, std::vector<int>{}));
}

TEST(OrderedRingsTest, WhatDoesNotFitHasNoTurn) {
  OrderedRings<int> rings(2, 2);
  const int in[] = {1, 2, 3};
  uint32_t producer = 0;
  int out[4];
  for (int round = 0; round < 10; ++round) {
    EXPECT_EQ(rings.Push(0, in), 2u);
    EXPECT_EQ(rings.Push(0, in), 0u);
    EXPECT_EQ(rings.Push(1, {in, 1}), 1u);
    EXPECT_EQ(rings.Pop(out, &producer), 2u);
    EXPECT_EQ(rings.Pop(out, &producer), 1u);
    EXPECT_EQ(producer, 1u);
    EXPECT_TRUE(rings.Empty());
  }
}

// Each producer pushes when it is its turn, as workers do that share an SA.
TEST(OrderedRingsTest, ProducersThatTakeTurnsAreNeverMixedUp) {
  constexpr uint32_t kProducers = 3;
  constexpr uint32_t kItems = 600;
  OrderedRings<uint32_t> rings(kProducers, 64);
  std::atomic<uint32_t> pushed{0};
  std::vector<std::thread> producers;
  for (uint32_t number = 0; number < kProducers; ++number) {
    producers.emplace_back([&, number] {
      for (uint32_t next = 0; next < kItems; std::this_thread::yield()) {
        next = pushed.load(std::memory_order_acquire);
        if (next >= kItems || next / 5 % kProducers != number) continue;
        if (rings.Push(number, {&next, 1}) == 0) continue;
        pushed.store(next + 1, std::memory_order_release);
      }
    });
  }
  uint32_t wrong = 0;
  for (uint32_t expected = 0; expected < kItems;) {
    uint32_t batch[13];
    uint32_t producer = 0;
    const std::size_t n = rings.Pop(batch, &producer);
    if (n == 0) std::this_thread::yield();
    for (std::size_t i = 0; i < n; ++i, ++expected) {
      if (batch[i] != expected || batch[i] / 5 % kProducers != producer) ++wrong;
    }
  }
  for (auto& producer : producers) producer.join();
  EXPECT_EQ(wrong, 0u);
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
      uint32_t batch[64];
      const std::size_t n = ring.Pop(batch);
      got += static_cast<uint32_t>(n);
      if (n > 0) continue;
      bell.Arm();
      if (ring.Empty()) {
        ASSERT_TRUE(Readable(bell, 5000)) << "slept although the ring was not empty";
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
// two still trusts its cache, so it may still use the retired object.
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

struct Named {
  uint64_t hash = 0;
  uint64_t value = 0;
};
struct HashOfNamed {
  uint64_t operator()(const Named& named) const { return named.hash; }
};
using NamedHash = RcuHash<Named, HashOfNamed>;

bool Any(const Named*) { return true; }

TEST(RcuHashTest, NewestOfOneHashIsFoundFirst) {
  Quiescence q;
  NamedHash hash(&q);
  Named values[] = {{7, 1}, {7, 2}, {7, 3}};
  for (Named& v : values) hash.Insert(&v);
  EXPECT_EQ(hash.Find(7, Any), &values[2]);
  EXPECT_EQ(hash.Find(7, [](const Named* v) { return v->value < 3; }), &values[1]);
  EXPECT_EQ(hash.Find(8, Any), nullptr);
}

// All values share one bucket and have different tags: `match` sees only values with the right tag.
TEST(RcuHashTest, OfABucketOnlyTheTagIsAskedAbout) {
  Quiescence q;
  NamedHash hash(&q);
  std::vector<Named> values(20);
  for (uint64_t i = 0; i < values.size(); ++i) {
    values[i] = {i << 48 | 5, i};
    hash.Insert(&values[i]);
  }
  for (uint64_t i = 0; i < values.size(); ++i) {
    uint64_t asked = 0;
    EXPECT_EQ(hash.Find(i << 48 | 5,
                        [&](const Named*) {
                          ++asked;
                          return false;
                        }),
              nullptr);
    EXPECT_EQ(asked, 1u) << i;
    EXPECT_EQ(hash.First(i << 48 | 5), &values[i]);
  }
  EXPECT_EQ(hash.First(uint64_t{99} << 48 | 5), nullptr);
}

// 100 values of each hash: the buckets overflow, and the table grows seven times.
TEST(RcuHashTest, NewestStaysFirstWhenTheTableGrows) {
  Quiescence q;
  NamedHash hash(&q);
  std::vector<Named> values(10'000);
  for (uint64_t i = 0; i < values.size(); ++i) {
    values[i] = {i % 100, i};
    hash.Insert(&values[i]);
  }
  EXPECT_EQ(hash.size(), 10'000u);
  for (uint64_t h = 0; h < 100; ++h) {
    std::vector<uint64_t> order;
    hash.Find(h, [&](const Named* v) {
      if (v->hash == h) order.push_back(v->value);
      return false;
    });
    ASSERT_EQ(order.size(), 100u);
    for (uint64_t i = 0; i < 100; ++i) ASSERT_EQ(order[i], 9900 - 100 * i + h);
  }
}

TEST(RcuHashTest, EraseTakesExactlyTheValue) {
  Quiescence q;
  NamedHash hash(&q);
  Named values[] = {{7, 1}, {7, 2}, {7, 3}};
  for (Named& v : values) hash.Insert(&v);
  hash.Erase(&values[1]);
  hash.Erase(&values[1]);
  EXPECT_EQ(hash.size(), 2u);
  EXPECT_EQ(hash.Find(7, [](const Named* v) { return v->value == 2; }), nullptr);
  EXPECT_EQ(hash.Find(7, [](const Named* v) { return v->value == 1; }), &values[0]);
  EXPECT_EQ(hash.Find(7, [](const Named* v) { return v->value == 3; }), &values[2]);
}

// As SAs are replaced one after the other: the order stays, and nothing is left behind.
TEST(RcuHashTest, ComingAndGoingInOneBucket) {
  Quiescence q;
  NamedHash hash(&q);
  std::deque<Named> there;
  for (uint64_t i = 0; i < 1000; ++i) {
    there.push_back({7, i});
    hash.Insert(&there.back());
    if (there.size() > 10) {
      hash.Erase(&there.front());
      there.pop_front();
    }
    EXPECT_EQ(hash.size(), there.size());
    std::vector<uint64_t> order;
    hash.ForEach([&](const Named* v) { order.push_back(v->value); });
    ASSERT_EQ(order.size(), there.size());
    for (std::size_t k = 0; k < order.size(); ++k) ASSERT_EQ(order[k], i - k);
    q.Collect();
  }
}

TEST(RcuHashTest, ReadersSeeWhatStaysWhileTheTableChanges) {
  Quiescence q;
  NamedHash hash(&q);
  std::vector<Named> kept(50);
  const auto hash_of = [](uint64_t i) { return i << 48 | (i % 8); };  // crowded
  for (uint64_t i = 0; i < kept.size(); ++i) {
    kept[i] = {hash_of(i), i};
    hash.Insert(&kept[i]);
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
          if (!hash.Find(hash_of(i), [&](const Named* x) { return x->value == i; })) ++missed;
        }
        reader->Quiescent();
      }
      reader->Offline();
    });
  }
  for (uint64_t round = 0; round < 200; ++round) {
    std::vector<Named*> passing;
    for (uint64_t i = 0; i < 100; ++i) {
      passing.push_back(new Named{hash_of(i), 1'000'000 + i});
      hash.Insert(passing.back());
    }
    for (uint64_t i = 0; i < 100; ++i) {
      hash.Erase(passing[(i * 37 + round) % 100]);
      q.Retire([p = passing[(i * 37 + round) % 100]] { delete p; });
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
