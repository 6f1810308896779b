// Packet offload: packets that the device cannot protect, that come back, or that arrive in the
// middle of a move; and the seal guard behind a device that does the whole of ESP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/esp_oracle.h"
#include "support/fragment_builder.h"
#include "support/hex.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using test::TestPair;
using test::Udp;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

SaOptions Packet(SaOptions options, bool inbound) {
  options.offload = OffloadRequest{OffloadMode::kPacket, TestHost::kIfindex, inbound};
  return options;
}

std::unique_ptr<TestPair> MakePair(const SaOptions& options = {}, uint32_t interfaces = 1) {
  const test::TestHostOptions host{.interfaces = interfaces, .nic = true};
  auto pair = std::make_unique<TestPair>(host, host);
  pair->sa_a = pair->a.Add(Packet(options, false));
  pair->sa_b = pair->b.Add(Packet(options, true));
  pair->AddPolicies(options, "10.1.0.0/16", "10.2.0.0/16");
  return pair;
}

Bytes Inner(std::size_t size = 64, bool dont_fragment = true) {
  return Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1", .dont_fragment = dont_fragment}, 1, 2,
                   Pattern(size)));
}

TEST(PacketOffloadTest, TheDeviceDoesTheWholeOfEsp) {
  const auto pair = MakePair();
  EXPECT_THAT(pair->Deliver(Inner()), ElementsAre(Inner()));
  ASSERT_THAT(pair->wire, SizeIs(1));
  EXPECT_EQ(test::ToHex(pair->wire[0]).find(test::ToHex(Pattern(24))), std::string::npos);
  EXPECT_EQ(pair->sa_a->lifetime().usage().packets, 0u) << "the device counts";
  EXPECT_EQ(pair->a.nic_packet().Read(pair->a.bindings[0]->handle)->packets, 1u);
  EXPECT_EQ(pair->b.nic_packet().Read(pair->b.bindings[0]->handle)->packets, 1u);
  EXPECT_EQ(pair->a.bindings[0]->cpu.session, nullptr) << "as the client asked";
}

TEST(PacketOffloadTest, PacketThatLeavesByAnotherDeviceIsDropped) {
  const auto pair = MakePair({}, 2);
  pair->sa_a->outbound()->next_hop.Set({2, 0, 0, 0, 0, 0x22}, 1);
  EXPECT_THAT(pair->a.Send(Inner()), IsEmpty());
  EXPECT_THAT(pair->a.ToWire(1), IsEmpty());
  EXPECT_EQ(pair->a.Drops(DropReason::kOutRequired), 1u);
}

TEST(PacketOffloadTest, PacketThatWouldHaveToBeCutIsDropped) {
  const auto pair = MakePair();
  EXPECT_THAT(pair->a.Send(Inner(1440, false)), IsEmpty());
  EXPECT_EQ(pair->a.Drops(DropReason::kOutTooBig), 1u);
  EXPECT_THAT(pair->a.Send(Inner(1300, false)), SizeIs(1));
}

TEST(PacketOffloadTest, ChainOfSeveralTransformsIsDropped) {
  TestPair pair({.nic = true});
  const SaOptions inner{.mode = SaMode::kTransport, .reqid = 2};
  SaOptions outer{.spi = 0x2000, .reqid = 3};
  pair.a.Add(Packet(inner, false));
  const auto sa = pair.a.Add(Packet(outer, false));
  PolicySpec policy = test::MakePolicy(PolicyDirection::kOut, "192.0.2.1", "192.0.2.2",
                                       {test::TemplateFor(inner), test::TemplateFor(outer)});
  policy.offload = sa->spec().offload;
  pair.a.AddPolicy(std::move(policy));
  EXPECT_THAT(pair.a.Send(Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, 1, 2, Pattern(64)))),
              IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutRequired), 1u);
}

// --- Packets that come back ---

