// PathEquivalenceTest: the wire, the host and the counters are the same wherever the cryptography
// runs. Also a device that is full, down, unable or gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "support/esp_oracle.h"
#include "support/hex.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using test::TestPair;
using test::Udp;
using testing::IsEmpty;
using testing::SizeIs;

enum class Where { kSoftware, kDevice, kPacket };

SaOptions Offloaded(SaOptions options, bool inbound, OffloadMode mode = OffloadMode::kCrypto) {
  options.offload = OffloadRequest{mode, TestHost::kIfindex, inbound};
  return options;
}

struct Shape {
  const char* name;
  SaOptions options;
  const char* inner_a;
  const char* inner_b;
  uint32_t mtu = 1500;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

// Two hosts whose SA is in software or on their devices.
std::unique_ptr<TestPair> MakePair(const Shape& shape, Where where) {
  const bool nic = where != Where::kSoftware;
  const OffloadMode mode = where == Where::kPacket ? OffloadMode::kPacket : OffloadMode::kCrypto;
  const test::TestHostOptions host{.nic = nic, .mtu = shape.mtu};
  auto pair = std::make_unique<TestPair>(host, host);
  pair->sa_a = pair->a.Add(nic ? Offloaded(shape.options, false, mode) : shape.options);
  pair->sa_b = pair->b.Add(nic ? Offloaded(shape.options, true, mode) : shape.options);
  pair->AddPolicies(shape.options, shape.inner_a, shape.inner_b);
  return pair;
}

struct Outcome {
  std::vector<std::string> wire;
  std::vector<std::string> delivered;
  std::vector<std::string> told_sender;
  std::map<std::string, uint64_t> drops_a;
  std::map<std::string, uint64_t> drops_b;
  std::map<std::string, uint64_t> sa_drops;
  SaStats stats;
  ReplayState replay;
  LifetimeUsage usage_a;
  LifetimeUsage usage_b;
  std::size_t events = 0;
  std::set<DataPathEvent::Kind> event_kinds;
};

std::map<std::string, uint64_t> NonZero(const std::function<uint64_t(DropReason)>& get) {
  std::map<std::string, uint64_t> out;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (get(reason) != 0) out[std::string(Describe(reason).name)] = get(reason);
  }
  return out;
}

// The frames of A's host: valid ones of all sizes, and bad ones. `cut`: packets may have to be cut
// after protection.
enum class Cut { kAllowed, kNever };
std::vector<Bytes> HostFrames(const Shape& shape, Cut cut) {
  std::mt19937 random(1);
  std::vector<Bytes> frames;
  const uint32_t more = shape.mtu - 1500;
  const bool v4 = std::string(shape.inner_a).find(':') == std::string::npos;
  for (uint32_t i = 0; i < 500; ++i) {
    IpFields f{.src = shape.inner_a,
               .dst = shape.inner_b,
               .tos = static_cast<uint8_t>(i),
               .dont_fragment = (i & 1) != 0,
               .id = static_cast<uint16_t>(i)};
    // Some are too big after encapsulation.
    const std::size_t size =
        random() % (more + (cut == Cut::kNever && !f.dont_fragment ? 1340 : 1440));
    if (i % 50 == 7 && v4) f.options = {1, 1, 1, 1};
    if (i % 50 == 7 && !v4) {
      f.options = {17, 0, 1, 4, 0, 0, 0, 0};
      f.first_header = 60;
      f.proto = 17;
    }
    if (i % 50 == 9 && v4) f.fragment = 0x2000;
    Bytes frame = Frame(i % 50 == 7 ? test::IpPacket(f, Pattern(size % (more + 1300)))
                                    : Udp(f, 1, 2, Pattern(size, static_cast<uint8_t>(i))));
    if (i % 50 == 8) frame.resize(frame.size() - 3);
    frames.push_back(std::move(frame));
  }
  return frames;
}

