// One tunnel in packet offload, a software NIC in its thread, two workers in theirs, and control
// that grants numbers in small blocks: each inner flow stays at one worker and in order.
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <thread>
#include <vector>

#include "support/esp_oracle.h"
#include "support/ring_port.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;

constexpr uint32_t kWorkers = 2;
constexpr uint32_t kFlows = 16;
constexpr uint32_t kPackets = 20'000;
constexpr uint32_t kBlock = 200;        // numbers that the device is given at a time
constexpr uint32_t kOutstanding = 512;  // less than any ring or queue on the way holds
constexpr int32_t kIfindex = 1;

// Notes what each worker delivers, in its order.
class Deliveries final : public test::RingPort {
 public:
  struct Item {
    uint16_t flow = 0;
    uint32_t number = 0;
  };
  using RingPort::RingPort;
  uint32_t queues() const override { return kWorkers; }
  uint32_t Receive(uint32_t, PacketBatch*, DropSink*) override { return 0; }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    for (const Packet* packet : batch->packets()) {
      const uint8_t* ip = packet->data() + 14;
      items[queue].push_back({LoadBe16(ip + 20), LoadBe32(ip + 28)});
    }
    count.fetch_add(batch->size());
    for (Packet* packet : batch->packets()) sink->Recycle(packet);
    batch->ReleaseAll();
  }
  std::array<std::vector<Item>, kWorkers> items;  // each written by its worker only
  std::atomic<uint32_t> count{0};
};

class InnerFlowsTest : public testing::Test {
 protected:
  InnerFlowsTest() {
    auto wire = std::make_unique<test::RingPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<SimNic>("nic0", std::move(wire), kWorkers, &pools_, nullptr,
                                    SimNicOptions{.sa_limit = 4});
    path_.interfaces.push_back(
        {.host = &host_, .wire = nic_.get(), .offload = nic_.get(), .ifindex = kIfindex});
    path_.SetHostAddresses({test::Addr("10.2.0.1"), test::Addr("192.0.2.2")});
    path_.spd.Insert(test::MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16",
                                      {test::TemplateFor({})}),
                     1);
    Install();
    for (uint32_t i = 0; i < kWorkers; ++i) {
      workers_.push_back(std::make_unique<Worker>(&path_, i, &pools_, &engines_, &clock_));
    }
  }
  ~InnerFlowsTest() override {
    for (auto& worker : workers_) worker->Stop();
    workers_.clear();
    binding_->device()->ReleaseSa(binding_->handle);
  }

  static SaSpec MakeSpec() {
    return test::MakeSpec({.flags = kSaFlagEsn,
                           .window = 1024,
                           .offload = OffloadRequest{OffloadMode::kPacket, kIfindex, true}});
  }
  void Install() {
    const auto sa = MakeSharedSa(MakeSpec(), 1, uint64_t{1});
    sa->number = path_.sad.NextNumber();
    const PlacementDevice device{nic_.get(), PlacementMode::kAuto, kIfindex};
    auto bound = BindHalf(sa->spec(), Half::kInbound,
                          {.request = ClientRequest(spec_),
                           .devices = {&device, 1u},
                           .engines = &engines_,
                           .queues = kWorkers,
                           .number = static_cast<uint32_t>(sa->number),
                           .numbers = [](const OffloadDevice&) {
                             return NumberBlock{1, kBlock};
                           }});
    ASSERT_TRUE(bound.has_value());
    binding_ = bound->ReleaseNext();
    sa->inbound()->binding = binding_.get();
    path_.sad.Insert(sa);
    path_.sad.IndexByNumber(sa);
    path_.BumpGeneration();
    nic_->StartSa(binding_->handle);
  }

  Bytes Sealed(uint32_t number) const {
    Bytes payload(32);
    test::Put32(&payload, 0, number);
    const Bytes inner = test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"},
                                  static_cast<uint16_t>(1 + number % kFlows), 2, payload);
    return test::SealedFrame(spec_, number, test::WithTrailer(inner, kProtoIpip));
  }

  // As control does, but late: packets wait for numbers again and again.
  void Grant() {
    uint64_t last = kBlock;
    while (!stop_granting_.load()) {
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      if (nic_->TakeEvents().empty()) continue;
      last += kBlock;
      nic_->Grant(binding_->handle, {1, last});
      ++grants_;
    }
  }

  const SaSpec spec_ = MakeSpec();
  PacketPools pools_{4096, 4};
  SystemClock clock_;
  EngineSet engines_ = test::MakeEngines();
  Deliveries host_{"host"};
  test::RingPort* wire_ = nullptr;
  std::unique_ptr<SimNic> nic_;
  DataPath path_{kWorkers};
  std::unique_ptr<SaBinding> binding_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stop_granting_{false};
  uint32_t grants_ = 0;
};

TEST_F(InnerFlowsTest, EachFlowKeepsItsWorkerAndItsOrder) {
  std::vector<Bytes> frames;
  for (uint32_t i = 1; i <= kPackets; ++i) frames.push_back(Sealed(i));
  nic_->Start();
  for (auto& worker : workers_) worker->Start();
  std::thread control([this] { Grant(); });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  const auto delivered = [&](uint32_t n) {
    while (host_.count.load() < n) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  };
  bool all = true;
  for (uint32_t i = 0; i < kPackets && all; ++i) {
    all = i < kOutstanding || delivered(i - kOutstanding);
    Packet* packet = test::MakePacket(&pools_, frames[i]);
    if (!wire_->Feed(packet)) test::FreePacket(packet);
  }
  all = all && delivered(kPackets);
  stop_granting_ = true;
  control.join();
  EXPECT_TRUE(all) << host_.count << " of " << kPackets;
  EXPECT_GT(grants_, kPackets / kBlock / 4);
  std::array<uint32_t, kFlows> last{};
  for (auto& worker : workers_) worker->Stop();
  std::array<std::set<uint32_t>, kFlows> at;  // workers of each flow
  for (uint32_t w = 0; w < kWorkers; ++w) {
    for (const Deliveries::Item& item : host_.items[w]) {
      const uint32_t flow = item.flow - 1u;
      ASSERT_LT(flow, kFlows);
      EXPECT_GT(item.number, last[flow]) << "flow " << flow;
      last[flow] = item.number;
      at[flow].insert(w);
    }
    EXPECT_FALSE(host_.items[w].empty()) << "worker " << w << " has nothing to do";
  }
  for (const auto& workers : at) EXPECT_EQ(workers.size(), 1u);
}

}  // namespace
}  // namespace cygnet
