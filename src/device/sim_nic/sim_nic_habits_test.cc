// The software NIC as a card that does packet offload in its own way (profile "mlx5-packet").
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "device/sim_nic/sim_nic.h"
#include "support/esp_oracle.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/nic_under_test.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Pattern;
using testing::ElementsAre;
using testing::IsEmpty;
using Kind = PacketOffloadEvent::Kind;

constexpr uint64_t kSecond = 1'000'000'000;

class SimNicHabitsTest : public testing::TestWithParam<test::NicPath> {
 protected:
  SimNicHabitsTest() {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<test::NicUnderTest>(
        GetParam(), std::move(wire), &pools_,
        test::NicUnderTest::Setup{.options = {.profile = "mlx5-packet"}, .clock = &clock_});
    const PolicySpec policy = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                               {test::TemplateFor({})});
    EXPECT_FALSE(nic_->AddPolicy({policy}, &policy_).has_value());
  }
  OffloadHandle Install(const SaSpec& spec, Half half) {
    OffloadHandle handle;
    const auto refusal = nic_->InstallSa({.spec = spec,
                                          .half = half,
                                          .mode = OffloadMode::kPacket,
                                          .numbers = {1, 1000},
                                          .number = 7,
                                          .iv_mask = test::kTestIvMask},
                                         &handle);
    EXPECT_FALSE(refusal.has_value()) << refusal->text;
    nic_->SetLimits(handle, spec.limits);
    nic_->StartSa(handle);
    return handle;
  }
  static Bytes Inner() {
    return test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(64));
  }
  void Run() {
    while (nic_->RunOnce() != 0) {
    }
  }
  // Packets that leave.
  std::size_t Give(OffloadHandle handle, int n) {
    for (; n > 0; --n) {
      Packet* packet = test::MakePacket(&pools_, test::Frame(Inner()));
      packet->offload.handle = handle;
      packet->offload.status = OffloadStatus::kProtectRequested;
      packet->SetSaNumber(7);
      PacketBatch batch;
      batch.Push(packet);
      nic_->Transmit(0, &batch, &sink_);
      Run();
    }
    std::size_t sent = 0;
    for (; !wire_->sent.empty(); wire_->sent.pop_front(), ++sent) {
      last_length_ = wire_->sent.front()->length;
      test::FreePacket(wire_->sent.front());
    }
    return sent;
  }
  // Packets that are handed up decapsulated.
  int Receive(const SaSpec& spec, uint64_t seq) {
    const Bytes frame = test::SealedFrame(spec, seq, test::WithTrailer(Inner(), kProtoIpip));
    last_length_ = static_cast<uint32_t>(frame.size());
    wire_->arriving.push_back(test::MakePacket(&pools_, frame));
    Run();
    PacketBatch batch;
    int up = 0;
    while (nic_->Receive(0, &batch, &sink_) > 0) {
      for (Packet* packet : batch.packets()) {
        up += packet->offload.status == OffloadStatus::kDecapsulated ? 1 : 0;
        sink_.Recycle(packet);
      }
      batch.ReleaseAll();
    }
    return up;
  }
  void Pass(uint64_t ns) {
    clock_.monotonic_ns += ns;
    clock_.wall_seconds += ns / kSecond;
    Run();
  }
  SaReading Read(OffloadHandle handle) const { return *nic_->Read(handle); }
  // Of `ethtool -S`, without those that are 0.
  std::map<std::string, uint64_t> Statistics() const {
    std::map<std::string, uint64_t> some;
    for (const DeviceStatistic& s : nic_->Statistics()) {
      if (s.value != 0) some[s.name] = s.value;
    }
    return some;
  }
  uint64_t Drops(DropReason reason) const { return nic_->device_drops()->Get(reason); }

  PacketPools pools_{256, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  test::FakeClock clock_;
  MemoryPort* wire_;
  std::unique_ptr<test::NicUnderTest> nic_;
  OffloadPolicyHandle policy_;
  uint32_t last_length_ = 0;  // of the ESP frame
};

INSTANTIATE_TEST_SUITE_P(Paths, SimNicHabitsTest, test::NicPaths(), test::NameOfPath);

TEST_P(SimNicHabitsTest, LimitsAreComparedOnceASecond) {
  const OffloadHandle handle =
      Install(test::MakeSpec({.limits = {.soft_packets = 3, .hard_packets = 5}}), Half::kOutbound);
  EXPECT_EQ(Give(handle, 8), 8u) << "beyond both limits";
  Pass(kSecond - 1);
  EXPECT_THAT(nic_->TakeEvents(), IsEmpty());
  Pass(1);
  EXPECT_THAT(nic_->TakeEvents(), ElementsAre(PacketOffloadEvent{handle, Kind::kSoftLimit},
                                              PacketOffloadEvent{handle, Kind::kHardLimit}));
  EXPECT_EQ(Give(handle, 2), 0u);
  EXPECT_EQ(Drops(DropReason::kOutStateExpired), 2u);
  Pass(kSecond);
  EXPECT_THAT(nic_->TakeEvents(), IsEmpty()) << "once";
  nic_->SetLimits(handle, {.hard_packets = 100});
  EXPECT_EQ(Give(handle, 2), 2u) << "new limits";
}