// A bad wire: it loses, duplicates, damages, truncates and reorders frames.
std::vector<Bytes> Disturb(std::vector<Bytes> frames, std::size_t esp_at) {
  std::mt19937 random(2);
  std::vector<Bytes> out;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto dice = random() % 20;
    if (dice == 0) continue;
    if (dice == 1) out.push_back(frames[i]);
    if (dice == 2 && i > 150) out.push_back(frames[i - 150]);
    Bytes frame = frames[i];
    if (dice == 3) frame[esp_at + random() % (frame.size() - esp_at)] ^= 0x20;
    if (dice == 4) frame.resize(esp_at + random() % (frame.size() - esp_at));
    out.push_back(std::move(frame));
    if (dice == 5 && out.size() > 9) std::swap(out.back(), out[out.size() - 9]);
  }
  return out;
}

// The events of a device, as the control plane translates them.
void AddDeviceEvents(TestHost* host, Outcome* outcome) {
  for (const PacketOffloadEvent& event : host->nic_packet().TakeEvents()) {
    if (event.kind == PacketOffloadEvent::Kind::kSoftLimit) {
      outcome->event_kinds.insert(DataPathEvent::Kind::kSoftLimit);
    } else if (event.kind == PacketOffloadEvent::Kind::kHardLimit) {
      outcome->event_kinds.insert(DataPathEvent::Kind::kHardLimit);
    } else if (host->NicDrops(DropReason::kOutSequence) > 0) {
      outcome->event_kinds.insert(DataPathEvent::Kind::kSequenceExhausted);
    }
  }
}

// Takes the numbers and counters back from the devices, as an orderly move does.
void TakeBack(TestPair* pair) {
  const SaBinding& out = *pair->a.bindings[0];
  const SaBinding& in = *pair->b.bindings[0];
  out.device()->StopSa(out.handle);
  in.device()->StopSa(in.handle);
  const auto sent = pair->a.nic_packet().TakeState(out.handle);
  const auto received = pair->b.nic_packet().TakeState(in.handle);
  ASSERT_TRUE(sent.has_value() && received.has_value());
  SequenceCounter& counter = pair->sa_a->outbound()->sequence;
  counter.ReturnUnused(sent->reading.highest, counter.last_sent());
  pair->sa_b->inbound()->replay.Merge(received->reading.highest, received->bitmap);
  pair->sa_a->lifetime().AddUsage(sent->reading.packets, sent->reading.bytes,
                                  pair->a.clock.WallSeconds());
  pair->sa_b->lifetime().AddUsage(received->reading.packets, received->reading.bytes,
                                  pair->b.clock.WallSeconds());
  pair->sa_b->CountDrop(DropReason::kInReplayDuplicate, received->reading.replayed);
  pair->sa_b->CountDrop(DropReason::kInAuthFailed, received->reading.auth_failed);
}

uint64_t AllDrops(TestHost* host, DropReason reason) {
  const bool nic = host->path.interfaces[0].offload != nullptr;
  return host->Drops(reason) + (nic ? host->NicDrops(reason) : 0);
}

Outcome Play(const Shape& shape, Where where, Cut cut = Cut::kAllowed) {
  const auto pair = MakePair(shape, where);
  Outcome outcome;
  for (const Bytes& frame : HostFrames(shape, cut)) pair->a.FromHost(frame);
  pair->a.Run();
  const std::vector<Bytes> wire = pair->a.ToWire();
  for (const Bytes& frame : wire) outcome.wire.push_back(test::ToHex(frame));
  for (const Bytes& frame : pair->a.ToHost()) outcome.told_sender.push_back(test::ToHex(frame));
  const bool outer_v4 = shape.options.src.find(':') == std::string::npos;
  const std::size_t esp_at =
      14 + (outer_v4 ? 20u : 40u) + (shape.options.encap.has_value() ? 8u : 0u);
  for (const Bytes& frame : Disturb(wire, esp_at)) pair->b.FromWire(frame);
  pair->b.Run();
  for (const Bytes& frame : pair->b.ToHost()) outcome.delivered.push_back(test::ToHex(frame));
  outcome.drops_a = NonZero([&](DropReason r) { return AllDrops(&pair->a, r); });
  outcome.drops_b = NonZero([&](DropReason r) { return AllDrops(&pair->b, r); });
  for (TestHost* host : {&pair->a, &pair->b}) {
    for (const DataPathEvent& event : host->Events()) {
      ++outcome.events;
      outcome.event_kinds.insert(event.kind);
    }
    if (where == Where::kPacket) AddDeviceEvents(host, &outcome);
  }
  if (where == Where::kPacket) TakeBack(pair.get());
  outcome.sa_drops = NonZero([&](DropReason r) { return pair->sa_b->drops(r); });
  outcome.replay = pair->sa_b->ExportReplay();
  outcome.usage_a = pair->sa_a->lifetime().usage();
  outcome.usage_b = pair->sa_b->lifetime().usage();
  outcome.stats = pair->sa_b->stats();
  if (where != Where::kSoftware) {
    // The comparison is valid only if the device did the work.
    EXPECT_EQ(pair->a.bindings[0]->path, where == Where::kDevice ? ProcessingPath::kCryptoOffload
                                                                 : ProcessingPath::kPacketOffload);
    EXPECT_GT(pair->a.nic().offload_stats().sealed, 300u);
    EXPECT_GT(pair->b.nic().offload_stats().opened, 300u);
    EXPECT_GT(pair->b.nic().offload_stats().auth_failed, 5u);
  }
  return outcome;
}

