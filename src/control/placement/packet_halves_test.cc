// The control plane's part of packet offload, over a real software NIC: blocks of numbers,
// counters, limits, and what remains when the device is lost.
#include "control/placement/packet_halves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "support/control_plane_fixture.h"
#include "support/esp_oracle.h"
#include "support/fake_packet_nic.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::ControlPlaneTest;
using test::Events;
using test::Frame;
using test::kNic0;
using test::MakeSpec;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class PacketHalvesTest : public ControlPlaneTest {
 protected:
  PacketHalvesTest() : ControlPlaneTest(8) { GivePolicy(); }
  void GivePolicy() {
    const PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                             {test::TemplateFor({})});
    OffloadPolicyHandle handle;
    ASSERT_FALSE(nic_.AddPolicy({spec}, &handle).has_value());
  }
  ConstSaPtr Add(test::SaOptions options, bool inbound = false) {
    options.offload = OffloadRequest{OffloadMode::kPacket, kNic0, inbound};
    const Status added = control_->AddSa(MakeSpec(options), {});
    EXPECT_TRUE(added.has_value()) << added.error().message;
    return *control_->GetSa(IdOf(options.spi));
  }
  // A turn of the loop: workers are quiet, the device has run.
  void Turn() {
    for (int i = 0; i < 3; ++i) {
      while (nic_.RunOnce() != 0) {
      }
      path_.quiescence.Collect();
      control_->OnBell();
      (void)control_->DoSome();
    }
    while (nic_.RunOnce() != 0) {
    }
  }
  void Give(const Sa& sa, uint32_t n) {
    const SaBinding& binding = *sa.outbound()->binding.load();
    for (; n > 0; --n) {
      Packet* packet = test::MakePacket(
          &pools_, Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Bytes(40))));
      packet->offload.handle = binding.handle;
      packet->offload.status = OffloadStatus::kProtectRequested;
      PacketBatch batch;
      batch.Push(packet);
      nic_.Transmit(0, &batch, &sink_);
      while (nic_.RunOnce() != 0) {
      }
    }
  }
  // The numbers on the wire.
  std::vector<uint32_t> Sent() {
    auto& wire = static_cast<MemoryPort&>(nic_.wire());
    std::vector<uint32_t> out;
    for (; !wire.sent.empty(); wire.sent.pop_front()) {
      out.push_back(LoadBe32(wire.sent.front()->data() + 38));
      test::FreePacket(wire.sent.front());
    }
    return out;
  }
  // Frames that go up to the stack.
  std::vector<OffloadStatus> Receive(const Bytes& frame) {
    static_cast<MemoryPort&>(nic_.wire()).arriving.push_back(test::MakePacket(&pools_, frame));
    return Up();
  }
  std::vector<OffloadStatus> Up() {
    while (nic_.RunOnce() != 0) {
    }
    std::vector<OffloadStatus> out;
    PacketBatch batch;
    while (nic_.Receive(0, &batch, &sink_) > 0) {
      for (Packet* packet : batch.packets()) {
        out.push_back(packet->offload.status);
        sink_.Recycle(packet);
      }
      batch.ReleaseAll();
    }
    return out;
  }
  static Bytes Sealed(const Sa& sa, uint64_t seq) {
    const Bytes inner = Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Bytes(40)));
    return test::SealedFrame(sa.spec(), seq,
                             test::WithTrailer({inner.begin() + 14, inner.end()}, kProtoIpip));
  }
  void Inject(const char* fault) {
    ASSERT_TRUE(nic_.InjectFault(fault));
    control_->OnBell();
  }

  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
};

TEST_F(PacketHalvesTest, TheFirstBlockWaitsForTheWorkers) {
  const auto sa = Add({.spi = 0x100});
  EXPECT_EQ(Where(0x100), "packet requested");
  Give(*sa, 3);
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_TRUE(control_->DoSome()) << "the loop comes back at once";
  Turn();
  EXPECT_EQ(Sent(), (std::vector<uint32_t>{1, 2, 3}));
  EXPECT_FALSE(control_->DoSome());
}

