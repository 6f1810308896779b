// No plaintext leaves: devices and engines that report "sealed" but did not seal, frames that reach
// the wire without a decision, and policies that change in between.
#include "datapath/wire_seal_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "datapath/flow_decision.h"
#include "esp/crypto_jobs.h"
#include "net/ip_protocol.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using test::TestHostOptions;
using test::TestPair;
using test::Udp;
using testing::IsEmpty;
using testing::SizeIs;

// A device that accepts every SA, does with its packets what the test says, and reports them as
// sealed.
class LyingNic final : public Port, public OffloadDevice {
 public:
  using Lie = std::function<void(Packet*)>;
  LyingNic(Port* wire, Lie lie) : wire_(wire), lie_(std::move(lie)) {}

  std::string_view name() const override { return "liar"; }
  MacAddress mac() const override { return wire_->mac(); }
  uint32_t mtu() const override { return wire_->mtu(); }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return wire_->stats(); }
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return true; }
  void FinishWait(uint32_t) override {}
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    return wire_->Receive(queue, out, sink);
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    for (Packet* packet : batch->packets()) {
      if (packet->offload.status != OffloadStatus::kSealRequested) continue;
      lie_(packet);
      packet->offload.status = OffloadStatus::kSealed;
      ++lies;
    }
    wire_->Transmit(queue, batch, sink);
  }

  std::string_view device_name() const override { return "liar"; }
  const OffloadCaps& caps() const override { return caps_; }
  DeviceIdentity identity() const override { return {}; }
  DeviceState state() const override { return DeviceState::kUp; }
  uint32_t resets() const override { return 0; }
  void SetBell(Doorbell*) override {}
  std::optional<DeviceRefusal> InstallSa(const OffloadSa&, OffloadHandle* handle) override {
    *handle = OffloadHandle(7);
    return std::nullopt;
  }
  void StartSa(OffloadHandle) override {}
  void StopSa(OffloadHandle) override {}
  void ReleaseSa(OffloadHandle) override {}
  std::vector<OffloadHandle> TakeErased() override { return {}; }
  OffloadStats offload_stats() const override { return {}; }
  void AdvanceEsn(OffloadHandle, uint64_t) override {}
  void FilterEligible(std::span<Packet* const>, std::span<bool> eligible) override {
    std::fill(eligible.begin(), eligible.end(), true);
  }

  uint32_t lies = 0;

 private:
  static OffloadCaps AllCaps() {
    OffloadCaps caps{.crypto_offload = true,
                     .inbound = true,
                     .outbound = true,
                     .transport = true,
                     .tunnel = true,
                     .beet = true,
                     .ipv4 = true,
                     .ipv6 = true,
                     .esn = true,
                     .udp_encap = true,
                     .key_bytes = {16, 24, 32},
                     .icv_bytes = {8, 12, 16},
                     .max_replay_window = 4096};
    for (const AlgorithmDescriptor& row : AllAlgorithms()) caps.algorithms.push_back(row.name);
    return caps;
  }
  Port* const wire_;
  const Lie lie_;
  const OffloadCaps caps_ = AllCaps();
};

void SendAsItIs(Packet*) {}

void ForgeIcv(Packet* packet) {
  const Bytes icv = Pattern(16, 99);
  std::memcpy(packet->data() + packet->length - 16, icv.data(), 16);
}

void SealButForgetTheIcv(Packet* packet) {
  for (uint32_t i = packet->offload.esp_offset + 16u; i + 16 < packet->length; ++i) {
    packet->data()[i] ^= 0x5a;
  }
}

// Tunnel mode, IPv4 in IPv4, GCM: the inner packet with its Ethernet header in front.
void StripEsp(Packet* packet) {
  constexpr uint32_t kFront = 20 + 8 + 8;
  std::memmove(packet->data() + kFront, packet->data(), 14);
  packet->TrimFront(kFront);
}

// As StripEsp, but the plaintext moves to an unexpected place.
void StripEspAndMove(Packet* packet) {
  constexpr uint32_t kFront = 20 + 8 + 8;
  std::memmove(packet->data() + 14, packet->data() + 14 + kFront, packet->length - 14 - kFront);
  packet->TrimTo(packet->length - kFront - 18);
}

