// The software NIC alone, in packet offload: policies, numbers, replay, counters, events.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/sim_nic/sim_nic.h"
#include "support/esp_oracle.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/nic_under_test.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Kind = PacketOffloadEvent::Kind;

constexpr uint32_t kNumber = 0x12345;

class SimNicPacketTest : public testing::TestWithParam<test::NicPath> {
 protected:
  SimNicPacketTest() {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<test::NicUnderTest>(
        GetParam(), std::move(wire), &pools_,
        test::NicUnderTest::Setup{.options = {.sa_limit = 4}, .clock = &clock_});
    offload_ = nic_->packet_offload();
  }
  OffloadHandle Install(const SaSpec& spec, Half half, NumberBlock numbers, uint64_t highest = 0) {
    OffloadHandle handle;
    const auto refusal = nic_->InstallSa({.spec = spec,
                                          .half = half,
                                          .highest = highest,
                                          .mode = OffloadMode::kPacket,
                                          .numbers = numbers,
                                          .number = kNumber,
                                          .iv_mask = test::kTestIvMask},
                                         &handle);
    EXPECT_FALSE(refusal.has_value());
    nic_->StartSa(handle);
    return handle;
  }
  void AddPolicy(const SaOptions& options = {}, const char* dst = "10.2.0.0/16",
                 uint32_t priority = 100) {
    const PolicySpec spec =
        test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", dst, {test::TemplateFor(options)},
                         PolicyAction::kAllow, priority);
    OffloadPolicyHandle handle;
    ASSERT_FALSE(offload_->AddPolicy({spec}, &handle).has_value());
  }
  static Bytes Inner(uint8_t id = 0, const char* dst = "10.2.0.1") {
    return Frame(test::Udp({.src = "10.1.0.1", .dst = dst}, 1, 2, Pattern(64, id)));
  }
  void Give(const Bytes& frame, OffloadHandle handle) {
    Packet* packet = test::MakePacket(&pools_, frame);
    packet->offload.handle = handle;
    packet->offload.status = OffloadStatus::kProtectRequested;
    packet->SetSaNumber(kNumber);
    PacketBatch batch;
    batch.Push(packet);
    nic_->Transmit(0, &batch, &sink_);
    Run();
  }
  void Run() {
    while (nic_->RunOnce() != 0) {
    }
  }
  std::vector<Bytes> Sent() {
    std::vector<Bytes> out;
    for (; !wire_->sent.empty(); wire_->sent.pop_front()) {
      out.push_back(test::ToBytes(wire_->sent.front()->bytes()));
      test::FreePacket(wire_->sent.front());
    }
    return out;
  }
  struct Up {
    Bytes frame;
    OffloadMeta meta;
    uint32_t sa_number = 0;
  };
  std::vector<Up> Arrived() {
    Run();
    std::vector<Up> out;
    PacketBatch batch;
    while (nic_->Receive(0, &batch, &sink_) > 0) {
      for (Packet* packet : batch.packets()) {
        out.push_back({test::ToBytes(packet->bytes()), packet->offload, packet->sa_number()});
        sink_.Recycle(packet);
      }
      batch.ReleaseAll();
    }
    return out;
  }
  std::vector<Up> Receive(const Bytes& frame) {
    wire_->arriving.push_back(test::MakePacket(&pools_, frame));
    return Arrived();
  }
  // The ESP packet with this number around an inner packet.
  static Bytes Sealed(const SaSpec& spec, uint64_t seq, uint8_t id = 0) {
    const Bytes inner = Inner(id);
    return test::SealedFrame(spec, seq,
                             test::WithTrailer({inner.begin() + 14, inner.end()}, kProtoIpip));
  }
  uint64_t Drops(DropReason reason) const { return nic_->device_drops()->Get(reason); }
  static uint32_t NumberIn(const Bytes& frame) { return LoadBe32(frame.data() + 14 + 20 + 4); }

  PacketPools pools_{2600, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  test::FakeClock clock_;
  MemoryPort* wire_;
  std::unique_ptr<test::NicUnderTest> nic_;
  PacketOffload* offload_;
};

INSTANTIATE_TEST_SUITE_P(Paths, SimNicPacketTest, test::NicPaths(), test::NameOfPath);

