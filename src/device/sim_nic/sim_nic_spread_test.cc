// The software NIC alone: which worker gets a packet, and in which order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "device/sim_nic/sim_nic.h"
#include "support/esp_oracle.h"
#include "support/fake_clock.h"
#include "support/fragment_builder.h"
#include "support/memory_port.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Pattern;
using testing::ElementsAre;
using testing::SizeIs;

constexpr uint32_t kQueues = 2;
constexpr uint16_t kFlows = 64;

// A wire that lets control act after the NIC's thread has looked at the packets that wait, and
// before it takes new ones.
class InterruptedWire final : public Port {
 public:
  MemoryPort memory{"wire"};
  std::function<void()> then;

  std::string_view name() const override { return memory.name(); }
  MacAddress mac() const override { return memory.mac(); }
  uint32_t mtu() const override { return memory.mtu(); }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return memory.stats(); }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    if (then) std::exchange(then, nullptr)();
    return memory.Receive(queue, out, sink);
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    memory.Transmit(queue, batch, sink);
  }
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return memory.arriving.empty(); }
  void FinishWait(uint32_t) override {}
};

class SimNicSpreadTest : public testing::Test {
 protected:
  SimNicSpreadTest() {
    auto wire = std::make_unique<InterruptedWire>();
    wire_ = wire.get();
    nic_ = std::make_unique<SimNic>("nic0", std::move(wire), kQueues, &pools_, nullptr,
                                    SimNicOptions{.sa_limit = 64}, FaultScript(), &clock_);
  }
  OffloadHandle Install(const SaSpec& spec, OffloadMode mode, NumberBlock numbers = {}) {
    OffloadHandle handle;
    EXPECT_FALSE(nic_->InstallSa({.spec = spec,
                                  .half = Half::kInbound,
                                  .mode = mode,
                                  .numbers = numbers,
                                  .number = 7},
                                 &handle)
                     .has_value());
    nic_->StartSa(handle);
    return handle;
  }
  static Bytes Inner(uint16_t port, const char* src = "10.1.0.1") {
    return test::Udp({.src = src, .dst = "10.2.0.1"}, port, 2, Pattern(40));
  }
  static Bytes Sealed(const SaSpec& spec, uint64_t seq, uint16_t port) {
    return test::SealedFrame(spec, seq, test::WithTrailer(Inner(port), kProtoIpip));
  }
  void Arrive(const Bytes& frame) {
    wire_->memory.arriving.push_back(test::MakePacket(&pools_, frame));
  }
  void Run() {
    while (nic_->RunOnce() != 0) {
    }
  }
  struct Up {
    OffloadStatus status = OffloadStatus::kNone;
    Bytes frame;
    uint16_t port() const { return LoadBe16(frame.data() + 34); }  // decapsulated, or in clear
  };
  std::vector<Up> Queue(uint32_t queue) {
    Run();
    std::vector<Up> up;
    PacketBatch batch;
    while (nic_->Receive(queue, &batch, &sink_) > 0) {
      for (Packet* packet : batch.packets()) {
        up.push_back({packet->offload.status, test::ToBytes(packet->bytes())});
        sink_.Recycle(packet);
      }
      batch.ReleaseAll();
    }
    return up;
  }
  // The queue of each flow, by port. Fails if a flow is in both, or out of order.
  std::map<uint16_t, uint32_t> QueuesOfFlows() {
    std::map<uint16_t, uint32_t> queues;
    for (uint32_t q = 0; q < kQueues; ++q) {
      for (const Up& up : Queue(q)) {
        EXPECT_EQ(up.status, OffloadStatus::kDecapsulated);
        const auto [at, is_new] = queues.emplace(up.port(), q);
        EXPECT_EQ(at->second, q) << "flow " << up.port();
      }
    }
    return queues;
  }