// One machine whose device lies.
struct LyingHost {
  explicit LyingHost(LyingNic::Lie lie) {
    nic = std::make_unique<LyingNic>(host.path.interfaces[0].wire, std::move(lie));
    host.SetAddresses({"192.0.2.1", "10.1.0.1", "2001:db8::1", "fd01::1"});
    host.path.interfaces[0].wire = nic.get();
    host.path.interfaces[0].offload = nic.get();
    host.devices[0].device = nic.get();
  }
  void Protect(SaOptions options, const std::string& src = "10.1.0.0/16",
               const std::string& dst = "10.2.0.0/16") {
    options.offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, false};
    host.Add(options);
    host.AddPolicy(test::MakePolicy(PolicyDirection::kOut, src, dst, {test::TemplateFor(options)}));
  }
  PacketPools pools{256, 8};
  std::unique_ptr<LyingNic> nic;  // the host releases its SAs when it ends
  TestHost host{&pools};
};

const Bytes kSecret = Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(100)));

struct LieCase {
  const char* name;
  void (*lie)(Packet*);
};
void PrintTo(const LieCase& c, std::ostream* out) { *out << c.name; }

class LyingDeviceTest : public testing::TestWithParam<LieCase> {};

TEST_P(LyingDeviceTest, StoppedCountedAndCaptured) {
  LyingHost liar(GetParam().lie);
  liar.Protect({});
  for (int i = 0; i < 3; ++i) EXPECT_THAT(liar.host.Send(kSecret), IsEmpty());
  EXPECT_EQ(liar.nic->lies, 3u);
  EXPECT_EQ(liar.host.Drops(DropReason::kOutNotSealed), 3u);
  EXPECT_EQ(liar.host.AllDrops(), 3u);
  const SealGuardStats stats = liar.host.guard();
  EXPECT_EQ(stats.unsealed_stopped, 3u);
  EXPECT_EQ(stats.clear_stopped, 0u);
  EXPECT_EQ(stats.engine_unsealed, 0u);
  EXPECT_EQ(stats.frames_checked, 3u);
  // A reader that opens later gets them, and the following ones.
  auto reader = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  liar.host.capture().guard.Attach(reader);
  EXPECT_THAT(liar.host.Send(kSecret), IsEmpty());
  const auto seen = reader->Drain();
  ASSERT_THAT(seen, SizeIs(4));
  for (const CapturedFrame& frame : seen) {
    EXPECT_EQ(frame.facts.reason, DropReason::kOutNotSealed);
    EXPECT_EQ(frame.facts.direction, CaptureDirection::kOutbound);
  }
}

INSTANTIATE_TEST_SUITE_P(Lies, LyingDeviceTest,
                         testing::Values(LieCase{"AsItIs", SendAsItIs},
                                         LieCase{"ForgedIcv", ForgeIcv},
                                         LieCase{"NoIcv", SealButForgetTheIcv},
                                         LieCase{"Stripped", StripEsp},
                                         LieCase{"StrippedAndMoved", StripEspAndMove}),
                         [](const auto& c) { return c.param.name; });

TEST(SealGuardTest, TheCaptureOfTheWireShowsNothingOfIt) {
  LyingHost liar(SendAsItIs);
  liar.Protect({});
  auto reader = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  liar.host.capture().wire.Attach(reader);
  liar.host.Send(kSecret);
  EXPECT_THAT(reader->Drain(), IsEmpty());
  liar.host.Send(Frame(Udp({.src = "10.1.0.1", .dst = "10.9.0.1"}, 1, 2, Pattern(10))));
  EXPECT_THAT(reader->Drain(), SizeIs(1));
}

