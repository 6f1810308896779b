// Packet offload through isolation: the software NIC as a library in a process of its own. Each
// call of the table reaches the child, and its answer comes back whole.
#include "device/packet_offload.h"
#include "isolation/driver_fixture.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Pattern;
using namespace std::chrono_literals;
using testing::SizeIs;
using Kind = PacketOffloadEvent::Kind;

constexpr uint32_t kNumber = 0x12345;

class IsolatedPacketOffload : public test::IsolatedDriverTest {
 protected:
  void SetUp() override {
    first_wait_ = longest_wait_ = 20ms;
    Open(CYGNET_SIM_NIC_PLUGIN);
    offload_ = device_->packet_offload();
    ASSERT_NE(offload_, nullptr);
  }
  OffloadHandle Install(const SaSpec& spec, Half half, NumberBlock numbers) {
    OffloadHandle handle;
    const auto refusal = device_->InstallSa({.spec = spec,
                                             .half = half,
                                             .mode = OffloadMode::kPacket,
                                             .numbers = numbers,
                                             .number = kNumber,
                                             .iv_mask = 0x5555},
                                            &handle);
    EXPECT_FALSE(refusal.has_value()) << refusal->text;
    device_->StartSa(handle);
    return handle;
  }
  OffloadPolicyHandle AddPolicy() {
    const PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                             {test::TemplateFor(test::SaOptions{})});
    OffloadPolicyHandle handle;
    const auto refusal = offload_->AddPolicy({spec}, &handle);
    EXPECT_FALSE(refusal.has_value()) << refusal->text;
    return handle;
  }
  static Bytes Inner() {
    return test::Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(64)));
  }
  static Bytes Sealed(const SaSpec& spec, uint64_t seq) {
    const Bytes inner = Inner();
    return test::SealedFrame(spec, seq,
                             test::WithTrailer({inner.begin() + 14, inner.end()}, kProtoIpip));
  }
  // From the ESP header on: the outer header's identification is the device's own.
  static Bytes Esp(const Bytes& frame) {
    return frame.size() < 34 ? Bytes() : Bytes(frame.begin() + 34, frame.end());
  }
  void GiveClear(OffloadHandle handle) {
    Packet* packet = test::MakePacket(&pools_, Inner());
    packet->offload.handle = handle;
    packet->offload.status = OffloadStatus::kProtectRequested;
    packet->SetSaNumber(kNumber);
    Transmit(packet);
  }
  std::vector<PacketOffloadEvent> Events() {
    std::vector<PacketOffloadEvent> all;
    (void)Within5s([&] {
      for (const PacketOffloadEvent& event : offload_->TakeEvents()) all.push_back(event);
      return !all.empty();
    });
    return all;
  }
  PacketOffload* offload_ = nullptr;
};

TEST_F(IsolatedPacketOffload, BuildsNumbersAndCounts) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kOutbound, {1, 2});
  AddPolicy();
  GiveClear(handle);
  EXPECT_EQ(Esp(Sent()), Esp(Sealed(spec, 1)));
  EXPECT_TRUE(Within5s([&] { return offload_->Read(handle)->packets == 1; }));
  // Out of numbers, until it gets more.
  for (int i = 0; i < 2; ++i) GiveClear(handle);
  EXPECT_EQ(Esp(Sent()), Esp(Sealed(spec, 2)));
  offload_->Grant(handle, {10, 20});
  EXPECT_EQ(Esp(Sent()), Esp(Sealed(spec, 10)));
  device_->StopSa(handle);
  const auto state = offload_->TakeState(handle);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->reading.packets, 3u);
  EXPECT_EQ(state->reading.highest, 10u);
}

TEST_F(IsolatedPacketOffload, ReportsLimits) {
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {1, 100});
  AddPolicy();
  LifetimeLimits limits;
  limits.soft_packets = 2;
  limits.hard_packets = 4;
  offload_->SetLimits(handle, limits);
  for (int i = 0; i < 3; ++i) GiveClear(handle);
  const auto events = Events();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].handle, handle);
  EXPECT_EQ(events[0].kind, Kind::kSoftLimit);
}

TEST_F(IsolatedPacketOffload, DecapsulatesAndHandsTheWindowOver) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kInbound, {1, 1000});
  for (const uint64_t seq : {3u, 5u}) {
    Arrive(Sealed(spec, seq));
    const auto up = Receive();
    ASSERT_EQ(up.size(), 1u);
    EXPECT_EQ(up[0].meta.status, OffloadStatus::kDecapsulated);
    EXPECT_EQ(up[0].sa_number, kNumber);
    EXPECT_EQ(up[0].frame, Inner());
  }
  device_->StopSa(handle);
  const auto state = offload_->TakeState(handle);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->reading.highest, 5u);
  ASSERT_FALSE(state->bitmap.empty());
}

// Policies of a process that has ended are void: removing one does not touch those of the next.
TEST_F(IsolatedPacketOffload, PoliciesAreThoseOfTheProcessThatRuns) {
  const SaSpec spec = test::MakeSpec();
  const OffloadPolicyHandle old = AddPolicy();
  kill(ChildPid(), SIGKILL);
  EXPECT_TRUE(Within5s([&] { return device_->resets() > 0 && device_->offload_up(); }));
  EXPECT_THAT(Receive(0), testing::IsEmpty());  // as a worker, which follows
  const OffloadPolicyHandle now = AddPolicy();
  EXPECT_NE(now, old);
  offload_->RemovePolicy(old);
  const OffloadHandle handle = Install(spec, Half::kOutbound, {1, 100});
  GiveClear(handle);
  EXPECT_EQ(Esp(Sent()), Esp(Sealed(spec, 1))) << "its policy is still there";
  offload_->RemovePolicy(now);
  GiveClear(handle);
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(wire_->TakeSent(), nullptr);
}

}  // namespace
}  // namespace cygnet
