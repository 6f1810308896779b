#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "packet/packet_batch.h"

namespace cygnet {
namespace {

TEST(PacketTest, GrowsAndShrinksAtBothEnds) {
  PacketPools pools{4, 1};
  PacketCaches caches(&pools);
  Packet* p = caches.small.Take();
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(p->headroom(), kPacketHeadroom);
  EXPECT_EQ(p->length, 0u);
  uint8_t* first = p->Append(10);
  EXPECT_EQ(first, p->buffer + kPacketHeadroom);
  EXPECT_EQ(p->Prepend(4), first - 4);
  EXPECT_EQ(p->length, 14u);
  p->TrimFront(6);
  EXPECT_EQ(p->data(), first + 2);
  p->TrimTo(3);
  EXPECT_EQ(p->bytes().size(), 3u);
  EXPECT_EQ(p->headroom() + p->length + p->tailroom(), p->capacity);
  p->l3_offset = 2;
  EXPECT_EQ(p->l3().size(), 1u);
  caches.Give(p);
}

TEST(PacketPoolTest, PacketsAreApartAndComeBackClean) {
  PacketPools pools{130, 1};
  PacketCaches caches(&pools);
  std::set<uint8_t*> buffers;
  std::vector<Packet*> taken;
  while (Packet* p = caches.small.Take()) {
    buffers.insert(p->buffer);
    p->csum_partial = true;
    p->gso_type = GsoType::kTcpV4;
    p->gso_size = 9;
    p->interface = 3;
    p->l3_offset = 14;
    p->offload.status = OffloadStatus::kSealRequested;
    p->offload.handle = OffloadHandle(7);
    p->Append(100);
    taken.push_back(p);
  }
  EXPECT_EQ(taken.size(), 130u);
  EXPECT_EQ(buffers.size(), 130u);
  auto it = buffers.begin();
  for (uint8_t* before = *it++; it != buffers.end(); before = *it++) {
    EXPECT_GE(static_cast<std::size_t>(*it - before), kSmallPacketBytes);
  }
  for (Packet* p : taken) caches.Give(p);
  Packet* p = caches.small.Take();
  EXPECT_FALSE(p->csum_partial);
  EXPECT_EQ(p->gso_type, GsoType::kNone);
  EXPECT_EQ(p->gso_size, 0);
  EXPECT_EQ(p->interface, 0);
  EXPECT_EQ(p->offload.status, OffloadStatus::kNone);
  EXPECT_EQ(p->offload.handle, OffloadHandle());
  EXPECT_EQ(p->length, 0u);
  EXPECT_EQ(p->headroom(), kPacketHeadroom);
  caches.Give(p);
}

TEST(PacketCacheTest, GivesItsStockBackInTheEnd) {
  PacketPools pools{1000, 2};
  {
    PacketCaches caches(&pools);
    std::vector<Packet*> taken;
    for (int i = 0; i < 700; ++i) taken.push_back(caches.small.Take());
    for (Packet* p : taken) caches.Give(p);
    EXPECT_LT(pools.small.Available(), 1000u);
  }
  EXPECT_EQ(pools.small.Available(), 1000u);
}

TEST(PacketCacheTest, PacketsGoBackToTheirOwnPool) {
  PacketPools pools{4, 4};
  {
    PacketCaches caches(&pools);
    Packet* small = caches.small.Take();
    Packet* jumbo = caches.jumbo.Take();
    EXPECT_GE(jumbo->tailroom(), 65'535u + 14u);
    caches.Give(jumbo);
    caches.Give(small);
  }
  EXPECT_EQ(pools.small.Available(), 4u);
  EXPECT_EQ(pools.jumbo.Available(), 4u);
}

TEST(PacketCacheTest, AFrameGetsAPacketOfItsSize) {
  PacketPools pools{4, 4, 4};
  {
    PacketCaches caches(&pools);
    const struct {
      uint32_t frame;
      const PacketPool* pool;
    } cases[] = {{60, &pools.small},
                 {kSmallFrame, &pools.small},
                 {kSmallFrame + 1, &pools.large},
                 {kLargestMtu + 14 + 8, &pools.large},
                 {kLargeFrame, &pools.large},
                 {kLargeFrame + 1, &pools.jumbo}};
    for (const auto& c : cases) {
      Packet* packet = caches.TakeFor(c.frame);
      ASSERT_NE(packet, nullptr);
      EXPECT_EQ(packet->pool, c.pool) << c.frame;
      EXPECT_EQ(packet->headroom(), kPacketHeadroom);
      EXPECT_GE(packet->tailroom(), c.frame + kPacketTailroom);
      caches.Give(packet);
    }
    std::vector<Packet*> all;
    while (Packet* packet = caches.TakeFor(9000)) all.push_back(packet);
    EXPECT_EQ(all.size(), 4u) << "the jumbo packets stay with the super-packets";
    for (Packet* packet : all) caches.Give(packet);
  }
  EXPECT_EQ(pools.small.Available(), 4u);
  EXPECT_EQ(pools.large.Available(), 4u);
  EXPECT_EQ(pools.jumbo.Available(), 4u);
}

TEST(PacketCacheTest, WithoutLargePacketsAJumboFrameGetsAJumboPacket) {
  PacketPools pools{4, 4};
  PacketCaches caches(&pools);
  EXPECT_EQ(pools.LargestMtu(), 2226u);
  Packet* packet = caches.TakeFor(9000);
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(packet->pool, &pools.jumbo);
  caches.Give(packet);
}

// A device's thread takes and a worker gives back: the worker's stock must not swallow the pool.
TEST(PacketCacheTest, ThreadThatOnlyGivesBackDoesNotHoardASmallPool) {
  for (const uint32_t count : {8u, 64u, 256u}) {
    PacketPools pools{8, count};
    PacketCaches taker(&pools);
    PacketCaches giver(&pools);
    for (int i = 0; i < 2000; ++i) {
      Packet* p = taker.jumbo.Take();
      ASSERT_NE(p, nullptr) << "after " << i << " of a pool of " << count;
      giver.Give(p);
    }
  }
}

TEST(PacketPoolTest, ThreadsShareAPoolAndLoseNothing) {
  PacketPools pools{2000, 1};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      PacketCaches caches(&pools);
      std::vector<Packet*> mine;
      for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < 150; ++i) {
          if (Packet* p = caches.small.Take()) mine.push_back(p);
        }
        for (Packet* p : mine) caches.Give(p);
        mine.clear();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(pools.small.Available(), 2000u);
}

class PacketBatchTest : public testing::Test {
 protected:
  void Fill(uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) {
      Packet* p = caches_.small.Take();
      p->Append(i + 1);
      batch_.Push(p);
    }
  }
  void TearDown() override { batch_.DropAll(DropReason::kPortFull, &sink_); }
  PacketPools pools_{128, 1};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  PacketBatch batch_;
};

TEST_F(PacketBatchTest, FilterKeepsOrderAndCountsReasons) {
  Fill(10);
  batch_.Filter(
      [](Packet* p, uint32_t i) {
        EXPECT_EQ(p->length, i + 1);
        if (i % 5 == 0) return DropReason::kInAuthFailed;
        return i % 3 == 0 ? DropReason::kInNoState : DropReason::kNone;
      },
      &sink_);
  std::vector<uint32_t> left;
  for (const Packet* p : batch_.packets()) left.push_back(p->length);
  EXPECT_EQ(left, (std::vector<uint32_t>{2, 3, 5, 8, 9}));
  EXPECT_EQ(counters_.Get(DropReason::kInAuthFailed), 2u);
  EXPECT_EQ(counters_.Get(DropReason::kInNoState), 3u);
}

TEST_F(PacketBatchTest, PartitionKeepsTheOrderOfBoth) {
  Fill(6);
  PacketBatch even;
  batch_.Partition([](const Packet* p) { return p->length % 2 == 0; }, &even);
  const auto lengths = [](PacketBatch* batch) {
    std::vector<uint32_t> all;
    for (const Packet* p : batch->packets()) all.push_back(p->length);
    return all;
  };
  EXPECT_EQ(lengths(&batch_), (std::vector<uint32_t>{1, 3, 5}));
  EXPECT_EQ(lengths(&even), (std::vector<uint32_t>{2, 4, 6}));
  batch_.Partition([](const Packet*) { return true; }, &even);
  EXPECT_TRUE(batch_.empty());
  EXPECT_EQ(lengths(&even), (std::vector<uint32_t>{2, 4, 6, 1, 3, 5}));
  even.DropAll(DropReason::kPortFull, &sink_);
}

TEST_F(PacketBatchTest, ReleaseFrontMovesTheRest) {
  Fill(5);
  std::vector<Packet*> taken(batch_.packets().begin(), batch_.packets().begin() + 2);
  batch_.ReleaseFront(2);
  EXPECT_EQ(batch_.size(), 3u);
  EXPECT_EQ(batch_[0]->length, 3u);
  EXPECT_EQ(batch_[2]->length, 5u);
  for (Packet* p : taken) caches_.Give(p);
}

TEST_F(PacketBatchTest, HoldsUpToItsLimit) {
  Fill(kMaxBatch);
  EXPECT_TRUE(batch_.full());
  EXPECT_EQ(batch_.room(), 0u);
}

TEST(DropReasonTest, EachHasANameOfItsOwnAndAKnownCounter) {
  std::set<std::string_view> names;
  const auto stats = XfrmStatNames();
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const DropReasonInfo& info = Describe(static_cast<DropReason>(i));
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_FALSE(info.text.empty());
    if (info.xfrm_stat.empty()) continue;
    EXPECT_NE(std::find(stats.begin(), stats.end(), info.xfrm_stat), stats.end()) << info.xfrm_stat;
  }
}

// The text table is separate from the enum; both must have the same order.
TEST(DropReasonTest, TableIsInTheOrderOfTheEnum) {
  EXPECT_EQ(Describe(DropReason::kNone).name, "none");
  EXPECT_EQ(Describe(DropReason::kInReplayDuplicate).name, "in-replay-duplicate");
  EXPECT_EQ(Describe(DropReason::kInAuthFailed).name, "in-auth-failed");
  EXPECT_EQ(Describe(DropReason::kInTemplateMismatch).name, "in-template-mismatch");
  EXPECT_EQ(Describe(DropReason::kInFragmentOverlap).name, "in-fragment-overlap");
  EXPECT_EQ(Describe(DropReason::kOutBadPacket).name, "out-bad-packet");
  EXPECT_EQ(Describe(DropReason::kOutGuard).name, "out-guard");
  EXPECT_EQ(Describe(DropReason::kPortFull).name, "port-full");
  EXPECT_EQ(Describe(DropReason::kNoBuffers).name, "no-buffers");
}

}  // namespace
}  // namespace cygnet