TEST_F(PacketHalvesTest, CountersAreTheDevices) {
  const auto sa = Add({.spi = 0x100});
  Turn();
  Give(*sa, 3);
  const SaView view = control_->Inspect(*sa);
  EXPECT_EQ(view.usage.packets, 3u);
  EXPECT_EQ(view.usage.bytes, 3u * 68);
  EXPECT_NE(view.usage.use_time, 0u);
  EXPECT_EQ(view.replay.oseq, 3u);
  ASSERT_TRUE(view.offload.has_value());
  EXPECT_EQ(view.offload->mode, OffloadMode::kPacket);
  EXPECT_EQ(control_->Inspect(*sa).usage.packets, 3u) << "counted once";
  const auto in = Add({.spi = 0x200}, true);
  EXPECT_THAT(Receive(Sealed(*in, 7)), SizeIs(1));
  EXPECT_THAT(Receive(Sealed(*in, 7)), IsEmpty());
  const SaView received = control_->Inspect(*in);
  EXPECT_EQ(received.usage.packets, 1u);
  EXPECT_EQ(received.replay.seq, 7u);
  EXPECT_EQ(received.stats.replay, 1u);
}

TEST_F(PacketHalvesTest, LimitsBecomeTheEventsOfTheSa) {
  const auto sa = Add({.spi = 0x100, .limits = {.soft_packets = 2, .hard_packets = 4}});
  Turn();
  recorder_.Take();
  Give(*sa, 3);
  control_->OnBell();
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired soft"});
  Give(*sa, 3);
  control_->OnBell();
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"});
  EXPECT_FALSE(control_->GetSa(IdOf(0x100)).has_value());
  EXPECT_THAT(Sent(), SizeIs(4));
  Turn();
  EXPECT_THAT(nic_.HeldSas(), IsEmpty());
}

TEST_F(PacketHalvesTest, NewLimitsCountWhatWasUsedBefore) {
  const auto sa = Add({.spi = 0x100});
  Turn();
  Give(*sa, 3);
  test::SaOptions changed{.spi = 0x100, .limits = {.hard_packets = 5}};
  changed.offload = OffloadRequest{OffloadMode::kPacket, kNic0, false};
  ASSERT_TRUE(control_->UpdateSa(MakeSpec(changed), {}).has_value());
  Give(*sa, 4);
  EXPECT_THAT(Sent(), SizeIs(5));
}

TEST_F(PacketHalvesTest, DeviceThatAsksGetsMoreNumbers) {
  const auto sa = Add({.spi = 0x100});
  Turn();
  std::vector<uint32_t> numbers;
  for (int i = 0; i < 200; ++i) {
    Give(*sa, 100);
    control_->OnBell();
    for (const uint32_t number : Sent()) numbers.push_back(number);
  }
  ASSERT_EQ(numbers.size(), 20'000u) << "nothing waits";
  for (uint32_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], i + 1);
}

