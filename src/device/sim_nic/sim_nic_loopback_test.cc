// The software NIC's loopback: packets are worked on as by the thread, and nothing else changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/sim_nic/sim_nic.h"
#include "support/esp_oracle.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using testing::IsEmpty;

constexpr uint32_t kNumber = 0x12345;

class SimNicLoopbackTest : public testing::Test {
 protected:
  SimNicLoopbackTest() {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<SimNic>("nic0", std::move(wire), 1, &pools_, nullptr,
                                    SimNicOptions{.sa_limit = 1}, FaultScript(), &clock_);
  }
  ~SimNicLoopbackTest() override {
    for (Packet* packet : packets_) test::FreePacket(packet);
  }
  static Bytes Inner() {
    return Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(64)));
  }
  static Bytes Sealed(const SaSpec& spec, uint64_t seq) {
    const Bytes inner = Inner();
    return test::SealedFrame(spec, seq,
                             test::WithTrailer({inner.begin() + 14, inner.end()}, kProtoIpip));
  }
  Packet* Give(const Bytes& frame, OffloadStatus status = OffloadStatus::kNone) {
    packets_.push_back(test::MakePacket(&pools_, frame));
    packets_.back()->offload.status = status;
    return packets_.back();
  }
  static OffloadSa Whole(const SaSpec& spec, Half half, NumberBlock numbers) {
    return {.spec = spec,
            .half = half,
            .mode = OffloadMode::kPacket,
            .numbers = numbers,
            .number = kNumber,
            .iv_mask = test::kTestIvMask};
  }
  Status Loop(const OffloadSa& sa) {
    drops_.assign(packets_.size(), DropReason::kPortDown);
    return nic_->Loop(sa, packets_, drops_);
  }
  OffloadStatus StatusOf(std::size_t i) const { return packets_[i]->offload.status; }

  PacketPools pools_{64, 2};
  test::FakeClock clock_;
  MemoryPort* wire_;
  std::unique_ptr<SimNic> nic_;
  std::vector<Packet*> packets_;
  std::vector<DropReason> drops_;
};

TEST_F(SimNicLoopbackTest, ProtectsWithoutAPolicyAndLeavesNoTrace) {
  const SaSpec spec = test::MakeSpec();
  Give(Inner(), OffloadStatus::kProtectRequested);
  ASSERT_TRUE(Loop(Whole(spec, Half::kOutbound, {7, 100})));
  EXPECT_EQ(StatusOf(0), OffloadStatus::kSealed);
  EXPECT_EQ(drops_[0], DropReason::kNone);
  const Bytes sent = test::ToBytes(packets_[0]->bytes());
  EXPECT_TRUE(test::OracleOpen(spec, 7, std::span(sent).subspan(34)).has_value());

  EXPECT_TRUE(wire_->sent.empty());
  EXPECT_EQ(nic_->offload_stats().sealed, 0u);
  EXPECT_EQ(nic_->offload_stats().slots_high_water, 0u);
  EXPECT_THAT(nic_->KeyLog(), IsEmpty());
  EXPECT_THAT(nic_->HeldSas(), IsEmpty());
  EXPECT_THAT(nic_->TakeErased(), IsEmpty());
  EXPECT_THAT(nic_->TakeEvents(), IsEmpty()) << "not even that its numbers run low";
}

TEST_F(SimNicLoopbackTest, DropsAreToldAndThePacketsStayTheCallers) {
  const SaSpec spec = test::MakeSpec();
  Give(Sealed(spec, 5));
  Give(Sealed(spec, 5));
  Bytes forged = Sealed(spec, 6);
  forged.back() ^= 1;
  Give(forged);
  ASSERT_TRUE(Loop(Whole(spec, Half::kInbound, {1, 100})));
  EXPECT_EQ(StatusOf(0), OffloadStatus::kDecapsulated);
  EXPECT_EQ(test::ToBytes(packets_[0]->bytes()), Inner());
  EXPECT_EQ(packets_[0]->sa_number(), kNumber);
  EXPECT_EQ(drops_[0], DropReason::kNone);
  EXPECT_EQ(drops_[1], DropReason::kInReplayDuplicate);
  EXPECT_EQ(drops_[2], DropReason::kInAuthFailed);
  EXPECT_EQ(nic_->device_drops()->Get(DropReason::kInReplayDuplicate), 0u);
  EXPECT_EQ(nic_->offload_stats().auth_failed, 0u);
}