// Every shape of ESP packet has its proof in the right place.
TEST(SealGuardTest, NoShapeOfPacketLeavesUnsealed) {
  struct Case {
    const char* name;
    SaOptions options;
    const char* src;
    const char* dst;
  };
  const Case cases[] = {
      {"transport", {.mode = SaMode::kTransport}, "192.0.2.1", "192.0.2.2"},
      {"transport6",
       {.src = "2001:db8::1", .dst = "2001:db8::2", .mode = SaMode::kTransport},
       "2001:db8::1",
       "2001:db8::2"},
      {"tunnel6in4", {}, "fd01::1", "fd02::1"},
      {"tunnel4in6", {.src = "2001:db8::1", .dst = "2001:db8::2"}, "10.1.0.1", "10.2.0.1"},
      {"esn", {.flags = kSaFlagEsn}, "10.1.0.1", "10.2.0.1"},
      {"udp", {.encap = test::NatT()}, "10.1.0.1", "10.2.0.1"},
      {"icv8", {.icv_bytes = 8}, "10.1.0.1", "10.2.0.1"},
      {"beet",
       {.mode = SaMode::kBeet, .inner_src = "10.1.0.1", .inner_dst = "10.2.0.1"},
       "10.1.0.1",
       "10.2.0.1"},
  };
  for (const Case& c : cases) {
    for (const auto lie : {SendAsItIs, ForgeIcv}) {
      LyingHost liar(lie);
      liar.Protect(c.options, c.src, c.dst);
      const auto sent = liar.host.Send(Frame(Udp({.src = c.src, .dst = c.dst}, 1, 2, Pattern(60))));
      EXPECT_THAT(sent, IsEmpty()) << c.name;
      EXPECT_EQ(liar.nic->lies, 1u) << c.name;
      EXPECT_EQ(liar.host.Drops(DropReason::kOutNotSealed), 1u) << c.name;
    }
  }
}

// ESP in UDP, stripped: the inner packet is UDP too, and is where the outer one was.
TEST(SealGuardTest, AnyUdpPacketIsNoEspInUdp) {
  LyingHost liar([](Packet* packet) {
    constexpr uint32_t kFront = 20 + 8 + 8 + 8;
    std::memmove(packet->data() + 14, packet->data() + 14 + kFront, packet->length - 14 - kFront);
    packet->TrimTo(packet->length - kFront - 18);
  });
  liar.Protect({.encap = test::NatT()});
  EXPECT_THAT(liar.host.Send(kSecret), IsEmpty());
  EXPECT_EQ(liar.host.Drops(DropReason::kOutNotSealed), 1u);
}

// The device does the outer of two transforms but strips it. The rest is sealed ESP, but not what
// policy requires.
TEST(SealGuardTest, OneTransformOfTwoIsNotEnough) {
  LyingHost liar(StripEsp);
  SaOptions inner{.dst = "198.51.100.2", .spi = 0x2000, .reqid = 2};
  SaOptions outer;
  outer.offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, false};
  liar.host.Add(inner);
  liar.host.Add(outer);
  liar.host.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                       {test::TemplateFor(inner), test::TemplateFor(outer)}));
  EXPECT_THAT(liar.host.Send(kSecret), IsEmpty());
  EXPECT_EQ(liar.nic->lies, 1u);
  EXPECT_EQ(liar.host.Drops(DropReason::kOutNotSealed), 1u);
}

// A null cipher session instead of one that encrypts: the ICV is there, but the text is clear.
TEST(SealGuardTest, AnEngineThatDoesNotEncryptIsCaughtAndTheDeviceIsNot) {
  PacketPools pools(256, 8);
  TestHost host(&pools);
  const auto sa = host.Add(SaOptions{});
  host.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                  {test::TemplateFor({})}));
  EXPECT_THAT(host.Send(kSecret), SizeIs(1));
  SaSpec null = test::MakeSpec();
  null.aead = SaAlgorithm{};
  null.pair.Change()->cipher.descriptor = FindAlgorithm(AlgorithmKind::kCipher, "ecb(cipher_null)");
  null.pair.Change()->auth.descriptor = FindAlgorithm(AlgorithmKind::kAuth, "hmac(sha256)");
  null.pair.Change()->auth.key = KeyMaterial(Pattern(32));
  null.pair.Change()->auth.icv_bits = 128;
  EngineSession& cpu = host.bindings[0]->cpu;
  auto session = host.engines.engine(cpu.engine)
                     ->CreateSession(esp::SessionFor(null, CryptoDirection::kSeal, 1));
  ASSERT_TRUE(session.has_value());
  cpu.session = *std::move(session);
  EXPECT_THAT(host.Send(kSecret), IsEmpty());
  EXPECT_EQ(host.Drops(DropReason::kOutNotSealed), 1u);
  EXPECT_EQ(sa->drops(DropReason::kOutNotSealed), 1u);
  EXPECT_EQ(host.guard().engine_unsealed, 1u);
  EXPECT_EQ(host.path.engine_jobs[0]->unsealed[cpu.engine].load(), 1u) << "the engine is blamed";
  EXPECT_EQ(host.guard().unsealed_stopped, 0u);
  auto reader = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  host.capture().guard.Attach(reader);
  EXPECT_THAT(reader->Drain(), SizeIs(1));
}