TEST_F(PacketHalvesTest, DeviceWithOldReadingsGetsMoreNumbersToo) {
  Inject("stale-counters");
  const auto out = Add({.spi = 0x100});
  const auto in = Add({.spi = 0x200}, true);
  Turn();
  (void)control_->Inspect(*out);  // the last reading that it takes
  (void)control_->Inspect(*in);
  uint32_t sent = 0;
  uint32_t received = 0;
  for (uint32_t i = 0; i < 200; ++i) {
    clock_.monotonic_ns += 20'000'000;
    Give(*out, 100);
    for (uint32_t n = 1; n <= 100; ++n) {
      received += static_cast<uint32_t>(Receive(Sealed(*in, i * 100 + n)).size());
    }
    control_->OnBell();
    sent += static_cast<uint32_t>(Sent().size());
  }
  EXPECT_EQ(sent, 20'000u);
  EXPECT_EQ(received, 20'000u);
}

TEST_F(PacketHalvesTest, BlocksGrowIfThisThreadComesLate) {
  const auto sa = Add({.spi = 0x100});
  Turn();
  uint64_t before = sa->outbound()->sequence.last_sent();
  uint64_t block = before;
  for (int i = 0; i < 3; ++i) {
    for (uint64_t n = 0; n <= block; n += 100) {  // all of it
      Give(*sa, 100);
      (void)Sent();
    }
    clock_.monotonic_ns += 1'000'000'000;
    control_->OnBell();
    const uint64_t now = sa->outbound()->sequence.last_sent();
    EXPECT_GT(now - before, block);
    block = now - std::exchange(before, now);
  }
}

TEST_F(PacketHalvesTest, LimitThatTheDeviceHidesEndsTheSaWithinASecond) {
  Inject("no-expiry 2");
  const auto sa = Add({.spi = 0x100, .limits = {.soft_packets = 2, .hard_packets = 4}});
  Turn();
  recorder_.Take();
  Give(*sa, 10);
  control_->OnBell();
  EXPECT_THAT(recorder_.Take(), IsEmpty());
  Pass(1);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"});
  EXPECT_FALSE(control_->GetSa(IdOf(0x100)).has_value());
  Turn();
  EXPECT_THAT(nic_.HeldSas(), IsEmpty());
}

TEST_F(PacketHalvesTest, SenderThatSkipsNumbersIsHeard) {
  const auto sa = Add({.spi = 0x200}, true);
  EXPECT_THAT(Receive(Sealed(*sa, 1)), SizeIs(1));
  EXPECT_THAT(Receive(Sealed(*sa, 2'000'000)), IsEmpty()) << "it waits in the device";
  control_->OnBell();
  EXPECT_THAT(Receive(Sealed(*sa, 2'000'001)), SizeIs(2));
}

TEST_F(PacketHalvesTest, LostDeviceCostsTheBlockAndSaysSo) {
  const auto out = Add({.spi = 0x100});
  const auto in = Add({.spi = 0x200}, true);
  Turn();
  Give(*out, 3);
  EXPECT_THAT(Receive(Sealed(*in, 5)), SizeIs(1));
  Pass(1);
  const uint64_t last = out->outbound()->sequence.last_sent();
  EXPECT_GE(last, 256u);
  Inject("reset 10");
  EXPECT_EQ(Where(0x100), "blocked device-reset") << "the client asked for the device";
  EXPECT_EQ(Where(0x200), "blocked device-reset");
  EXPECT_THAT(Placement(0x200).explanation, HasSubstr("are refused"));
  EXPECT_EQ(out->outbound()->sequence.last_sent(), last) << "none of the block is used again";
  EXPECT_EQ(in->inbound()->replay.Check(5), DropReason::kInNumberUnknown);
  EXPECT_EQ(in->inbound()->replay.Check(500), DropReason::kInNumberUnknown);
  Inject("reset 0");  // it is up
  GivePolicy();
  Turn();
  EXPECT_EQ(Where(0x100), "packet returned");
  (void)Sent();
  Give(*out, 1);
  EXPECT_EQ(Sent(), std::vector<uint32_t>{static_cast<uint32_t>(last + 1)});
  EXPECT_THAT(Receive(Sealed(*in, 5)), testing::ElementsAre(OffloadStatus::kNone))
      << "the stack refuses it";
}

// Everything ever sent comes again after each loss.
class LostAgainAndAgainTest : public PacketHalvesTest {
 protected:
  // How many of the frames are accepted, by the device or by the stack's window.
  uint32_t Accepted(const std::vector<uint64_t>& numbers) {
    uint32_t accepted = 0;
    for (const uint64_t number : numbers) {
      for (OffloadStatus status : Receive(Sealed(*in_, number))) accepted += Takes(status, number);
      control_->OnBell();  // the device may ask for numbers
      for (OffloadStatus status : Up()) accepted += Takes(status, number);
    }
    return accepted;
  }
  uint32_t Takes(OffloadStatus status, uint64_t number) {
    if (status == OffloadStatus::kDecapsulated) return 1;
    return in_->inbound()->replay.Commit(number) == DropReason::kNone ? 1 : 0;
  }
  void Lose() {
    Inject("reset 0");
    GivePolicy();
    Turn();
    ASSERT_EQ(Where(0x200), "packet returned");
  }
  uint64_t Edge() { return in_->inbound()->replay.safe_edge(); }

  const ConstSaPtr in_ = Add({.spi = 0x200}, true);
};

TEST_F(LostAgainAndAgainTest, AnUnusedSaLosesOneBlock) {
  Pass(1);
  Lose();
  const uint64_t one_block = Edge();
  EXPECT_EQ(one_block, 2048u);
  for (int i = 0; i < 30; ++i) {
    Lose();
    Pass(1);
    EXPECT_EQ(Edge(), one_block);
    EXPECT_THAT(Placement(0x200).explanation, HasSubstr("numbered up to 2048 are refused"));
  }
  EXPECT_EQ(Accepted({one_block}), 0u);
  EXPECT_EQ(Accepted({one_block + 1, one_block + 2}), 2u) << "the device asks for a block";
  EXPECT_EQ(Accepted({one_block + 1, one_block + 2, one_block}), 0u);
}

TEST_F(LostAgainAndAgainTest, NothingIsAcceptedTwice) {
  std::mt19937 random(15);
  std::vector<uint64_t> sent;
  uint64_t next = 1;
  uint32_t lost = 0;
  for (int round = 0; round < 40; ++round) {
    const uint64_t edge = Edge();
    const bool traffic = random() % 3 == 0;
    for (auto n = traffic ? 1 + random() % 20 : 0; n > 0; --n) {
      sent.push_back(next);
      lost += 1 - Accepted({next++});
    }
    if (random() % 2 == 0) Pass(1);  // else the readings do not show the traffic
    Lose();
    EXPECT_EQ(Accepted(sent), 0u) << "round " << round;
    if (!traffic) {
      EXPECT_LE(Edge(), edge + 2048);
    }
    next = std::max(next, Edge() + 1);  // the sender passes what is refused
  }
  EXPECT_EQ(lost, 0u);
  EXPECT_GT(sent.size(), 50u);
}

// Without a control plane: the seal guard is not part of the fixture.
TEST(PacketHalvesAloneTest, CaughtDeviceIsCountedToTheEndAndNotBelieved) {
  DataPath path{1};
  test::FakeClock clock;
  test::FakePacketNic nic;
  bool lied = false;
  PacketHalves halves(&path, &clock, {}, [&](const OffloadDevice&) { return lied; });
  const auto sa = test::MakeSa({.spi = 0x200});
  sa->number = 7;
  const NumberBlock block = halves.Prepare(sa, Half::kInbound, PacketHalves::Standby::kNone);
  SaBinding binding;
  binding.path = ProcessingPath::kPacketOffload;
  binding.SetDevice(&nic, 0);
  ASSERT_FALSE(nic.InstallSa({.spec = sa->spec(), .half = Half::kInbound}, &binding.handle));
  halves.Adopt(sa, Half::kInbound, binding);
  nic.Sa(0x200)->reading = {.packets = 6, .bytes = 600, .highest = 6, .wanted = 6};
  halves.Tick();
  nic.Sa(0x200)->reading = {.packets = 9, .bytes = 900, .highest = 1500, .wanted = 1500};
  lied = true;
  halves.Stop(*sa, Half::kInbound);
  EXPECT_EQ(halves.Finish(*sa, Half::kInbound).refused_to, block.last) << "the whole block";
  EXPECT_EQ(sa->lifetime().usage().packets, 9u);
  EXPECT_EQ(sa->lifetime().usage().bytes, 900u);
  EXPECT_EQ(sa->inbound()->replay.highest(), 6u) << "as it said before it was caught";
}

TEST_F(PacketHalvesTest, OperatorMovesItOutAndIn) {
  const auto out = Add({.spi = 0x100});
  const auto in = Add({.spi = 0x200}, true);
  Turn();
  Give(*out, 3);
  EXPECT_THAT(Receive(Sealed(*in, 5)), SizeIs(1));
  for (const uint32_t spi : {0x100u, 0x200u}) {
    ASSERT_TRUE(control_->SetPlacement({.spi = Spi(spi), .mode = PlacementMode::kNo}).has_value());
  }
  EXPECT_EQ(Where(0x100), "software operator-rule");
  EXPECT_EQ(out->outbound()->sequence.last_sent(), 3u) << "the unused numbers came back";
  EXPECT_EQ(in->inbound()->replay.Check(5), DropReason::kInReplayDuplicate);
  EXPECT_EQ(in->inbound()->replay.Check(4), DropReason::kNone);
  EXPECT_EQ(in->inbound()->replay.Check(6), DropReason::kNone);
  EXPECT_EQ(out->lifetime().usage().packets, 3u);
  for (const uint32_t spi : {0x100u, 0x200u}) {
    ASSERT_TRUE(control_->SetPlacement({.spi = Spi(spi), .clear = true}).has_value());
  }
  Turn();
  EXPECT_EQ(Where(0x200), "packet requested");
  EXPECT_THAT(Placement(0x200).explanation, HasSubstr("the CPU opens packets numbered up to 8197"));
  Give(*out, 1);
  EXPECT_EQ(Sent().back(), 4u);
  EXPECT_THAT(Receive(Sealed(*in, 6)), testing::ElementsAre(OffloadStatus::kNone));
  EXPECT_THAT(Receive(Sealed(*in, 8198)), testing::ElementsAre(OffloadStatus::kDecapsulated));
}

}  // namespace
}  // namespace cygnet