class PathEquivalenceTest : public testing::TestWithParam<Shape> {};

TEST_P(PathEquivalenceTest, WireHostAndCountersAreTheSame) {
  const Outcome software = Play(GetParam(), Where::kSoftware);
  const Outcome device = Play(GetParam(), Where::kDevice);
  EXPECT_GT(software.wire.size(), 400u);
  EXPECT_GT(software.delivered.size(), 350u);
  EXPECT_GE(software.drops_b.size(), 3u);
  EXPECT_EQ(software.wire, device.wire);
  EXPECT_EQ(software.delivered, device.delivered);
  EXPECT_EQ(software.told_sender, device.told_sender);
  EXPECT_EQ(software.drops_a, device.drops_a);
  EXPECT_EQ(software.drops_b, device.drops_b);
  EXPECT_EQ(software.sa_drops, device.sa_drops);
  EXPECT_EQ(software.replay, device.replay);
  EXPECT_EQ(software.usage_a, device.usage_a);
  EXPECT_EQ(software.usage_b, device.usage_b);
  EXPECT_EQ(software.events, device.events);
}

// No device cuts packets, so those that would have to be cut are left out.
TEST_P(PathEquivalenceTest, PacketOffloadIsTheSame) {
  const Outcome software = Play(GetParam(), Where::kSoftware, Cut::kNever);
  const Outcome device = Play(GetParam(), Where::kPacket, Cut::kNever);
  EXPECT_GT(software.wire.size(), 400u);
  EXPECT_GT(software.delivered.size(), 350u);
  EXPECT_EQ(software.wire, device.wire);
  EXPECT_EQ(software.delivered, device.delivered);
  EXPECT_EQ(software.told_sender, device.told_sender);
  EXPECT_EQ(software.drops_a, device.drops_a);
  EXPECT_EQ(software.drops_b, device.drops_b);
  // A reading does not distinguish the two replay counters.
  EXPECT_EQ(software.stats.replay + software.stats.replay_window,
            device.stats.replay + device.stats.replay_window);
  EXPECT_EQ(software.stats.integrity_failed, device.stats.integrity_failed);
  EXPECT_EQ(software.replay, device.replay);
  EXPECT_EQ(software.usage_a, device.usage_a);
  EXPECT_EQ(software.usage_b, device.usage_b);
  EXPECT_EQ(software.event_kinds, device.event_kinds);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PathEquivalenceTest,
    testing::Values(
        Shape{"Tunnel4", {}, "10.1.0.1", "10.2.0.1"},
        Shape{"Tunnel6in4", {.key_bytes = 32}, "fd01::1", "fd02::1"},
        Shape{"Tunnel6", {.src = "2001:db8::1", .dst = "2001:db8::2"}, "fd01::1", "fd02::1"},
        Shape{"Tunnel4in6", {.src = "2001:db8::1", .dst = "2001:db8::2"}, "10.1.0.1", "10.2.0.1"},
        Shape{"JumboTunnel4", {}, "10.1.0.1", "10.2.0.1", 9000},
        Shape{"JumboTunnel6",
              {.src = "2001:db8::1", .dst = "2001:db8::2"},
              "fd01::1",
              "fd02::1",
              kLargestMtu},
        Shape{"Transport4", {.mode = SaMode::kTransport}, "192.0.2.1", "192.0.2.2"},
        Shape{"Transport6",
              {.src = "2001:db8::1", .dst = "2001:db8::2", .mode = SaMode::kTransport},
              "2001:db8::1",
              "2001:db8::2"},
        Shape{"EsnAcross32Bits",
              {.flags = kSaFlagEsn, .window = 256, .oseq = 0xffffff00, .seq = 0xffffff00},
              "10.1.0.1",
              "10.2.0.1"},
        Shape{"LimitsAndLastNumber",
              {.oseq = 0xfffffe40, .seq = 0xfffffe40, .limits = {.soft_packets = 100}},
              "10.1.0.1",
              "10.2.0.1"}),
    [](const auto& shape) { return std::string(shape.param.name); });