TEST(SealGuardTest, TheLatestStoppedFramesAreKept) {
  LyingHost liar(SendAsItIs);
  liar.Protect({});
  for (int i = 0; i < 100; ++i) {
    const auto length = static_cast<std::size_t>(i + 200);
    liar.host.Send(Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(length))));
  }
  auto reader = std::make_shared<CaptureQueue>(2000, 1'000'000, -1);
  liar.host.capture().guard.Attach(reader);
  const auto seen = reader->Drain();
  ASSERT_THAT(seen, SizeIs(CapturePoints::kKeptFrames));
  EXPECT_LT(seen.front().original_length, seen.back().original_length);
  EXPECT_GE(seen.back().original_length, 299u + 42 + 50);
  EXPECT_THAT(seen.back().bytes, SizeIs(CapturePoint::kKeptBytes));
}

class ClearAtTheWireTest : public testing::Test {
 protected:
  ClearAtTheWireTest() { host_.SetAddresses({"192.0.2.1", "10.1.0.1"}); }
  void Protect() {
    host_.Add(SaOptions{});
    policy_ = host_.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                               {test::TemplateFor({})}));
  }
  // Bypasses the pipeline, as a mistake would.
  std::size_t Push(const Bytes& frame, Protection protection, uint64_t proof) {
    PacketCaches caches(&pools_);
    DropSink sink(&caches, &drops_);
    PacketBatch batch;
    Packet* packet = test::MakePacket(&pools_, frame);
    packet->protection = protection;
    packet->proof = proof;
    batch.Push(packet);
    host_.path.interfaces[0].wire->Transmit(0, &batch, &sink);
    return host_.ToWire().size();
  }
  std::size_t Push(const Bytes& frame) { return Push(frame, Protection::kNone, 0); }
  uint64_t Now() const { return DecisionStamp(host_.path); }

  PacketPools pools_{256, 8};
  TestHost host_{&pools_};
  DropCounters drops_;
  std::shared_ptr<Policy> policy_;
};

const Bytes kOther = Frame(Udp({.src = "10.1.0.1", .dst = "10.9.0.1"}, 1, 2, Pattern(50)));

TEST_F(ClearAtTheWireTest, AProtectedFlowIsStoppedAndOthersPass) {
  EXPECT_EQ(Push(kSecret), 1u);  // no policy yet
  Protect();
  EXPECT_EQ(Push(kOther), 1u);
  EXPECT_EQ(Push(kOther), 1u);
  EXPECT_EQ(Push(kSecret), 0u);
  EXPECT_EQ(Push(kSecret, Protection::kClear, Now()), 0u);
  EXPECT_EQ(drops_.Get(DropReason::kOutGuard), 2u);
  EXPECT_EQ(host_.guard().clear_stopped, 2u);
  EXPECT_EQ(host_.guard().frames_checked, 5u);
  auto reader = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  host_.capture().guard.Attach(reader);
  const auto seen = reader->Drain();
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[0].bytes, kSecret);
  EXPECT_EQ(seen[0].facts.reason, DropReason::kOutGuard);
}

TEST_F(ClearAtTheWireTest, AVlanTagHidesNothing) {
  Protect();
  Bytes tagged = kSecret;
  const Bytes tag = {0x81, 0x00, 0x00, 0x05};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  EXPECT_EQ(Push(tagged), 0u);
  EXPECT_EQ(drops_.Get(DropReason::kOutGuard), 1u);
}

TEST_F(ClearAtTheWireTest, WhatIsBlockedOrCannotBeReadIsStopped) {
  host_.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {},
                                   PolicyAction::kBlock));
  EXPECT_EQ(Push(kSecret), 0u);
  Bytes cut = kOther;
  cut.resize(cut.size() - 5);
  EXPECT_EQ(Push(cut), 0u);
  EXPECT_EQ(drops_.Get(DropReason::kOutGuard), 2u);
}

