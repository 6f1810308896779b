// Isolated drivers behind the adapter of drivers: soft_driver, which seals, and thread_driver,
// which passes frames on and misbehaves.
#include "isolation/driver_fixture.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::IsolatedDriverTest;
using test::Pattern;
using testing::ElementsAre;
using namespace std::chrono_literals;
using testing::IsEmpty;

class IsolatedDriver : public IsolatedDriverTest {
 protected:
  void OpenSoft(std::vector<std::string> options = {}) {
    Open(CYGNET_SOFT_DRIVER, std::move(options));
  }
  void OpenThread(const std::string& behave = "") {
    Open(CYGNET_THREAD_DRIVER, {"behave=" + behave});
  }
  bool WaitForFailure() {
    return Within5s([this] { return device_->state() == DeviceState::kFailed; });
  }
};

TEST_F(IsolatedDriver, ItsCapabilitiesAndIdentityAreThoseOfThePlugin) {
  OpenSoft({"slots=7"});
  const OffloadCaps& caps = device_->caps();
  EXPECT_TRUE(caps.crypto_offload && caps.tunnel && caps.ipv6 && caps.esn);
  EXPECT_FALSE(caps.packet_offload || caps.udp_encap);
  EXPECT_THAT(caps.algorithms, ElementsAre("rfc4106(gcm(aes))"));
  EXPECT_THAT(caps.key_bytes, ElementsAre(16, 24, 32));
  EXPECT_EQ(device_->identity().model, "soft_driver");
  EXPECT_EQ(device_->identity().serial, "nic0");
  EXPECT_EQ(device_->offload_stats().direction_limit, 7u);
  EXPECT_EQ(device_->state(), DeviceState::kUp);
}

TEST_F(IsolatedDriver, SealsAndOpensAsTheOracleDoes) {
  OpenSoft();
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle out = Add(spec, Half::kOutbound);
  const OffloadHandle in = Add(spec, Half::kInbound);
  for (uint64_t seq = 1; seq <= 200; ++seq) {
    const Bytes text = Pattern(40 + 4 * (seq % 300));
    Transmit(ToSeal(spec, out, seq, text));
    const Bytes sealed =
        test::EspFrame(spec, test::OracleSeal(spec, seq, static_cast<uint32_t>(seq), text));
    ASSERT_EQ(Sent(), sealed) << seq;
    Arrive(sealed);
    const auto opened = Receive();
    ASSERT_EQ(opened.size(), 1u);
    EXPECT_EQ(opened[0].meta.status, OffloadStatus::kOpened);
    EXPECT_EQ(opened[0].meta.handle, in);
    EXPECT_EQ(Bytes(opened[0].frame.begin() + 50, opened[0].frame.end() - 16), text);
  }
  EXPECT_EQ(device_->offload_stats().sealed, 200u);
  EXPECT_EQ(device_->offload_stats().opened, 200u);
  EXPECT_EQ(device_->breach(), "");
}

TEST_F(IsolatedDriver, SlotsAndHandlesAreThePlugins) {
  OpenSoft({"slots=1"});
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kOutbound);
  OffloadHandle none{99};
  const auto refusal = device_->InstallSa({spec, Half::kOutbound, 0}, &none);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->kind, InstallError::kTableFull);
  EXPECT_EQ(refusal->text, "no free slot");
  device_->StopSa(handle);
  device_->ReleaseSa(handle);
  EXPECT_THAT(device_->TakeErased(), ElementsAre(handle));
  EXPECT_THAT(device_->TakeErased(), IsEmpty());
  Transmit(ToSeal(spec, handle, 1, Pattern(40)));
  EXPECT_TRUE(
      Within5s([&] { return device_->device_drops()->Get(DropReason::kOutDeviceError) == 1; }));
}

TEST_F(IsolatedDriver, WhatItCannotSealComesBackAsItWas) {
  OpenSoft();
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kOutbound);
  ASSERT_TRUE(device_->faults()->InjectFault("down"));
  EXPECT_EQ(device_->state(), DeviceState::kDown);
  Packet* packet = ToSeal(spec, handle, 1, Pattern(40));
  const Bytes before = test::ToBytes(packet->bytes());
  Transmit(packet);
  const auto back = Receive();
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].frame, before);
  EXPECT_EQ(back[0].meta.status, OffloadStatus::kReturned);
  EXPECT_EQ(back[0].meta.handle, handle);
  EXPECT_EQ(back[0].sa_number, 77u);
  EXPECT_EQ(device_->faults()->InjectFault("melt").error().code, Errc::kInvalid);
}