// Crypto offload has no UDP encapsulation.
class PacketOffloadInUdpTest : public testing::TestWithParam<Shape> {};

TEST_P(PacketOffloadInUdpTest, IsTheSame) {
  const Outcome software = Play(GetParam(), Where::kSoftware, Cut::kNever);
  const Outcome device = Play(GetParam(), Where::kPacket, Cut::kNever);
  EXPECT_GT(software.wire.size(), 400u);
  EXPECT_EQ(software.wire, device.wire);
  EXPECT_EQ(software.delivered, device.delivered);
  EXPECT_EQ(software.drops_a, device.drops_a);
  EXPECT_EQ(software.drops_b, device.drops_b);
  EXPECT_EQ(software.replay, device.replay);
  EXPECT_EQ(software.usage_b, device.usage_b);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PacketOffloadInUdpTest,
    testing::Values(Shape{"Tunnel4", {.encap = test::NatT()}, "10.1.0.1", "10.2.0.1"},
                    Shape{"Transport4",
                          {.mode = SaMode::kTransport, .encap = test::NatT()},
                          "192.0.2.1",
                          "192.0.2.2"},
                    Shape{"Tunnel6",
                          {.src = "2001:db8::1", .dst = "2001:db8::2", .encap = test::NatT()},
                          "fd01::1",
                          "fd02::1"}),
    [](const auto& shape) { return std::string(shape.param.name); });

// --- Limits of a device ---

const Shape kTunnel{"Tunnel4", {}, "10.1.0.1", "10.2.0.1"};
const Shape kTransport{"Transport4", {.mode = SaMode::kTransport}, "192.0.2.1", "192.0.2.2"};

Bytes FrameOf(const Shape& shape, std::size_t size = 64) {
  return Frame(Udp({.src = shape.inner_a, .dst = shape.inner_b}, 1, 2, Pattern(size)));
}

// Success if no payload is readable in the frame.
testing::AssertionResult HidesPayload(const Bytes& frame) {
  const std::string hex = test::ToHex(frame);
  return hex.find(test::ToHex(Pattern(24))) == std::string::npos
             ? testing::AssertionSuccess()
             : testing::AssertionFailure() << "in clear: " << hex;
}

TEST(OffloadEdgeTest, PacketThatLeavesByAnotherDeviceIsSealedInSoftware) {
  TestPair pair({.interfaces = 2, .nic = true});
  pair.sa_a = pair.a.Add(Offloaded({}, false));
  pair.sa_b = pair.b.Add(SaOptions{});
  pair.AddPolicies({}, "10.1.0.0/16", "10.2.0.0/16");
  pair.sa_a->outbound()->next_hop.Set({2, 0, 0, 0, 0, 0x22}, 1);
  EXPECT_THAT(pair.a.Send(FrameOf(kTunnel)), IsEmpty());
  const std::vector<Bytes> wire = pair.a.ToWire(1);
  ASSERT_THAT(wire, SizeIs(1));
  EXPECT_TRUE(HidesPayload(wire[0]));
  EXPECT_THAT(pair.b.Receive(wire[0]),
              testing::ElementsAre(testing::SizeIs(FrameOf(kTunnel).size())));
  EXPECT_EQ(pair.a.nic(0).offload_stats().sealed, 0u);
  EXPECT_EQ(pair.a.nic(1).offload_stats().sealed, 0u);
}