TEST_P(SimNicPacketTest, ProtectsAsTheOracleDoes) {
  const SaSpec spec = test::MakeSpec();
  AddPolicy();
  const OffloadHandle handle = Install(spec, Half::kOutbound, {7, 100});
  Give(Inner(), handle);
  const std::vector<Bytes> sent = Sent();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(NumberIn(sent[0]), 7u);
  const auto text = test::OracleOpen(spec, 7, std::span(sent[0]).subspan(34));
  ASSERT_TRUE(text.has_value());
  const Bytes inner = Inner();
  EXPECT_EQ(*text, test::WithTrailer({inner.begin() + 14, inner.end()}, kProtoIpip));
  const auto reading = offload_->Read(handle);
  ASSERT_TRUE(reading.has_value());
  EXPECT_EQ(reading->packets, 1u);
  EXPECT_EQ(reading->bytes, inner.size() - 14);
  EXPECT_EQ(reading->highest, 7u);
}

TEST_P(SimNicPacketTest, PacketWithoutAPolicyForItsSaIsDroppedNeverSent) {
  const SaSpec spec = test::MakeSpec();
  AddPolicy(SaOptions{.reqid = 2});  // another SA's
  AddPolicy({}, "10.3.0.0/16");      // another flow's
  const OffloadHandle handle = Install(spec, Half::kOutbound, {1, 100});
  Give(Inner(), handle);
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kOutDevicePolicy), 1u);
  Give(Inner(0, "10.3.0.1"), handle);
  EXPECT_THAT(Sent(), SizeIs(1));
  AddPolicy(SaOptions{.reqid = 2}, "10.3.0.0/16", 50);  // goes first
  Give(Inner(0, "10.3.0.1"), handle);
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_P(SimNicPacketTest, PolicyThatIsRemovedProtectsNoMore) {
  const PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                           {test::TemplateFor({})});
  OffloadPolicyHandle policy;
  ASSERT_FALSE(offload_->AddPolicy({spec}, &policy).has_value());
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {1, 100});
  Give(Inner(), handle);
  offload_->RemovePolicy(policy);
  Give(Inner(), handle);
  EXPECT_THAT(Sent(), SizeIs(1));
  EXPECT_EQ(Drops(DropReason::kOutDevicePolicy), 1u);
}

TEST_P(SimNicPacketTest, RefusesPoliciesThatItCannotApply) {
  OffloadPolicyHandle handle;
  PolicySpec forward = test::MakePolicy(PolicyDirection::kForward, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_TRUE(offload_->AddPolicy({forward}, &handle).has_value());
  PolicySpec two = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                    {test::TemplateFor({}), test::TemplateFor({})});
  EXPECT_TRUE(offload_->AddPolicy({two}, &handle).has_value());
  nic_->SetOffloadUp(false);
  PolicySpec good = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_TRUE(offload_->AddPolicy({good}, &handle).has_value());
  nic_->SetOffloadUp(true);
  EXPECT_FALSE(offload_->AddPolicy({good}, &handle).has_value());
}

TEST_P(SimNicPacketTest, WithoutNumbersPacketsWaitInOrder) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {});
  for (uint8_t i = 0; i < 3; ++i) Give(Inner(i), handle);
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_THAT(offload_->TakeEvents(), ElementsAre(PacketOffloadEvent{handle, Kind::kNumbersLow}));
  offload_->Grant(handle, {10, 11});
  Run();
  std::vector<Bytes> sent = Sent();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(NumberIn(sent[0]), 10u);
  EXPECT_EQ(NumberIn(sent[1]), 11u);
  EXPECT_THAT(offload_->TakeEvents(), SizeIs(testing::Ge(1u)));
  offload_->Grant(handle, {12, 20});
  Run();
  sent = Sent();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(NumberIn(sent[0]), 12u);
}

TEST_P(SimNicPacketTest, PacketsThatWaitAreBounded) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {});
  for (uint32_t i = 0; i < SimNicPacketSa::kMaxKept + 5; ++i) Give(Inner(), handle);
  EXPECT_EQ(Drops(DropReason::kPortFull), 5u);
  offload_->Grant(handle, {1, 5000});
  Run();
  EXPECT_THAT(Sent(), SizeIs(SimNicPacketSa::kMaxKept));
}

TEST_P(SimNicPacketTest, HalfOfTheBlockRingsOnce) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {1, 10});
  for (int i = 0; i < 4; ++i) Give(Inner(), handle);
  EXPECT_THAT(offload_->TakeEvents(), IsEmpty());
  for (int i = 0; i < 3; ++i) Give(Inner(), handle);
  EXPECT_THAT(offload_->TakeEvents(), ElementsAre(PacketOffloadEvent{handle, Kind::kNumbersLow}));
  offload_->Grant(handle, {11, 20});
  for (int i = 0; i < 5; ++i) Give(Inner(), handle);
  EXPECT_THAT(offload_->TakeEvents(), IsEmpty()) << "12 of 20";
}