TEST(PacketOffloadTest, PacketThatComesBackIsDecidedAnew) {
  const auto pair = MakePair();
  pair->a.FromHost(Inner());
  pair->a.worker->RunOnce();  // it is in the device's ring
  const SaBinding& old = *pair->a.bindings[0];
  old.device()->StopSa(old.handle);
  const auto state = pair->a.nic_packet().TakeState(old.handle);
  ASSERT_TRUE(state.has_value());
  SequenceCounter& counter = pair->sa_a->outbound()->sequence;
  counter.ReturnUnused(state->reading.highest, counter.last_sent());
  pair->sa_a->outbound()->binding = pair->a.Bind(test::MakeSpec(), Half::kOutbound);
  pair->a.Run();
  const std::vector<Bytes> wire = pair->a.ToWire();
  ASSERT_THAT(wire, SizeIs(1));
  EXPECT_THAT(pair->b.Receive(wire[0]), ElementsAre(Inner()));
  EXPECT_EQ(counter.last_sent(), 1u) << "by the CPU, with the first number";
  EXPECT_EQ(pair->sa_a->lifetime().usage().packets, 1u);
}

TEST(PacketOffloadTest, PacketThatComesBackMayMeetAnotherPolicy) {
  const auto pair = MakePair();
  pair->a.FromHost(Inner());
  pair->a.worker->RunOnce();
  const SaBinding& old = *pair->a.bindings[0];
  old.device()->StopSa(old.handle);
  pair->a.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {},
                                     PolicyAction::kBlock, 1));
  pair->a.Run();
  EXPECT_THAT(pair->a.ToWire(), IsEmpty());
  EXPECT_EQ(pair->a.Drops(DropReason::kOutPolicyBlock), 1u);
}

// "stop": the SA is about to leave the device.
class DeviceHandsBackTest : public testing::TestWithParam<const char*> {
 protected:
  void Begin() {
    EXPECT_THAT(pair_->a.Send(Inner()), SizeIs(1));
    if (std::string_view(GetParam()) == "stop") {
      pair_->a.bindings[0]->device()->StopSa(pair_->a.bindings[0]->handle);
    } else {
      ASSERT_TRUE(pair_->a.nic().InjectFault(GetParam()));
    }
    for (std::size_t i = 0; i < kPackets; ++i) pair_->a.FromHost(Inner(64 + i));
  }
  static constexpr std::size_t kPackets = 5;
  const std::unique_ptr<TestPair> pair_ = MakePair();
};

TEST_P(DeviceHandsBackTest, EachPacketIsHandedOverOnceAndWaitsForTheMove) {
  Begin();
  for (int turn = 0; turn < 20; ++turn) {
    pair_->a.path.BumpGeneration();  // other SAs move; this one does not
    pair_->a.worker->RunOnce();
    pair_->a.nic().RunOnce();
  }
  EXPECT_EQ(pair_->a.nic().offload_stats().returned, kPackets);
  EXPECT_EQ(pair_->a.AllDrops(), 0u) << "they wait";
  pair_->sa_a->outbound()->binding = pair_->a.Bind(test::MakeSpec(), Half::kOutbound);
  pair_->a.path.BumpGeneration();
  pair_->a.Run();
  const std::vector<Bytes> wire = pair_->a.ToWire();
  ASSERT_THAT(wire, SizeIs(kPackets));
  EXPECT_LE(wire.front().size(), wire.back().size()) << "in order";
  EXPECT_EQ(pair_->a.nic().offload_stats().returned, kPackets);
}

TEST_P(DeviceHandsBackTest, TheyWaitABoundedTime) {
  Begin();
  pair_->a.Run();
  pair_->a.clock.monotonic_ns += (OutboundAdmission::kWaitForMoveMs - 1) * 1'000'000;
  pair_->a.Run();
  EXPECT_EQ(pair_->a.AllDrops(), 0u);
  pair_->a.clock.monotonic_ns += 1'000'000;
  pair_->a.Run();
  EXPECT_EQ(pair_->a.Drops(DropReason::kOutDeviceError), kPackets);
  EXPECT_EQ(pair_->a.nic().offload_stats().returned, kPackets);
}