TEST(OffloadEdgeTest, RunsOfTwoDevicesInOneBatchEachLeaveSealedByTheirOwn) {
  TestPair pair({.interfaces = 2, .nic = true});
  pair.a.Add(Offloaded({}, false));
  SaOptions second{.dst = "192.0.2.9", .spi = 0x2000, .reqid = 2};
  const auto sa = pair.a.Add(Offloaded(second, false));
  sa->outbound()->next_hop.Set({2, 0, 0, 0, 0, 9}, 1);
  pair.AddPolicies({}, "10.1.0.0/16", "10.2.0.0/16");
  pair.AddPolicies(second, "10.1.0.0/16", "10.9.0.0/16");
  for (uint32_t i = 0; i < 40; ++i) {
    const char* dst = i % 3 == 0 ? "10.9.0.1" : "10.2.0.1";
    pair.a.FromHost(Frame(Udp({.src = "10.1.0.1", .dst = dst}, 1, 2, Pattern(64))));
  }
  pair.a.Run();
  const std::vector<Bytes> first_wire = pair.a.ToWire(0);
  const std::vector<Bytes> second_wire = pair.a.ToWire(1);
  EXPECT_THAT(first_wire, SizeIs(26));
  EXPECT_THAT(second_wire, SizeIs(14));
  for (const Bytes& frame : first_wire) EXPECT_TRUE(HidesPayload(frame));
  for (const Bytes& frame : second_wire) EXPECT_TRUE(HidesPayload(frame));
  EXPECT_EQ(pair.a.nic(0).offload_stats().sealed, 26u);
}

// An SA's next hop moves to another interface during a batch. It is read once per run, so that all
// packets of a run leave by the device that seals them.
TEST(OffloadEdgeTest, NextHopThatMovesOffTheDeviceNeverSendsInClear) {
  TestPair pair({.interfaces = 2, .nic = true});
  pair.sa_a = pair.a.Add(Offloaded({}, false));
  pair.AddPolicies({}, "10.1.0.0/16", "10.2.0.0/16");
  for (uint8_t i = 0; i < 8; ++i) {
    pair.sa_a->outbound()->next_hop.Set({2, 0, 0, 0, 0, i}, i & 1);
    pair.a.FromHost(FrameOf(kTunnel));
    pair.a.Run();
    for (std::size_t w = 0; w < 2; ++w) {
      for (const Bytes& frame : pair.a.ToWire(w)) EXPECT_TRUE(HidesPayload(frame));
    }
  }
  EXPECT_EQ(pair.a.nic(0).offload_stats().sealed, 4u);
}

TEST(OffloadEdgeTest, SaBeyondATableThatIsFullRunsInSoftwareAndSaysWhy) {
  TestPair pair({.nic = true, .sa_limit = 1}, {});
  pair.a.Add(Offloaded(SaOptions{.spi = 0x9999, .reqid = 9}, false));
  pair.sa_a = pair.a.Add(Offloaded({}, false));
  pair.sa_b = pair.b.Add(SaOptions{});
  pair.AddPolicies({}, "10.1.0.0/16", "10.2.0.0/16");
  const SaBinding& binding = *pair.a.bindings[1];
  EXPECT_EQ(binding.path, ProcessingPath::kSoftware);
  EXPECT_EQ(pair.a.reasons[1].Text(), "table-full");
  EXPECT_THAT(pair.a.reasons[1].Explanation(), testing::HasSubstr("SA slots in use"));
  EXPECT_EQ(pair.a.nic().offload_stats().refusals, 1u);
  EXPECT_THAT(pair.Deliver(FrameOf(kTunnel)), testing::ElementsAre(FrameOf(kTunnel)));
}