TEST_P(SimNicHabitsTest, StatisticsAreUpToASecondOldAndNumbersAreNot) {
  const OffloadHandle handle = Install(test::MakeSpec(), Half::kOutbound);
  const uint64_t then = Read(handle).taken_at;
  Give(handle, 3);
  Pass(kSecond - 1);
  EXPECT_EQ(Read(handle).packets, 0u);
  EXPECT_EQ(Read(handle).taken_at, then);
  EXPECT_EQ(Read(handle).highest, 3u) << "blocks of numbers depend on it";
  clock_.wall_seconds += 1;
  Pass(1);
  EXPECT_EQ(Read(handle).packets, 3u);
  EXPECT_EQ(Read(handle).taken_at, then + 1);
  Give(handle, 1);
  nic_->StopSa(handle);
  EXPECT_EQ(nic_->TakeState(handle)->reading.packets, 4u) << "the last one is exact";
}

TEST_P(SimNicHabitsTest, BytesIncludeTheEspOverhead) {
  const OffloadHandle out = Install(test::MakeSpec(), Half::kOutbound);
  EXPECT_EQ(Give(out, 1), 1u);
  EXPECT_EQ(Read(out).bytes, last_length_ - 14 - 20);
  const SaSpec spec = test::MakeSpec({.spi = 0x2000, .flags = kSaFlagEsn});
  const OffloadHandle in = Install(spec, Half::kInbound);
  EXPECT_EQ(Receive(spec, 1), 1);
  EXPECT_EQ(Read(in).bytes, last_length_ - 14 - 20);
  EXPECT_GT(Read(in).bytes, Inner().size());
}

// Issue 15: the SA's bytes are those of the card's flow counters less Ethernet and IP header.
TEST_P(SimNicHabitsTest, StatisticsOfTheDriverCountFramesAndAreNotOld) {
  EXPECT_EQ(nic_->Statistics().size(), 15u);
  EXPECT_EQ(nic_->Statistics()[0].name, "ipsec_rx_pkts");
  EXPECT_THAT(Statistics(), IsEmpty());
  const OffloadHandle out = Install(test::MakeSpec(), Half::kOutbound);
  EXPECT_EQ(Give(out, 2), 2u);
  const uint64_t sent = 2 * uint64_t{last_length_};
  const SaSpec spec = test::MakeSpec({.spi = 0x2000, .flags = kSaFlagEsn});
  Install(spec, Half::kInbound);
  EXPECT_EQ(Receive(spec, 1), 1);
  EXPECT_EQ(Receive(spec, 1), 0) << "replays are counted for the SA only";
  const uint64_t received = last_length_;
  const std::map<std::string, uint64_t> expected = {{"ipsec_tx_pkts", 2},
                                                    {"ipsec_tx_bytes", sent},
                                                    {"ipsec_rx_pkts", 1},
                                                    {"ipsec_rx_bytes", received}};
  EXPECT_EQ(Statistics(), expected);
}

TEST_P(SimNicHabitsTest, WhatThePolicyDropsIsInTheStatistics) {
  const OffloadHandle out = Install(test::MakeSpec(), Half::kOutbound);
  nic_->RemovePolicy(policy_);
  EXPECT_EQ(Give(out, 2), 0u);
  const uint64_t clear = test::Frame(Inner()).size();
  const std::map<std::string, uint64_t> expected = {{"ipsec_tx_drop_pkts", 2},
                                                    {"ipsec_tx_drop_bytes", 2 * clear}};
  EXPECT_EQ(Statistics(), expected);
}

TEST_P(SimNicHabitsTest, ByteLimitCountsTheOverheadToo) {
  const uint64_t size = Inner().size();
  const OffloadHandle handle = Install(
      test::MakeSpec({.limits = {.soft_bytes = size, .hard_bytes = size + 1}}), Half::kOutbound);
  EXPECT_EQ(Give(handle, 1), 1u);
  Pass(kSecond);
  EXPECT_THAT(nic_->TakeEvents(), ElementsAre(PacketOffloadEvent{handle, Kind::kSoftLimit},
                                              PacketOffloadEvent{handle, Kind::kHardLimit}));
}

TEST_P(SimNicHabitsTest, WithoutEsnReplayedPacketsPass) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Install(spec, Half::kInbound);
  EXPECT_EQ(Receive(spec, 5), 1);
  EXPECT_EQ(Receive(spec, 5), 1);
  EXPECT_EQ(Receive(spec, 5), 1);
  EXPECT_EQ(Read(handle).replayed, 0u) << "it does not notice";
  const auto findings = nic_->TakeFindings();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].gap, ClaimGap::kNoReplayCheck) << "the operator is told";
}

TEST_P(SimNicHabitsTest, WithEsnTheyDoNot) {
  const SaSpec spec = test::MakeSpec({.flags = kSaFlagEsn});
  Install(spec, Half::kInbound);
  EXPECT_EQ(Receive(spec, 5), 1);
  EXPECT_EQ(Receive(spec, 5), 0);
  EXPECT_EQ(Drops(DropReason::kInReplayDuplicate), 1u);
  EXPECT_THAT(nic_->TakeFindings(), IsEmpty());
}

}  // namespace
}  // namespace cygnet
