// Workers that share one SA: their numbers reach the wire in an order that a receiver with a replay
// window of 32 accepts, whichever worker finishes first.
#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

#include "support/ring_port.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::SaOptions;

constexpr uint32_t kWorkers = 2;

// Supplies `count` frames to each worker, and accepts none.
class SourcePort final : public test::RingPort {
 public:
  SourcePort(PacketPools* pools, Bytes frame)
      : RingPort("source"),
        frame_(std::move(frame)),
        caches_{PacketCaches(pools), PacketCaches(pools)} {}
  void Offer(uint32_t count) {
    for (auto& left : left_) left.store(count);
  }
  uint32_t queues() const override { return kWorkers; }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink*) override {
    uint32_t n = 0;
    for (; left_[queue].load() > 0 && !out->full(); ++n) {
      Packet* packet = caches_[queue].small.Take();
      if (packet == nullptr) break;
      std::memcpy(packet->Append(static_cast<uint32_t>(frame_.size())), frame_.data(),
                  frame_.size());
      packet->offload = OffloadMeta{};
      out->Push(packet);
      left_[queue].fetch_sub(1);
    }
    return n;
  }
  bool PrepareWait(uint32_t queue) override { return left_[queue].load() == 0; }
  void FinishWait(uint32_t) override {}

 private:
  const Bytes frame_;
  std::array<PacketCaches, kWorkers> caches_;
  std::array<std::atomic<uint32_t>, kWorkers> left_{};
};

// Records the sequence numbers of ESP packets in the order in which it gets them.
class WireInOrder final : public test::RingPort {
 public:
  using RingPort::RingPort;
  uint32_t queues() const override { return kWorkers; }
  uint32_t Receive(uint32_t, PacketBatch*, DropSink*) override { return 0; }
  void Transmit(uint32_t, PacketBatch* batch, DropSink* sink) override {
    {
      const std::lock_guard lock(mutex_);
      for (const Packet* packet : batch->packets()) {
        numbers_.push_back(LoadBe32(packet->data() + 14 + 20 + 4));
      }
    }
    for (Packet* packet : batch->packets()) sink->Recycle(packet);
    batch->ReleaseAll();
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return numbers_.size();
  }
  std::vector<uint32_t> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(numbers_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<uint32_t> numbers_;
};

struct Received {
  uint32_t dropped = 0;
  uint32_t reordered = 0;
};

// The window of RFC 4303 section 3.4.3.
Received WithWindow(const std::vector<uint32_t>& numbers, uint32_t window, uint32_t highest) {
  Received received;
  for (const uint32_t number : numbers) {
    if (number + window <= highest) ++received.dropped;
    if (number < highest) ++received.reordered;
    highest = std::max(highest, number);
  }
  return received;
}

TEST(SharedSaTest, ReceiverWithASmallWindowLosesNothing) {
  constexpr uint32_t kPackets = 20'000;  // of each worker in a round
  PacketPools pools(4096, 4);
  SystemClock clock;
  EngineSet engines = test::MakeEngines();
  DataPath path(kWorkers);
  SourcePort host(&pools, test::Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2,
                                                test::Pattern(1000))));
  WireInOrder wire("wire");
  path.interfaces.push_back({.host = &host, .wire = &wire, .ifindex = 1});
  const auto policy = path.spd.Insert(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16",
                                                       "10.2.0.0/16", {test::TemplateFor({})}),
                                      1);
  const auto sa = std::make_shared<Sa>(test::MakeSpec(SaOptions{}), 1, uint64_t{1});
  const auto bound =
      BindHalf(sa->spec(), Half::kOutbound, {.engines = &engines, .queues = kWorkers});
  ASSERT_TRUE(bound.has_value());
  sa->outbound()->binding = &bound->next();
  path.sad.Insert(sa);
  path.BumpGeneration();
  std::vector<std::unique_ptr<Worker>> workers;
  for (uint32_t i = 0; i < kWorkers; ++i) {
    workers.push_back(std::make_unique<Worker>(&path, i, &pools, &engines, &clock));
    workers.back()->Start();
  }
  // The wait for a worker that the scheduler does not run is bounded, so on a busy machine a round
  // may lose packets. Without ordering, every round loses some percent.
  uint32_t dropped = 0;
  int clean = 0;
  uint32_t highest = 0;
  for (int round = 0; round < 4; ++round) {
    host.Offer(kPackets);
    for (auto& bell : path.bells) bell->Ring();
    for (int i = 0; i < 20'000 && wire.size() < kWorkers * kPackets; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const std::vector<uint32_t> numbers = wire.Take();
    ASSERT_EQ(numbers.size(), kWorkers * kPackets);
    const Received received = WithWindow(numbers, 32, highest);
    highest += kWorkers * kPackets;
    dropped += received.dropped;
    clean += received.dropped == 0 ? 1 : 0;
    EXPECT_EQ(sa->outbound()->sequence.last_sent(), highest);
    // A worker notes the departure after the wire has the packets.
    const auto& sequence = sa->outbound()->sequence;
    for (int i = 0; i < 5'000 && !sequence.TurnOf(highest + 1); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(sequence.TurnOf(highest + 1)) << "every run has left";
  }
  for (auto& worker : workers) worker->Stop();
  RecordProperty("dropped", static_cast<int>(dropped));
  EXPECT_GT(clean, 0);
  EXPECT_LT(dropped, kPackets / 1000 * 8);
  workers.clear();
}

}  // namespace
}  // namespace cygnet