INSTANTIATE_TEST_SUITE_P(States, DeviceHandsBackTest,
                         testing::Values("crash", "down", "reset 60000", "stop"),
                         [](const auto& state) {
                           const std::string name = state.param;
                           return name.substr(0, name.find(' '));
                         });

// --- Inbound ---

TEST(PacketOffloadTest, DecapsulatedPacketsMeetPolicy) {
  const auto pair = MakePair();
  const SaSpec& spec = pair->sa_b->spec();
  const Bytes stranger =
      test::IpPacket({.src = "10.9.0.1", .dst = "10.2.0.1", .proto = 17}, Pattern(40));
  const Bytes frame = test::SealedFrame(spec, 1, test::WithTrailer(stranger, kProtoIpip));
  EXPECT_THAT(pair->b.Receive(frame), IsEmpty());
  EXPECT_EQ(pair->b.nic().offload_stats().opened, 1u);
  EXPECT_EQ(pair->b.Drops(DropReason::kInNoPolicy), 1u);
}

TEST(PacketOffloadTest, PacketOfAnSaThatIsGoneIsStale) {
  const auto pair = MakePair();
  const std::vector<Bytes> wire = pair->a.Send(Inner());
  ASSERT_THAT(wire, SizeIs(1));
  pair->b.FromWire(wire[0]);
  pair->b.nic().RunOnce();  // decapsulated
  pair->b.path.sad.ForgetNumber(pair->sa_b);
  pair->b.path.sad.Remove(pair->sa_b);
  pair->b.worker->RunOnce();
  EXPECT_THAT(pair->b.ToHost(), IsEmpty());
  EXPECT_EQ(pair->b.Drops(DropReason::kInDeviceStale), 1u);
}

TEST(PacketOffloadTest, PacketUnderAnotherHandleIsStale) {
  const auto pair = MakePair();
  const std::vector<Bytes> wire = pair->a.Send(Inner());
  pair->b.FromWire(wire[0]);
  pair->b.nic().RunOnce();
  pair->sa_b->inbound()->binding = pair->b.Bind(test::MakeSpec(), Half::kInbound);
  pair->b.worker->RunOnce();
  EXPECT_THAT(pair->b.ToHost(), IsEmpty());
  EXPECT_EQ(pair->b.Drops(DropReason::kInDeviceStale), 1u);
}

TEST(PacketOffloadTest, NumberOfTheDeviceWaitsUntilTheMoveIsDone) {
  const auto pair = MakePair();
  const std::vector<Bytes> wire = pair->a.Send(Inner());
  const SaBinding& old = *pair->b.bindings[0];
  old.device()->StopSa(old.handle);
  EXPECT_THAT(pair->b.Receive(wire[0]), IsEmpty()) << "nobody may open it now";
  EXPECT_EQ(pair->b.AllDrops(), 0u) << "it waits";
  const auto state = pair->b.nic_packet().TakeState(old.handle);
  pair->sa_b->inbound()->binding = pair->b.Bind(test::MakeSpec(), Half::kInbound);
  pair->sa_b->inbound()->replay.Merge(state->reading.highest, state->bitmap);
  pair->b.path.BumpGeneration();
  pair->b.Run();
  EXPECT_THAT(pair->b.ToHost(), ElementsAre(Inner()));
  EXPECT_THAT(pair->b.Receive(wire[0]), IsEmpty());
  EXPECT_EQ(pair->b.Drops(DropReason::kInReplayDuplicate), 1u);
}

TEST(PacketOffloadTest, NumberOfTheDeviceWaitsABoundedTime) {
  const auto pair = MakePair();
  const std::vector<Bytes> wire = pair->a.Send(Inner());
  const SaBinding& old = *pair->b.bindings[0];
  old.device()->StopSa(old.handle);
  EXPECT_THAT(pair->b.Receive(wire[0]), IsEmpty());
  for (int i = 0; i < 4; ++i) {
    pair->b.path.BumpGeneration();  // other SAs move; this one does not
    pair->b.clock.monotonic_ns += 400'000'000;
    pair->b.Run();
  }
  EXPECT_EQ(pair->b.Drops(DropReason::kInHandOver), 1u);
  EXPECT_EQ(pair->sa_b->drops(DropReason::kInHandOver), 1u);
}

