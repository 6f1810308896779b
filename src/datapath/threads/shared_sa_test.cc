// Workers that share one SA: their numbers reach the wire in an order that a receiver with a replay
// window of 32 accepts, whichever worker finishes first, and also behind the software NIC, whose
// thread sends.
#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

#include "device/sim_nic/sim_nic.h"
#include "support/ring_port.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::SaOptions;

constexpr uint32_t kWorkers = 2;

constexpr uint32_t kOutstanding = 1024;  // less than a ring on the way holds

// Supplies `count` frames to each worker, and accepts none. `arrived`: at the wire.
class SourcePort final : public test::RingPort {
 public:
  SourcePort(PacketPools* pools, Bytes frame, const std::atomic<uint32_t>* arrived)
      : RingPort("source"),
        frame_(std::move(frame)),
        arrived_(arrived),
        caches_{PacketCaches(pools), PacketCaches(pools)} {}
  void Offer(uint32_t count) {
    for (auto& left : left_) left.store(count);
  }
  uint32_t queues() const override { return kWorkers; }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink*) override {
    uint32_t n = 0;
    if (given_.load() - arrived_->load() > kOutstanding - kWorkers * kMaxBatch) return 0;
    for (; left_[queue].load() > 0 && !out->full(); ++n) {
      Packet* packet = caches_[queue].small.Take();
      if (packet == nullptr) break;
      std::memcpy(packet->Append(static_cast<uint32_t>(frame_.size())), frame_.data(),
                  frame_.size());
      packet->offload = OffloadMeta{};
      out->Push(packet);
      left_[queue].fetch_sub(1);
    }
    given_.fetch_add(n);
    return n;
  }
  bool PrepareWait(uint32_t queue) override { return left_[queue].load() == 0; }
  void FinishWait(uint32_t) override {}

 private:
  const Bytes frame_;
  const std::atomic<uint32_t>* const arrived_;
  std::atomic<uint32_t> given_{0};
  std::array<PacketCaches, kWorkers> caches_;
  std::array<std::atomic<uint32_t>, kWorkers> left_{};
};

// Records the sequence numbers of ESP packets in the order in which it gets them.
class WireInOrder final : public test::RingPort {
 public:
  explicit WireInOrder(std::atomic<uint32_t>* count) : RingPort("wire"), arrived(count) {}
  std::atomic<uint32_t>* const arrived;
  uint32_t queues() const override { return kWorkers; }
  uint32_t Receive(uint32_t, PacketBatch*, DropSink*) override { return 0; }
  void Transmit(uint32_t, PacketBatch* batch, DropSink* sink) override {
    {
      const std::lock_guard lock(mutex_);
      for (const Packet* packet : batch->packets()) {
        numbers_.push_back(LoadBe32(packet->data() + 14 + 20 + 4));
      }
      arrived->fetch_add(batch->size());
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

class SharedSaTest : public testing::TestWithParam<bool> {
 protected:
  static constexpr uint32_t kPackets = 20'000;  // of each worker in a round

  SharedSaTest() {
    auto wire = std::make_unique<WireInOrder>(&arrived_);
    wire_ = wire.get();
    port_ = std::move(wire);
    if (GetParam()) {
      auto nic = std::make_unique<SimNic>("nic0", std::move(port_), kWorkers, &pools_, nullptr);
      nic->Start();
      port_ = std::move(nic);
    }
    path_.interfaces.push_back({.host = &host_, .wire = port_.get(), .ifindex = 1});
    path_.spd.Insert(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                      {test::TemplateFor({})}),
                     1);
    sa_->outbound()->binding = &bound_->next();
    path_.sad.Insert(sa_);
    path_.BumpGeneration();
    for (uint32_t i = 0; i < kWorkers; ++i) {
      workers_.push_back(std::make_unique<Worker>(&path_, i, &pools_, &engines_, &clock_));
      workers_.back()->Start();
    }
  }
  ~SharedSaTest() override {
    for (auto& worker : workers_) worker->Stop();
    workers_.clear();
  }

  // Each worker sends kPackets. Their numbers, as the wire got them.
  std::vector<uint32_t> Round() {
    host_.Offer(kPackets);
    for (auto& bell : path_.bells) bell->Ring();
    for (int i = 0; i < 20'000 && wire_->size() < kWorkers * kPackets; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return wire_->Take();
  }
  // A worker notes the departure after the wire has the packets.
  bool AllHaveLeft(uint32_t highest) const {
    const auto& sequence = sa_->outbound()->sequence;
    for (int i = 0; i < 5'000 && !sequence.TurnOf(highest + 1); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return sequence.TurnOf(highest + 1);
  }

  PacketPools pools_{4096, 4};
  SystemClock clock_;
  EngineSet engines_ = test::MakeEngines();
  std::atomic<uint32_t> arrived_{0};
  SourcePort host_{
      &pools_,
      test::Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, test::Pattern(1000))),
      &arrived_};
  WireInOrder* wire_ = nullptr;
  std::unique_ptr<Port> port_;
  const SaPtr sa_ = MakeSharedSa(test::MakeSpec(SaOptions{}), 1, uint64_t{1});
  const Result<BoundHalf> bound_ =
      BindHalf(sa_->spec(), Half::kOutbound, {.engines = &engines_, .queues = kWorkers});
  DataPath path_{kWorkers};
  std::vector<std::unique_ptr<Worker>> workers_;
};

INSTANTIATE_TEST_SUITE_P(Wires, SharedSaTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "SoftwareNic" : "Plain"; });

// The wait for a worker that the scheduler does not run is bounded, so on a busy machine a round
// may lose packets. Without ordering, every round loses some percent.
TEST_P(SharedSaTest, ReceiverWithASmallWindowLosesNothing) {
  uint32_t dropped = 0;
  int clean = 0;
  uint32_t highest = 0;
  for (int round = 0; round < 4; ++round) {
    const std::vector<uint32_t> numbers = Round();
    ASSERT_EQ(numbers.size(), kWorkers * kPackets);
    const Received received = WithWindow(numbers, 32, highest);
    highest += kWorkers * kPackets;
    dropped += received.dropped;
    clean += received.dropped == 0 ? 1 : 0;
    EXPECT_EQ(sa_->outbound()->sequence.last_sent(), highest);
    EXPECT_TRUE(AllHaveLeft(highest)) << "every run has left";
  }
  RecordProperty("dropped", static_cast<int>(dropped));
  EXPECT_GT(clean, 0);
  EXPECT_LT(dropped, kPackets / 1000 * 8);
}

}  // namespace
}  // namespace cygnet