TEST_F(ClearAtTheWireTest, ArpAndListedFramesAndIkeAndControlPass) {
  host_.AddPolicy(
      test::MakePolicy(PolicyDirection::kOut, "0.0.0.0/0", "0.0.0.0/0", {test::TemplateFor({})}));
  const Bytes arp = test::EthernetHeader(0x0806) + Bytes{0, 1, 8, 0, 6, 4, 0, 1} + Bytes(20, 0);
  EXPECT_EQ(Push(arp), 1u);
  Bytes other = kSecret;
  for (const uint16_t type : {uint16_t{0x0806}, uint16_t{0x8864}, uint16_t{0x88cc}, uint16_t{40}}) {
    test::Put16(&other, 12, type);
    EXPECT_EQ(Push(other), 0u) << type;
  }
  EXPECT_EQ(drops_.Get(DropReason::kOutEtherType), 4u);
  const std::array<uint16_t, 1> lldp = {0x88cc};
  host_.path.pass_ether_types.Set(lldp);
  test::Put16(&other, 12, 0x88cc);
  EXPECT_EQ(Push(other), 1u);
  Bytes message(28, 1);
  message[17] = 0x20;
  test::Put32(&message, 24, 28);
  const Bytes ike = Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, 500, 500, message));
  EXPECT_EQ(Push(ike), 0u);
  host_.path.ike_bypass = true;
  SocketEnds socket;
  socket.local_port = 500;
  socket.family = IpFamily::kV4;
  socket.proto = kProtoUdp;
  host_.path.SetIkeSockets({socket});
  EXPECT_EQ(Push(ike), 1u);
  EXPECT_EQ(Push(kSecret, Protection::kControl, 0), 1u);
  EXPECT_EQ(Push(kSecret), 0u);
}

// Decided to leave in clear before the policy came: the packet is stopped, but no device is blamed.
TEST_F(ClearAtTheWireTest, APolicyThatComesInBetweenHolds) {
  host_.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.9.0.0/16", "10.9.0.0/16", {}));
  const uint64_t then = Now();
  EXPECT_EQ(Push(kSecret, Protection::kClear, then), 1u);
  Protect();
  EXPECT_EQ(Push(kSecret, Protection::kClear, then), 0u);
  EXPECT_EQ(drops_.Get(DropReason::kOutPolicyChanged), 1u);
  EXPECT_EQ(host_.guard().changed_stopped, 1u);
  EXPECT_EQ(host_.guard().clear_stopped, 0u);
}

// Control has added the policy to the SPD but not raised the generation yet.
TEST_F(ClearAtTheWireTest, SoDoesOneThatIsJustComing) {
  host_.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.9.0.0/16", "10.9.0.0/16", {}));
  const uint64_t then = Now();
  host_.path.spd.Insert(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                         {test::TemplateFor({})}),
                        1);
  EXPECT_EQ(Push(kSecret, Protection::kClear, then), 0u);
  EXPECT_EQ(drops_.Get(DropReason::kOutPolicyChanged), 1u);
}

TEST_F(ClearAtTheWireTest, APolicyThatGoesIsForgotten) {
  Protect();
  EXPECT_EQ(Push(kSecret), 0u);
  host_.path.spd.Remove(policy_);
  host_.path.BumpGeneration();
  host_.path.quiescence.Collect();
  host_.path.quiescence.Collect();
  EXPECT_EQ(Push(kSecret, Protection::kClear, Now()), 1u);
}

// All pieces of a datagram that was decided whole and cut again pass. A later fragment without a
// decision does not.
TEST_F(ClearAtTheWireTest, PiecesOfADecidedDatagramPass) {
  PolicySpec ports = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                      {test::TemplateFor({})});
  ports.selector.proto = kProtoUdp;
  ports.selector.dport = 77;
  ports.selector.dport_mask = 0xffff;
  host_.AddPolicy(ports);
  const Bytes whole = Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(4000)));
  EXPECT_THAT(host_.Send(whole), SizeIs(3));
  EXPECT_EQ(host_.AllDrops(), 0u);
  Bytes later = kSecret;
  later[14 + 7] = 10;  // fragment offset; the header's checksum does not matter here
  EXPECT_EQ(Push(later), 0u);
  EXPECT_EQ(Push(later, Protection::kClear, Now()), 1u);
  EXPECT_EQ(Push(later, Protection::kClear, Now() - 1), 0u);
  EXPECT_EQ(drops_.Get(DropReason::kOutGuard), 1u);
  EXPECT_EQ(drops_.Get(DropReason::kOutPolicyChanged), 1u);
}

}  // namespace
}  // namespace cygnet