TEST_F(IsolatedDriver, KnownAnswersNeverTouchTheWire) {
  OpenSoft();
  const SaSpec spec = test::MakeSpec();
  Packet* packet = ToSeal(spec, {}, 7, Pattern(40));
  DropReason drop = DropReason::kNone;
  ASSERT_TRUE(device_->loopback()->Loop({spec, Half::kOutbound}, {&packet, 1}, {&drop, 1}));
  EXPECT_EQ(drop, DropReason::kNone);
  EXPECT_EQ(test::ToBytes(packet->bytes()),
            test::EspFrame(spec, test::OracleSeal(spec, 7, 7, Pattern(40))));
  EXPECT_EQ(wire_->TakeSent(), nullptr);
  test::FreePacket(packet);
}

TEST_F(IsolatedDriver, PacketsOfItsOwnThreadPassBothWays) {
  OpenThread();
  for (int round = 0; round < 50; ++round) {
    const Bytes frame = Pattern(60 + 20 * static_cast<std::size_t>(round));
    Arrive(frame);
    const auto up = Receive();
    ASSERT_EQ(up.size(), 1u);
    EXPECT_EQ(up[0].frame, frame);
    EXPECT_EQ(up[0].meta.status, OffloadStatus::kNone);
    Transmit(test::MakePacket(&pools_, frame));
    EXPECT_EQ(Sent(), frame);
  }
  EXPECT_EQ(device_->Close(), 0u) << "packets that were not given back";
}

// --- Death ---

TEST_F(IsolatedDriver, HandsBackWhatItHeldWhenItsProcessIsKilled) {
  OpenThread("hold");
  std::vector<Bytes> frames;
  for (uint64_t seq = 1; seq <= 20; ++seq) {
    Packet* packet = ToSeal(test::MakeSpec(), OffloadHandle(5), seq, Pattern(40 + 4 * seq));
    frames.push_back(test::ToBytes(packet->bytes()));
    Transmit(packet);
  }
  kill(ChildPid(), SIGKILL);
  EXPECT_TRUE(WaitForFailure());
  const auto back = Receive(frames.size());
  ASSERT_EQ(back.size(), frames.size());
  std::vector<Bytes> got;
  for (const Arrived& packet : back) {
    EXPECT_EQ(packet.meta.status, OffloadStatus::kReturned);
    got.push_back(packet.frame);
  }
  EXPECT_THAT(got, testing::UnorderedElementsAreArray(frames));
  // What comes later goes back at once, and nothing waits.
  Transmit(ToSeal(test::MakeSpec(), OffloadHandle(5), 30, Pattern(40)));
  EXPECT_EQ(Receive().size(), 1u);
  EXPECT_TRUE(device_->PrepareWait(0));
  EXPECT_EQ(device_->wait_fd(0), -1);
  EXPECT_EQ(device_->breach(), "");
  EXPECT_EQ(device_->Close(), 0u) << "packets that were not given back";
}

TEST_F(IsolatedDriver, ARefusedSaIsOneOfAFailedDevice) {
  OpenSoft();
  kill(ChildPid(), SIGKILL);
  EXPECT_TRUE(WaitForFailure());
  OffloadHandle handle;
  EXPECT_TRUE(device_->InstallSa({test::MakeSpec(), Half::kOutbound, 0}, &handle).has_value());
  EXPECT_EQ(device_->offload_stats().sealed, 0u);
}

class BadIsolatedDriver : public IsolatedDriver, public testing::WithParamInterface<const char*> {};
TEST_P(BadIsolatedDriver, FailsAlone) {
  OpenThread(GetParam());
  for (int i = 0; i < 20; ++i) Arrive(Pattern(100));
  // The adapter may see a breach first, which ends the device as well.
  EXPECT_TRUE(Within5s([&] {
    (void)Receive(0);
    return device_->state() == DeviceState::kFailed || !device_->breach().empty();
  }));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(device_->Close(), 0u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}
INSTANTIATE_TEST_SUITE_P(All, BadIsolatedDriver,
                         testing::Values("crash", "twice", "foreign", "long", "wire"));

// Nobody closes the device: it fails by itself, and what it held comes back.
TEST_F(IsolatedDriver, FailsWhenAQueueLoops) {
  OpenThread("loop-tx");
  Transmit(ToSeal(test::MakeSpec(), OffloadHandle(5), 1, Pattern(40)));
  EXPECT_TRUE(WaitForFailure());
  const auto back = Receive();
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].meta.status, OffloadStatus::kReturned);
}

TEST_F(IsolatedDriver, EndsAQueueThatLoops) {
  OpenThread("loop-tx");
  Packet* packet = ToSeal(test::MakeSpec(), OffloadHandle(5), 1, Pattern(40));
  Transmit(packet);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(device_->Close(), 0u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

}  // namespace
}  // namespace cygnet