  PacketPools pools_{4096, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  test::FakeClock clock_;
  InterruptedWire* wire_;
  std::unique_ptr<SimNic> nic_;
};

TEST_F(SimNicSpreadTest, OneTunnelSpreadsByInnerFlow) {
  const SaSpec spec = test::MakeSpec();
  Install(spec, OffloadMode::kPacket, {1, 100'000});
  uint64_t seq = 0;
  for (int round = 0; round < 3; ++round) {
    for (uint16_t flow = 1; flow <= kFlows; ++flow) Arrive(Sealed(spec, ++seq, flow));
  }
  const auto queues = QueuesOfFlows();
  EXPECT_THAT(queues, SizeIs(kFlows));
  const auto second = std::count_if(queues.begin(), queues.end(),
                                    [](const auto& flow) { return flow.second == 1; });
  EXPECT_GT(second, kFlows / 8);
  EXPECT_LT(second, kFlows - kFlows / 8);
}

TEST_F(SimNicSpreadTest, PacketsThatWaitedForNumbersStayInOrder) {
  const SaSpec spec = test::MakeSpec({.window = 1024});
  const OffloadHandle handle = Install(spec, OffloadMode::kPacket, {1, 10});
  // One flow, numbered in the payload.
  const auto arrive = [&](uint16_t seq) {
    const Bytes inner = test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 5, 2, {0, 0, 0, 0});
    Bytes numbered = inner;
    numbered[28] = static_cast<uint8_t>(seq >> 8);
    numbered[29] = static_cast<uint8_t>(seq);
    Arrive(test::SealedFrame(spec, seq, test::WithTrailer(numbered, kProtoIpip)));
  };
  for (uint16_t seq = 1; seq <= 200; ++seq) arrive(seq);
  Run();
  for (uint16_t seq = 201; seq <= 300; ++seq) arrive(seq);
  wire_->then = [&] { nic_->packet_offload()->Grant(handle, {1, 1000}); };
  std::vector<uint32_t> numbers;
  for (uint32_t q = 0; q < kQueues; ++q) {
    for (const Up& up : Queue(q)) numbers.push_back(LoadBe16(up.frame.data() + 14 + 28));
  }
  EXPECT_THAT(numbers, SizeIs(300));
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST_F(SimNicSpreadTest, CryptoOffloadAndUnknownEspSpreadBySpi) {
  const SaSpec known = test::MakeSpec();
  Install(known, OffloadMode::kCrypto);
  for (uint16_t flow = 1; flow <= kFlows; ++flow) Arrive(Sealed(known, flow, flow));
  std::vector<std::size_t> sizes;
  for (uint32_t q = 0; q < kQueues; ++q) {
    const auto up = Queue(q);
    sizes.push_back(up.size());
    for (const Up& packet : up) EXPECT_EQ(packet.status, OffloadStatus::kOpened);
  }
  EXPECT_THAT(sizes, testing::UnorderedElementsAre(0u, kFlows)) << "one tunnel, one worker";
  std::map<uint32_t, uint32_t> tunnels;  // queue of each SPI
  for (uint32_t round = 0; round < 2; ++round) {
    for (uint32_t i = 0; i < kFlows; ++i) Arrive(Sealed(test::MakeSpec({.spi = 0x2000 + i}), 1, 1));
  }
  for (uint32_t q = 0; q < kQueues; ++q) {
    for (const Up& up : Queue(q)) {
      const auto [at, is_new] = tunnels.emplace(LoadBe32(up.frame.data() + 34), q);
      EXPECT_EQ(at->second, q);
    }
  }
  const auto second = std::count_if(tunnels.begin(), tunnels.end(),
                                    [](const auto& spi) { return spi.second == 1; });
  EXPECT_GT(second, kFlows / 8);
  EXPECT_LT(second, kFlows - kFlows / 8);
}

// Workers reassemble on their own: a datagram whose fragments went to two of them would be lost.
TEST_F(SimNicSpreadTest, FragmentsOfADatagramGoToOneWorker) {
  for (uint16_t flow = 1; flow <= kFlows; ++flow) {
    const test::IpFields header{
        .src = "10.1.0.1", .dst = "10.2.0." + std::to_string(flow), .proto = kProtoUdp};
    Bytes data = Pattern(600);
    test::Put16(&data, 0, flow);  // the ports, which only the first fragment shows
    for (const test::Cut& cut : {test::Cut{0, 200}, {200, 400}, {400, 600, false}}) {
      Arrive(test::Frame(test::FragmentOf(header, data, cut, flow)));
    }
  }
  std::map<uint8_t, uint32_t> queue_of;  // by last byte of the destination
  for (uint32_t q = 0; q < kQueues; ++q) {
    for (const Up& up : Queue(q)) {
      const auto [at, is_new] = queue_of.emplace(up.frame[14 + 19], q);
      EXPECT_EQ(at->second, q);
    }
  }
  EXPECT_THAT(queue_of, SizeIs(kFlows));
}

}  // namespace
}  // namespace cygnet