TEST(OffloadEdgeTest, DeviceThatIsDownTakesNoSa) {
  TestPair pair({.nic = true});
  pair.a.nic().SetOffloadUp(false);
  pair.a.Add(Offloaded({}, false));
  EXPECT_EQ(pair.a.bindings[0]->path, ProcessingPath::kSoftware);
  EXPECT_EQ(pair.a.reasons[0].Text(), "device-down");
}

TEST(OffloadEdgeTest, DeviceThatGoesDownLosesNoPacket) {
  const auto pair = MakePair(kTunnel, Where::kDevice);
  EXPECT_THAT(pair->Deliver(FrameOf(kTunnel)), SizeIs(1));
  pair->a.nic().SetOffloadUp(false);
  pair->b.nic().SetOffloadUp(false);
  EXPECT_THAT(pair->Deliver(FrameOf(kTunnel)), testing::ElementsAre(FrameOf(kTunnel)));
  EXPECT_TRUE(HidesPayload(pair->wire[0]));
  pair->a.nic().SetOffloadUp(true);
  pair->b.nic().SetOffloadUp(true);
  EXPECT_THAT(pair->Deliver(FrameOf(kTunnel)), testing::ElementsAre(FrameOf(kTunnel)));
  EXPECT_EQ(pair->a.nic().offload_stats().sealed, 2u);
  EXPECT_EQ(pair->b.nic().offload_stats().opened, 2u);
}

TEST(OffloadEdgeTest, SaReleasedWhilePacketsAreInTheRingStillSealsThem) {
  const auto pair = MakePair(kTunnel, Where::kDevice);
  for (uint32_t i = 0; i < 70; ++i) pair->a.FromHost(FrameOf(kTunnel));
  pair->a.worker->RunOnce();
  const SaBinding& binding = *pair->a.bindings[0];
  binding.device()->StopSa(binding.handle);
  pair->a.worker->RunOnce();  // stopped, not yet released: still sealed
  pair->a.nic().RunOnce();
  const std::vector<Bytes> sealed = pair->a.ToWire();
  EXPECT_THAT(sealed, SizeIs(64));
  for (const Bytes& frame : sealed) EXPECT_TRUE(HidesPayload(frame));
  binding.device()->ReleaseSa(binding.handle);
  EXPECT_THAT(pair->a.nic().HeldSas(), SizeIs(1));
  pair->a.Run();
  const std::vector<Bytes> rest = pair->a.ToWire();
  EXPECT_THAT(rest, SizeIs(6));
  for (const Bytes& frame : rest) EXPECT_TRUE(HidesPayload(frame));
  EXPECT_EQ(pair->a.nic().offload_stats().dropped_stale, 0u);
  EXPECT_THAT(pair->a.nic().HeldSas(), IsEmpty());
}

TEST(OffloadEdgeTest, SlotWithANewTenantDoesNotSealForTheOldOne) {
  const auto pair = MakePair(kTunnel, Where::kDevice);
  pair->a.FromHost(FrameOf(kTunnel));
  pair->a.worker->RunOnce();
  const SaBinding& binding = *pair->a.bindings[0];
  const OffloadHandle old = binding.handle;
  pair->a.Run();
  EXPECT_THAT(pair->a.ToWire(), SizeIs(1));
  binding.device()->ReleaseSa(old);
  pair->a.Add(Offloaded(SaOptions{.spi = 0x4444, .reqid = 4}, false));
  pair->a.FromHost(FrameOf(kTunnel));  // by the old SA, whose handle is no longer valid
  pair->a.Run();
  EXPECT_THAT(pair->a.ToWire(), IsEmpty());
}

TEST(OffloadEdgeTest, PacketOpenedForAnSaThatWasReplacedIsStale) {
  const auto pair = MakePair(kTunnel, Where::kDevice);
  const std::vector<Bytes> wire = pair->a.Send(FrameOf(kTunnel));
  ASSERT_THAT(wire, SizeIs(1));
  pair->b.FromWire(wire[0]);
  pair->b.nic().RunOnce();  // opened
  // The SA's half moves to software meanwhile. The device's work can be neither undone nor trusted.
  pair->sa_b->inbound()->binding = pair->b.Bind(test::MakeSpec(), Half::kInbound);
  pair->b.worker->RunOnce();
  EXPECT_THAT(pair->b.ToHost(), IsEmpty());
  EXPECT_EQ(pair->b.Drops(DropReason::kInDeviceStale), 1u);
}