TEST(PacketOffloadTest, PacketInFragmentsHasItsOwnReason) {
  const auto pair = MakePair();
  const std::vector<Bytes> wire = pair->a.Send(Inner(600));
  ASSERT_THAT(wire, SizeIs(1));
  const test::IpFields outer{.src = "192.0.2.1", .dst = "192.0.2.2", .proto = kProtoEsp};
  const Bytes esp(wire[0].begin() + 34, wire[0].end());
  for (const test::Cut& cut : {test::Cut{0, 400}, {400, esp.size(), false}}) {
    EXPECT_THAT(pair->b.Receive(Frame(test::FragmentOf(outer, esp, cut))), IsEmpty());
  }
  EXPECT_EQ(pair->b.Drops(DropReason::kInDeviceFragment), 1u);
  EXPECT_EQ(pair->sa_b->drops(DropReason::kInDeviceFragment), 1u);
  EXPECT_EQ(pair->b.AllDrops(), 1u);
  EXPECT_THAT(pair->b.Receive(wire[0]), ElementsAre(Inner(600))) << "its number was not used up";
}

TEST(PacketOffloadTest, AfterALossNumbersThatTheDeviceMayHaveAcceptedAreRefused) {
  const auto pair = MakePair();
  const std::vector<Bytes> wire = pair->a.Send(Inner());
  EXPECT_THAT(pair->b.Receive(wire[0]), SizeIs(1));
  ASSERT_TRUE(pair->b.nic().InjectFault("crash"));
  const uint64_t last = TestHost::kBlock;
  pair->sa_b->inbound()->binding = pair->b.Bind(test::MakeSpec(), Half::kInbound);
  pair->sa_b->inbound()->replay.GiveUp(0, last);
  EXPECT_THAT(pair->b.Receive(wire[0]), IsEmpty());
  EXPECT_EQ(pair->b.Drops(DropReason::kInNumberUnknown), 1u);
  const Bytes packet = Inner();
  const Bytes text = test::WithTrailer({packet.begin() + 14, packet.end()}, kProtoIpip);
  EXPECT_THAT(pair->b.Receive(test::SealedFrame(pair->sa_b->spec(), last + 1, text)), SizeIs(1));
}

// --- The seal guard ---

class PacketGuardTest : public testing::TestWithParam<const char*> {};

TEST_P(PacketGuardTest, NothingLeavesInClear) {
  const auto pair = MakePair();
  ASSERT_TRUE(pair->a.nic().InjectFault(GetParam()));
  EXPECT_THAT(pair->a.Send(Inner()), IsEmpty());
  EXPECT_EQ(pair->a.guard().unsealed_stopped, 1u) << "and the device is caught";
  EXPECT_EQ(pair->a.NicDrops(DropReason::kOutNotSealed), 1u);
  EXPECT_THAT(pair->a.Send(Inner()), SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(Faults, PacketGuardTest,
                         testing::Values("policy-miss", "skip-seal", "skip-icv"),
                         [](const auto& fault) {
                           std::string name = fault.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(PacketGuardProofTest, TransportModeShowsItsSealToo) {
  TestPair pair({.nic = true}, {.nic = true});
  const SaOptions options{.mode = SaMode::kTransport};
  pair.sa_a = pair.a.Add(Packet(options, false));
  pair.sa_b = pair.b.Add(Packet(options, true));
  pair.AddPolicies(options, "192.0.2.1", "192.0.2.2");
  for (const std::size_t size : {0u, 1u, 64u}) {
    const Bytes frame = Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, 1, 2, Pattern(size)));
    EXPECT_THAT(pair.Deliver(frame), ElementsAre(frame)) << size;
  }
  ASSERT_TRUE(pair.a.nic().InjectFault("skip-seal"));
  EXPECT_THAT(pair.a.Send(Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, 1, 2, Pattern(8)))),
              IsEmpty());
  EXPECT_EQ(pair.a.guard().unsealed_stopped, 1u);
}

}  // namespace
}  // namespace cygnet
