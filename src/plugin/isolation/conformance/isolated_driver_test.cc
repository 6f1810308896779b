// Isolated drivers behind the adapter of drivers: soft_driver, which seals, and thread_driver,
// which passes frames on and misbehaves.
#include <poll.h>

#include <set>

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
  EXPECT_EQ(device_->link(), LinkStatus::kUp);
  kill(ChildPid(), SIGKILL);
  EXPECT_TRUE(WaitForFailure());
  EXPECT_EQ(device_->link(), LinkStatus::kBarred);  // bug: the wire's own, which is up
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
  pollfd wait{device_->wait_fd(0), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 0), 0) << "the bell of a dead process would ring forever";
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

// --- A new process ---

class RestartedDriver : public IsolatedDriver {
 protected:
  RestartedDriver() {
    first_wait_ = 20ms;
    longest_wait_ = 40ms;
  }
  // As the stack does when it sees the failure: it lets go of every handle.
  void KillAndLetGo(const std::vector<OffloadHandle>& handles) {
    const uint32_t resets = device_->resets();
    kill(ChildPid(), SIGKILL);
    EXPECT_TRUE(WaitForFailure());
    EXPECT_THAT(device_->failure(), testing::HasSubstr("killed by signal 9"));
    for (const OffloadHandle handle : handles) {
      device_->StopSa(handle);
      device_->ReleaseSa(handle);
    }
    std::vector<OffloadHandle> erased;
    EXPECT_TRUE(Within5s([&] {
      for (const OffloadHandle handle : device_->TakeErased()) erased.push_back(handle);
      return erased.size() == handles.size();
    }));
    EXPECT_THAT(erased, testing::UnorderedElementsAreArray(handles));
    EXPECT_TRUE(Within5s([&] { return device_->state() == DeviceState::kUp; }));
    EXPECT_EQ(device_->link(), LinkStatus::kUp);
    EXPECT_GT(device_->resets(), resets);
    EXPECT_EQ(device_->failure(), "");
  }
};

// Under load, twice: what it held comes back to be sealed by the CPU, nothing leaves twice, and the
// new process seals with the key that it was given.
TEST_F(RestartedDriver, WorksAgainAfterEachDeath) {
  OpenSoft();
  const SaSpec spec = test::MakeSpec();
  uint64_t seq = 0;
  for (int round = 0; round < 3; ++round) {
    const OffloadHandle out = Add(spec, Half::kOutbound);
    std::set<uint64_t> missing;
    for (int i = 0; i < 150; ++i) {
      missing.insert(++seq);
      Transmit(ToSeal(spec, out, seq, Pattern(100)));
    }
    if (round < 2) KillAndLetGo({out});
    const auto seen = [&](const Bytes& frame) {
      EXPECT_EQ(missing.erase(test::Get32(frame, 38)), 1u) << "a number twice";
    };
    EXPECT_TRUE(Within5s([&] {
      while (Packet* packet = wire_->TakeSent()) {
        const Bytes frame = test::ToBytes(packet->bytes());
        seen(frame);
        const uint64_t number = test::Get32(frame, 38);
        EXPECT_EQ(frame,
                  test::EspFrame(spec, test::OracleSeal(spec, number, static_cast<uint32_t>(number),
                                                        Pattern(100))));
        test::FreePacket(packet);
      }
      PacketBatch batch;
      (void)device_->Receive(0, &batch, &sink_);
      for (Packet* packet : batch.packets()) {
        EXPECT_EQ(packet->offload.status, OffloadStatus::kReturned);
        seen(test::ToBytes(packet->bytes()));
        sink_.Recycle(packet);
      }
      batch.ReleaseAll();
      return missing.empty();
    })) << missing.size();
  }
  EXPECT_EQ(device_->Close(), 0u) << "packets that were not given back";
}

TEST_F(RestartedDriver, WaitsUntilTheHostHasLetGo) {
  OpenSoft();
  const OffloadHandle out = Add(test::MakeSpec(), Half::kOutbound);
  kill(ChildPid(), SIGKILL);
  EXPECT_TRUE(WaitForFailure());
  EXPECT_TRUE(Within5s([&] { return device_->TakeErased().size() == 1; }));
  device_->TryAgain();
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(device_->state(), DeviceState::kFailed) << "packets may still name its handle";
  device_->ReleaseSa(out);
  EXPECT_TRUE(Within5s([&] { return device_->state() == DeviceState::kUp; }));
}

TEST_F(RestartedDriver, StartsAtOnceForTheOperator) {
  first_wait_ = longest_wait_ = 60s;
  OpenThread();
  kill(ChildPid(), SIGKILL);
  EXPECT_TRUE(WaitForFailure());
  device_->TryAgain();
  EXPECT_TRUE(Within5s([&] { return device_->state() == DeviceState::kUp; }));
  // The wire is the new process's.
  Arrive(Pattern(100));
  EXPECT_EQ(Receive().size(), 1u);
}

TEST_F(RestartedDriver, WakesASleepingWorker) {
  OpenThread();
  kill(ChildPid(), SIGKILL);
  EXPECT_TRUE(WaitForFailure());
  EXPECT_THAT(Receive(0), IsEmpty());
  if (device_->PrepareWait(0)) {
    pollfd wait{device_->wait_fd(0), POLLIN, 0};
    EXPECT_EQ(poll(&wait, 1, 5000), 1);
  }
  device_->FinishWait(0);
  Arrive(Pattern(100));
  EXPECT_EQ(Receive().size(), 1u);
  EXPECT_TRUE(device_->PrepareWait(0));
  pollfd quiet{device_->wait_fd(0), POLLIN, 0};
  EXPECT_EQ(poll(&quiet, 1, 0), 0);
}

// The adapter finds the breach: the process ends, the keys with it, and another one begins.
TEST_F(RestartedDriver, ABreachEndsTheProcess) {
  OpenThread("state");
  for (int round = 0; round < 3; ++round) {
    const uint32_t resets = device_->resets();
    const pid_t child = ChildPid();
    const OffloadHandle out = Add(test::MakeSpec(), Half::kOutbound);
    ASSERT_TRUE(WaitForFailure());
    EXPECT_EQ(device_->failure(),
              "it broke the contract of drivers: its state is 99, which does not exist");
    device_->ReleaseSa(out);
    EXPECT_TRUE(Within5s([&] { return device_->TakeErased() == std::vector{out}; }));
    EXPECT_NE(kill(child, 0), 0) << "the process still has the keys";
    ASSERT_TRUE(Within5s([&] {
      EXPECT_THAT(Receive(0), IsEmpty());  // the worker leaves the old process
      return device_->state() == DeviceState::kUp;
    }));
    EXPECT_GT(device_->resets(), resets);
  }
  Arrive(Pattern(100));
  EXPECT_EQ(Receive().size(), 1u);
  EXPECT_EQ(device_->Close(), 0u) << "packets that were not given back";
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