// The SA's address may be gone too. Still the opened packet must not be forwarded as another host's
// ESP.
TEST(OffloadEdgeTest, PacketOpenedForAnSaThatIsGoneIsNeverPassedOn) {
  const auto pair = MakePair(kTunnel, Where::kDevice);
  const std::vector<Bytes> wire = pair->a.Send(FrameOf(kTunnel));
  ASSERT_THAT(wire, SizeIs(1));
  pair->b.FromWire(wire[0]);
  pair->b.nic().RunOnce();  // opened
  pair->b.path.sad.Remove(pair->sa_b);
  pair->b.SetAddresses({"10.2.0.1"});
  pair->b.worker->RunOnce();
  EXPECT_THAT(pair->b.ToHost(), IsEmpty());
  EXPECT_EQ(pair->b.Drops(DropReason::kInNoState), 1u);
}

TEST(OffloadEdgeTest, Ipv4OptionsInTransportModeAreSealedInSoftware) {
  const auto pair = MakePair(kTransport, Where::kDevice);
  const IpFields f{.src = "192.0.2.1", .dst = "192.0.2.2", .options = {1, 1, 1, 1}};
  const Bytes odd = Frame(Udp(f, 1, 2, Pattern(64)));
  for (const Bytes& frame : {FrameOf(kTransport), odd, FrameOf(kTransport)}) {
    pair->a.FromHost(frame);
  }
  pair->a.Run();
  const std::vector<Bytes> wire = pair->a.ToWire();
  ASSERT_THAT(wire, SizeIs(3));
  for (const Bytes& frame : wire) {
    EXPECT_TRUE(HidesPayload(frame));
    pair->b.FromWire(frame);
  }
  pair->b.Run();
  EXPECT_THAT(pair->b.ToHost(),
              testing::ElementsAre(FrameOf(kTransport), odd, FrameOf(kTransport)));
  EXPECT_EQ(pair->a.nic().offload_stats().sealed, 2u);
}

TEST(OffloadEdgeTest, EspOfUnknownSasPassesTheDeviceAsItCame) {
  TestPair pair({}, {.nic = true});
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_THAT(pair.Deliver(FrameOf(kTunnel)), testing::ElementsAre(FrameOf(kTunnel)));
  EXPECT_EQ(pair.b.nic().offload_stats().passed_unknown, 1u);
  EXPECT_EQ(pair.b.nic().offload_stats().opened, 0u);
}

TEST(OffloadEdgeTest, VlanTaggedEspIsOpenedByTheDevice) {
  const auto pair = MakePair(kTunnel, Where::kDevice);
  const Bytes frame =
      Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(64)), {0x81, 0, 0, 5});
  EXPECT_THAT(pair->Deliver(frame), testing::ElementsAre(frame));
  EXPECT_EQ(pair->a.nic().offload_stats().sealed, 1u);
  EXPECT_EQ(pair->b.nic().offload_stats().opened, 1u);
}

// A frame of another protocol whose bytes look like ESP must arrive unchanged.
TEST(OffloadEdgeTest, FrameThatIsNotIpIsNeverOpened) {
  const auto pair = MakePair(kTunnel, Where::kDevice);
  std::vector<Bytes> wire = pair->a.Send(FrameOf(kTunnel));
  ASSERT_THAT(wire, SizeIs(1));
  test::Put16(&wire[0], 12, 0x88b5);  // an experimental EtherType
  const std::array<uint16_t, 1> pass = {0x88b5};
  pair->b.path.pass_ether_types.Set(pass);
  EXPECT_THAT(pair->b.Receive(wire[0]), testing::ElementsAre(wire[0]));
  EXPECT_EQ(pair->b.nic().offload_stats().opened, 0u);
}

}  // namespace
}  // namespace cygnet