TEST_P(SimNicPacketTest, NumbersThatAreUsedUpDrop) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {0xfffffffe, 0xffffffff});
  for (int i = 0; i < 4; ++i) Give(Inner(), handle);
  EXPECT_THAT(Sent(), SizeIs(2));
  EXPECT_EQ(Drops(DropReason::kOutSequence), 2u);
}

TEST_P(SimNicPacketTest, AfterStopPacketsComeBackAsTheyWere) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {1, 2});
  for (uint8_t i = 0; i < 4; ++i) Give(Inner(i), handle);  // two wait
  nic_->StopSa(handle);
  Give(Inner(4), handle);
  const std::vector<Up> up = Arrived();
  ASSERT_THAT(up, SizeIs(3));
  for (const Up& u : up) EXPECT_EQ(u.meta.status, OffloadStatus::kReturnedClear);
  std::vector<Bytes> frames;
  for (const Up& u : up) frames.push_back(u.frame);
  EXPECT_THAT(frames, testing::UnorderedElementsAre(Inner(2), Inner(3), Inner(4)));
  const auto state = offload_->TakeState(handle);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->reading.highest, 2u);
  nic_->ReleaseSa(handle);
  Run();
  EXPECT_THAT(nic_->HeldSas(), IsEmpty());
}

TEST_P(SimNicPacketTest, ResetReturnsWhatWaits) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {});
  for (uint8_t i = 0; i < 3; ++i) Give(Inner(i), handle);
  ASSERT_TRUE(nic_->InjectFault("reset 0"));
  EXPECT_THAT(Arrived(), SizeIs(3));
  EXPECT_FALSE(offload_->TakeState(handle).has_value()) << "the state is lost";
  EXPECT_FALSE(offload_->Read(handle).has_value());
  Give(Inner(), handle);
  EXPECT_THAT(Arrived(), SizeIs(1));
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_P(SimNicPacketTest, LimitsAreTestedAsTheStackDoes) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {1, 1000});
  offload_->SetLimits(handle, {.soft_packets = 2, .hard_packets = 4});
  for (int i = 0; i < 3; ++i) Give(Inner(), handle);
  EXPECT_THAT(offload_->TakeEvents(), ElementsAre(PacketOffloadEvent{handle, Kind::kSoftLimit}));
  for (int i = 0; i < 3; ++i) Give(Inner(), handle);
  EXPECT_THAT(Sent(), SizeIs(4));
  EXPECT_EQ(Drops(DropReason::kOutStateExpired), 2u);
  EXPECT_THAT(offload_->TakeEvents(),
              testing::Contains(PacketOffloadEvent{handle, Kind::kHardLimit}));
}

TEST_P(SimNicPacketTest, DecapsulatesAndNamesTheSa) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kInbound, {1, 1000});
  const std::vector<Up> up = Receive(Sealed(spec, 5));
  ASSERT_THAT(up, SizeIs(1));
  EXPECT_EQ(up[0].frame, Inner());
  EXPECT_EQ(up[0].meta.status, OffloadStatus::kDecapsulated);
  EXPECT_EQ(up[0].meta.handle, handle);
  EXPECT_EQ(up[0].sa_number, kNumber);
  EXPECT_THAT(Receive(Sealed(spec, 5)), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInReplayDuplicate), 1u);
  Bytes forged = Sealed(spec, 6);
  forged.back() ^= 1;
  EXPECT_THAT(Receive(forged), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInAuthFailed), 1u);
  const auto reading = offload_->Read(handle);
  ASSERT_TRUE(reading.has_value());
  EXPECT_EQ(reading->packets, 1u);
  EXPECT_EQ(reading->highest, 5u);
  EXPECT_EQ(reading->replayed, 1u);
  EXPECT_EQ(reading->auth_failed, 1u);
}

TEST_P(SimNicPacketTest, DecapsulatesEspInUdp) {
  const SaSpec spec = test::MakeSpec({.encap = test::NatT(4500, 4600)});
  EXPECT_THAT(Receive(Sealed(spec, 1)), SizeIs(1)) << "no SA yet";
  Install(spec, Half::kInbound, {1, 1000});
  const std::vector<Up> up = Receive(Sealed(spec, 1));
  ASSERT_THAT(up, SizeIs(1));
  EXPECT_EQ(up[0].frame, Inner());
  SaSpec bare = test::MakeSpec();
  const std::vector<Up> passed = Receive(Sealed(bare, 2));
  ASSERT_THAT(passed, SizeIs(1));
  EXPECT_EQ(passed[0].frame, Sealed(bare, 2)) << "not in UDP: passed as it came";
}