TEST_F(SimNicLoopbackTest, NoPacketIsRememberedUntilTheNextCall) {
  const SaSpec spec = test::MakeSpec();
  Give(Sealed(spec, 5));
  ASSERT_TRUE(Loop(Whole(spec, Half::kInbound, {1, 100})));
  Give(Sealed(spec, 5));
  std::swap(packets_[0], packets_[1]);
  DropReason drop{};
  ASSERT_TRUE(nic_->Loop(Whole(spec, Half::kInbound, {1, 100}), {packets_.data(), 1}, {&drop, 1}));
  EXPECT_EQ(StatusOf(0), OffloadStatus::kDecapsulated);
}

TEST_F(SimNicLoopbackTest, PacketsThatWaitForNumbersGoAsAfterAStop) {
  const SaSpec spec = test::MakeSpec();
  Give(Inner(), OffloadStatus::kProtectRequested);
  Give(Inner(), OffloadStatus::kProtectRequested);
  ASSERT_TRUE(Loop(Whole(spec, Half::kOutbound, {1, 1})));
  EXPECT_EQ(StatusOf(0), OffloadStatus::kSealed);
  EXPECT_EQ(StatusOf(1), OffloadStatus::kReturnedClear);
  EXPECT_EQ(test::ToBytes(packets_[1]->bytes()), Inner());
  EXPECT_EQ(nic_->RunOnce(), 0u) << "the thread has nothing of it";
}

// Its table is full, and one of its SAs has the same identity and another key.
TEST_F(SimNicLoopbackTest, InstalledSaOfTheSameIdentityWorksOn) {
  const SaSpec real = test::MakeSpec();
  SaSpec other = test::MakeSpec();
  other.aead.key = KeyMaterial(Pattern(20, 0x77));
  OffloadHandle handle;
  ASSERT_FALSE(nic_->InstallSa({.spec = real, .half = Half::kInbound}, &handle).has_value());
  nic_->StartSa(handle);
  Give(Sealed(other, 9));
  ASSERT_TRUE(Loop({.spec = other, .half = Half::kInbound}));
  EXPECT_EQ(StatusOf(0), OffloadStatus::kOpened);

  wire_->arriving.push_back(test::MakePacket(&pools_, Sealed(real, 3)));
  while (nic_->RunOnce() != 0) continue;
  PacketBatch batch;
  ASSERT_EQ(nic_->Receive(0, &batch, nullptr), 1u);
  EXPECT_EQ(batch[0]->offload.status, OffloadStatus::kOpened);
  EXPECT_EQ(batch[0]->offload.handle, handle);
  test::FreePacket(batch[0]);
  batch.ReleaseAll();
  EXPECT_EQ(nic_->offload_stats().opened, 1u);
}

TEST_F(SimNicLoopbackTest, OneShotFaultsWaitAndLiesShow) {
  const SaSpec spec = test::MakeSpec({.flags = kSaFlagEsn});
  ASSERT_TRUE(nic_->InjectFault("wrong-icv in 1"));
  Bytes forged = Sealed(spec, 6);
  forged.back() ^= 1;
  Give(forged);
  ASSERT_TRUE(Loop({.spec = spec, .half = Half::kInbound}));
  EXPECT_EQ(StatusOf(0), OffloadStatus::kAuthFailed) << "the fault is not for packets of a test";
  ASSERT_TRUE(nic_->InjectFault("lie rfc4106(gcm(aes))"));
  Give(Sealed(spec, 7));
  ASSERT_TRUE(Loop({.spec = spec, .half = Half::kInbound}));
  EXPECT_EQ(StatusOf(1), OffloadStatus::kAuthFailed);
}

TEST_F(SimNicLoopbackTest, DeviceThatIsDownOrTakesNoSuchSaTouchesNothing) {
  const SaSpec spec = test::MakeSpec();
  Give(Sealed(spec, 5));
  const Bytes before = test::ToBytes(packets_[0]->bytes());
  nic_->SetOffloadUp(false);
  EXPECT_EQ(Loop(Whole(spec, Half::kInbound, {1, 100})).error().code, Errc::kNetworkDown);
  SimNic ixgbe("nic1", std::make_unique<MemoryPort>("wire1"), 1, &pools_, nullptr,
               SimNicOptions{.profile = "ixgbe"});
  const Status tunnel = ixgbe.Loop({.spec = spec, .half = Half::kInbound}, packets_, drops_);
  EXPECT_EQ(tunnel.error().code, Errc::kNotSupported);
  EXPECT_EQ(StatusOf(0), OffloadStatus::kNone);
  EXPECT_EQ(test::ToBytes(packets_[0]->bytes()), before);
}

}  // namespace
}  // namespace cygnet