TEST_P(SimNicPacketTest, NumbersBelowTheBlockPassAsTheyCame) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kInbound, {100, 200}, 60);
  const std::vector<Up> up = Receive(Sealed(spec, 99));
  ASSERT_THAT(up, SizeIs(1));
  EXPECT_EQ(up[0].frame, Sealed(spec, 99));
  EXPECT_EQ(up[0].meta.status, OffloadStatus::kNone);
  EXPECT_EQ(offload_->Read(handle)->packets, 0u);
}

TEST_P(SimNicPacketTest, AuthenticNumbersAboveTheBlockWait) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kInbound, {1, 10});
  EXPECT_THAT(Receive(Sealed(spec, 5000)), IsEmpty());
  EXPECT_THAT(offload_->TakeEvents(), ElementsAre(PacketOffloadEvent{handle, Kind::kNumbersLow}));
  EXPECT_EQ(offload_->Read(handle)->wanted, 5000u);
  EXPECT_EQ(offload_->Read(handle)->highest, 0u) << "not accepted";
  EXPECT_THAT(Receive(Sealed(spec, 9)), SizeIs(1));
  offload_->Grant(handle, {11, 6000});
  const std::vector<Up> up = Arrived();
  ASSERT_THAT(up, SizeIs(1));
  EXPECT_EQ(up[0].frame, Inner());
  EXPECT_EQ(up[0].meta.status, OffloadStatus::kDecapsulated);
  EXPECT_THAT(Receive(Sealed(spec, 5000)), IsEmpty()) << "accepted once";
}

TEST_P(SimNicPacketTest, AfterStopWhatWaitsGoesUpOpened) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kInbound, {1, 10});
  EXPECT_THAT(Receive(Sealed(spec, 5000)), IsEmpty());
  nic_->StopSa(handle);
  const std::vector<Up> up = Arrived();
  ASSERT_THAT(up, SizeIs(1));
  EXPECT_EQ(up[0].meta.status, OffloadStatus::kOpened);
  EXPECT_EQ(up[0].meta.handle, handle);
}

TEST_P(SimNicPacketTest, ReturnsItsWindow) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kInbound, {1, 1000});
  for (const uint64_t seq : {3u, 70u, 72u}) EXPECT_THAT(Receive(Sealed(spec, seq)), SizeIs(1));
  nic_->StopSa(handle);
  const auto state = offload_->TakeState(handle);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->reading.highest, 72u);
  ReplayWindow window(spec.replay, false);
  window.Limit(0);
  EXPECT_EQ(window.Check(73), DropReason::kInHandOver);
  window.Merge(state->reading.highest, state->bitmap);
  EXPECT_EQ(window.Check(72), DropReason::kInReplayDuplicate);
  EXPECT_EQ(window.Check(71), DropReason::kNone);
  EXPECT_EQ(window.Check(70), DropReason::kInReplayDuplicate);
  EXPECT_EQ(window.Check(3), DropReason::kInReplayOld);
  EXPECT_EQ(window.Check(73), DropReason::kNone);
}

TEST_P(SimNicPacketTest, EsnFollowsTheHighWord) {
  const SaSpec spec = test::MakeSpec({.flags = kSaFlagEsn, .window = 256});
  const uint64_t first = 0xfffffff0;
  Install(spec, Half::kInbound, {first, first + 1000}, first - 1);
  for (uint64_t seq = first; seq < first + 40; ++seq) {
    ASSERT_THAT(Receive(Sealed(spec, seq)), SizeIs(1)) << seq;
  }
  EXPECT_EQ(Drops(DropReason::kInAuthFailed), 0u);
}

TEST_P(SimNicPacketTest, FaultsSendInClearOnCommand) {
  AddPolicy();
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound, {1, 100});
  ASSERT_TRUE(nic_->InjectFault("policy-miss"));
  Give(Inner(), handle);
  EXPECT_THAT(Sent(), ElementsAre(Inner())) << "no guard stands here";
  ASSERT_TRUE(nic_->InjectFault("fail-seal"));
  Give(Inner(), handle);
  const std::vector<Up> up = Arrived();
  ASSERT_THAT(up, SizeIs(1));
  EXPECT_EQ(up[0].frame, Inner());
  EXPECT_EQ(offload_->Read(handle)->packets, 0u);
}

}  // namespace
}  // namespace cygnet
