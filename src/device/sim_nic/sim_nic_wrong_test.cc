// The software NIC alone: packets that it loses, reorders or spoils on command, limits and counters
// that it hides, and capabilities about which it lies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "device/sim_nic/sim_nic.h"
#include "support/esp_oracle.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/nic_under_test.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Kind = PacketOffloadEvent::Kind;

class SimNicWrongFixture : public testing::Test {
 protected:
  explicit SimNicWrongFixture(test::NicPath path) : path_(path) { Make(1); }
  void Make(uint32_t seed) {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<test::NicUnderTest>(
        path_, std::move(wire), &pools_,
        test::NicUnderTest::Setup{.options = {.sa_limit = 4, .fault_seed = seed},
                                  .clock = &clock_});
    OffloadPolicyHandle policy;
    EXPECT_FALSE(
        nic_->AddPolicy({test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                          {test::TemplateFor(SaOptions{})})},
                        &policy)
            .has_value());
  }
  void Inject(std::string_view fault) {
    const Status status = nic_->InjectFault(fault);
    EXPECT_TRUE(status) << status.error().message;
  }
  OffloadHandle Install(const SaSpec& spec, Half half, OffloadMode mode) {
    OffloadHandle handle;
    const auto refusal = nic_->InstallSa({.spec = spec,
                                          .half = half,
                                          .highest = highest_,
                                          .mode = mode,
                                          .numbers = {highest_ + 1, highest_ + 1000},
                                          .number = 7,
                                          .iv_mask = test::kTestIvMask},
                                         &handle);
    EXPECT_FALSE(refusal.has_value()) << refusal->text;
    nic_->StartSa(handle);
    return handle;
  }

  // --- Out ---
  static Bytes Inner(uint8_t id = 0) {
    return Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(64, id)));
  }
  void Hand(const Bytes& frame, OffloadMeta meta) {
    Packet* packet = test::MakePacket(&pools_, frame);
    packet->offload = meta;
    PacketBatch batch;
    batch.Push(packet);
    nic_->Transmit(0, &batch, &sink_);
  }
  // A packet for `handle`: ESP to be sealed, or in clear to be protected.
  void Give(OffloadHandle handle, OffloadMode mode, uint32_t seq, uint8_t id = 0) {
    if (mode == OffloadMode::kPacket) {
      Hand(Inner(id), {.handle = handle, .status = OffloadStatus::kProtectRequested});
      return;
    }
    Bytes esp(16);
    test::Put32(&esp, 0, spec_.spi.value);
    test::Put32(&esp, 4, seq);
    test::Put32(&esp, 12, seq);
    esp = test::EspFrame(spec_, esp + test::WithTrailer(Text(id), kProtoIpip) + Bytes(16, 0));
    Hand(esp, {.handle = handle, .esp_offset = 34, .status = OffloadStatus::kSealRequested});
  }
  static Bytes Text(uint8_t id) {
    const Bytes inner = Inner(id);
    return {inner.begin() + 14, inner.end()};
  }
  void Run() {
    while (nic_->RunOnce() != 0) {
    }
  }
  std::vector<Bytes> Sent() {
    Run();
    std::vector<Bytes> out;
    for (; !wire_->sent.empty(); wire_->sent.pop_front()) {
      out.push_back(test::ToBytes(wire_->sent.front()->bytes()));
      test::FreePacket(wire_->sent.front());
    }
    return out;
  }
  std::vector<uint32_t> NumbersSent() {
    std::vector<uint32_t> numbers;
    for (const Bytes& frame : Sent()) numbers.push_back(LoadBe32(frame.data() + 38));
    return numbers;
  }
  // Text and trailer of what was sent, or nothing if the ICV is wrong.
  std::vector<std::optional<Bytes>> OpenSent() {
    std::vector<std::optional<Bytes>> out;
    for (const Bytes& frame : Sent()) {
      const uint32_t number = LoadBe32(frame.data() + 38);
      out.push_back(test::OracleOpen(spec_, number, std::span(frame).subspan(34)));
    }
    return out;
  }

  // --- In ---
  Bytes Sealed(uint64_t seq, uint8_t id = 0) const {
    return test::SealedFrame(spec_, seq, test::WithTrailer(Text(id), kProtoIpip));
  }
  Bytes Forged(uint64_t seq, uint8_t id = 0) const {
    Bytes frame = Sealed(seq, id);
    frame.back() ^= 1;
    return frame;
  }
  struct Up {
    OffloadStatus status;
    Bytes inner;  // of packets that are opened or decapsulated
  };
  std::vector<Up> Receive(const std::vector<Bytes>& frames) {
    for (const Bytes& frame : frames) wire_->arriving.push_back(test::MakePacket(&pools_, frame));
    Run();
    std::vector<Up> out;
    PacketBatch batch;
    while (nic_->Receive(0, &batch, &sink_) > 0) {
      for (Packet* packet : batch.packets()) {
        Bytes bytes = test::ToBytes(packet->l3());
        if (packet->offload.status == OffloadStatus::kOpened) {
          bytes = {bytes.begin() + 36, bytes.begin() + 36 + std::ptrdiff_t(Text(0).size())};
        }
        out.push_back({packet->offload.status, bytes});
        sink_.Recycle(packet);
      }
      batch.ReleaseAll();
    }
    return out;
  }
  std::vector<Bytes> InnerOf(const std::vector<Bytes>& frames) {
    std::vector<Bytes> out;
    for (Up& up : Receive(frames)) out.push_back(std::move(up.inner));
    return out;
  }
  uint64_t Drops(DropReason reason) const { return nic_->device_drops()->Get(reason); }

  SaSpec spec_ = test::MakeSpec();
  uint64_t highest_ = 0;
  const test::NicPath path_;
  test::FakeClock clock_;
  PacketPools pools_{2600, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  MemoryPort* wire_ = nullptr;
  std::unique_ptr<test::NicUnderTest> nic_;
};

// Differs from `right` in one byte, behind the headers.
MATCHER_P(IsSpoilt, right, "") {
  if (arg.size() != right.size()) return false;
  std::size_t changed = 0;
  for (std::size_t i = 0; i < arg.size(); ++i) changed += arg[i] != right[i] ? 1 : 0;
  return changed == 1 && std::equal(right.begin(), right.begin() + 28, arg.begin());
}

class SimNicWrongTest : public SimNicWrongFixture,
                        public testing::WithParamInterface<test::NicPath> {
 protected:
  SimNicWrongTest() : SimNicWrongFixture(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Paths, SimNicWrongTest, test::NicPaths(), test::NameOfPath);

// What no driver by others has: see nic_under_test.h.
class SimNicWrongDirectTest : public SimNicWrongTest {};
INSTANTIATE_TEST_SUITE_P(Paths, SimNicWrongDirectTest, testing::Values(test::NicPath::kDirect),
                         test::NameOfPath);

using ModeAndPath = std::tuple<OffloadMode, test::NicPath>;
class SimNicWrongModeTest : public SimNicWrongFixture,
                            public testing::WithParamInterface<ModeAndPath> {
 protected:
  SimNicWrongModeTest() : SimNicWrongFixture(std::get<1>(GetParam())) {}
  static OffloadMode mode() { return std::get<0>(GetParam()); }
  OffloadHandle Out() { return Install(spec_, Half::kOutbound, mode()); }
  OffloadHandle In() { return Install(spec_, Half::kInbound, mode()); }
  void GiveOne(OffloadHandle handle, uint32_t seq, uint8_t id = 0) {
    Give(handle, mode(), seq, id);
  }
  static OffloadStatus Good() {
    return mode() == OffloadMode::kPacket ? OffloadStatus::kDecapsulated : OffloadStatus::kOpened;
  }
};

INSTANTIATE_TEST_SUITE_P(
    Modes, SimNicWrongModeTest,
    testing::Combine(testing::Values(OffloadMode::kCrypto, OffloadMode::kPacket), test::NicPaths()),
    [](const auto& of) {
      const bool packet = std::get<0>(of.param) == OffloadMode::kPacket;
      return std::string(packet ? "packet" : "crypto") + test::NameOf(std::get<1>(of.param));
    });

// --- Order and loss ---

TEST_P(SimNicWrongModeTest, ReorderedPacketsLeaveInAnotherOrderAndOnce) {
  const OffloadHandle handle = Out();
  Inject("reorder out 8");
  for (uint32_t seq = 1; seq <= 12; ++seq) GiveOne(handle, seq);
  const std::vector<uint32_t> sent = NumbersSent();
  std::vector<uint32_t> front(sent.begin(), sent.begin() + 8);
  EXPECT_THAT(std::vector<uint32_t>(sent.begin() + 8, sent.end()), ElementsAre(9, 10, 11, 12));
  EXPECT_FALSE(std::is_sorted(front.begin(), front.end()));
  EXPECT_THAT(front, testing::UnorderedElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_P(SimNicWrongModeTest, ReorderedPacketsWaitForNothingThatDoesNotCome) {
  (void)In();
  Inject("reorder in 100");
  std::vector<Bytes> frames;
  for (uint8_t seq = 1; seq <= 20; ++seq) frames.push_back(Sealed(seq, seq));
  const std::vector<Bytes> up = InnerOf(frames);
  ASSERT_THAT(up, SizeIs(20));
  std::vector<Bytes> all;
  for (uint8_t seq = 1; seq <= 20; ++seq) all.push_back(Text(seq));
  EXPECT_NE(up, all);
  EXPECT_TRUE(std::is_permutation(up.begin(), up.end(), all.begin()));
}

TEST_P(SimNicWrongTest, SameSeedSameOrder) {
  const auto order = [this](uint32_t seed) {
    Make(seed);
    const OffloadHandle handle = Install(spec_, Half::kOutbound, OffloadMode::kPacket);
    Inject("reorder out");
    for (uint32_t seq = 1; seq <= 16; ++seq) Give(handle, OffloadMode::kPacket, seq);
    return NumbersSent();
  };
  EXPECT_EQ(order(5), order(5));
  EXPECT_NE(order(5), order(6));
}

TEST_P(SimNicWrongTest, ReorderedPacketsOfARemovedCardAreDropped) {
  const OffloadHandle handle = Install(spec_, Half::kOutbound, OffloadMode::kPacket);
  Inject("reorder out");
  Give(handle, OffloadMode::kPacket, 1);
  EXPECT_EQ(nic_->RunOnce(), 1u);  // it waits
  Inject("remove");
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kPortDown), 1u);
}

TEST_P(SimNicWrongModeTest, SwallowedPacketsAreGoneUncounted) {
  const OffloadHandle out = Out();
  (void)In();
  Inject("swallow 2");
  for (uint32_t seq = 1; seq <= 3; ++seq) GiveOne(out, seq);
  EXPECT_THAT(Sent(), SizeIs(1));
  EXPECT_EQ(nic_->offload_stats().sealed, 1u);
  EXPECT_THAT(Receive({Sealed(1), Sealed(2), Sealed(3)}), SizeIs(1));
  EXPECT_EQ(nic_->offload_stats().opened, 1u);
  for (std::size_t i = 1; i < kDropReasons; ++i) EXPECT_EQ(Drops(static_cast<DropReason>(i)), 0u);
}

TEST_P(SimNicWrongTest, OnlyPacketsOfSasAreSwallowed) {
  Inject("swallow 5");
  EXPECT_THAT(Receive({Inner()}), SizeIs(1));
  Hand(Inner(), {});
  EXPECT_THAT(Sent(), SizeIs(1));
}

// --- Wrong bytes ---

TEST_P(SimNicWrongModeTest, WrongIcvLeaves) {
  const OffloadHandle handle = Out();
  Inject("wrong-icv out 1");
  GiveOne(handle, 1);
  GiveOne(handle, 2);
  const auto sent = OpenSent();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_FALSE(sent[0].has_value());
  EXPECT_TRUE(sent[1].has_value());
}

TEST_P(SimNicWrongModeTest, WrongInnerLeavesWithAGoodIcv) {
  const OffloadHandle handle = Out();
  Inject("wrong-inner out 1");
  GiveOne(handle, 1);
  GiveOne(handle, 2);
  const auto sent = OpenSent();
  ASSERT_THAT(sent, SizeIs(2));
  ASSERT_TRUE(sent[0].has_value() && sent[1].has_value());
  EXPECT_THAT(*sent[0], IsSpoilt(*sent[1]));
}

TEST_P(SimNicWrongModeTest, ForgedPacketPassesAsOpened) {
  (void)In();
  Inject("wrong-icv in 1");
  const auto up = Receive({Sealed(1), Forged(2, 5)});
  ASSERT_THAT(up, SizeIs(2));
  for (const Up& one : up) EXPECT_EQ(one.status, Good());
  EXPECT_EQ(up[1].inner, Text(5));
  (void)Receive({Forged(3)});
  EXPECT_EQ(nic_->offload_stats().auth_failed, 1u) << "only the next one";
}

TEST_P(SimNicWrongModeTest, InnerPacketIsChangedOnTheWayUp) {
  (void)In();
  Inject("wrong-inner in 1");
  const auto up = Receive({Sealed(1), Sealed(2)});
  ASSERT_THAT(up, SizeIs(2));
  EXPECT_EQ(up[0].status, Good());
  EXPECT_THAT(up[0].inner, IsSpoilt(Text(0)));
  EXPECT_EQ(up[1].inner, Text(0));
}

TEST_P(SimNicWrongDirectTest, ForgedPacketOfACipherWithAnAuthenticatorPasses) {
  spec_.aead = {};
  spec_.pair.Change()->cipher.descriptor = FindAlgorithm(AlgorithmKind::kCipher, "cbc(aes)");
  spec_.pair.Change()->cipher.key = KeyMaterial(Pattern(16));
  spec_.pair.Change()->auth.descriptor = FindAlgorithm(AlgorithmKind::kAuth, "hmac(sha256)");
  spec_.pair.Change()->auth.key = KeyMaterial(Pattern(32));
  spec_.pair.Change()->auth.icv_bits = 128;
  const OffloadHandle out = Install(spec_, Half::kOutbound, OffloadMode::kPacket);
  (void)Install(spec_, Half::kInbound, OffloadMode::kPacket);
  Give(out, OffloadMode::kPacket, 1, 3);
  std::vector<Bytes> forged = Sent();
  ASSERT_THAT(forged, SizeIs(1));
  forged[0].back() ^= 1;
  EXPECT_THAT(InnerOf(forged), IsEmpty());
  Inject("wrong-icv in 1");
  EXPECT_THAT(InnerOf(forged), ElementsAre(Text(3)));
}

// --- Replay, limits, counters, adds ---

TEST_P(SimNicWrongTest, ReplayIsLetThroughAsOftenAsAskedFor) {
  const OffloadHandle handle = Install(spec_, Half::kInbound, OffloadMode::kPacket);
  EXPECT_THAT(Receive({Sealed(1), Sealed(1)}), SizeIs(1));
  Inject("let-replay 1");
  EXPECT_THAT(Receive({Sealed(1), Sealed(1)}), SizeIs(1));
  EXPECT_EQ(nic_->Read(handle)->replayed, 2u);
  EXPECT_EQ(nic_->Read(handle)->packets, 2u) << "it counts what it let through";
}

TEST_P(SimNicWrongTest, LimitsAreNotRaisedAndHaveNoEffect) {
  const OffloadHandle handle = Install(spec_, Half::kInbound, OffloadMode::kPacket);
  LifetimeLimits limits;
  limits.soft_packets = 1;
  limits.hard_packets = 2;
  nic_->SetLimits(handle, limits);
  Inject("no-expiry 2");
  EXPECT_THAT(Receive({Sealed(1), Sealed(2), Sealed(3), Sealed(4)}), SizeIs(4));
  EXPECT_THAT(nic_->TakeEvents(), IsEmpty());
  EXPECT_EQ(nic_->Read(handle)->packets, 4u);
  nic_->SetLimits(handle, limits);
  EXPECT_THAT(Receive({Sealed(5)}), IsEmpty()) << "the fault is used up";
  EXPECT_THAT(nic_->TakeEvents(), ElementsAre(PacketOffloadEvent{handle, Kind::kHardLimit}));
}

TEST_P(SimNicWrongTest, StaleCountersShowTheirAge) {
  const OffloadHandle handle = Install(spec_, Half::kInbound, OffloadMode::kPacket);
  Inject("stale-counters 1000");
  const uint64_t then = nic_->Read(handle)->taken_at;
  (void)Receive({Sealed(1)});
  clock_.monotonic_ns += 999'000'000;
  clock_.wall_seconds += 1;
  EXPECT_EQ(nic_->Read(handle)->packets, 0u);
  EXPECT_EQ(nic_->Read(handle)->taken_at, then);
  clock_.monotonic_ns += 1'000'000;
  EXPECT_EQ(nic_->Read(handle)->packets, 1u);
  EXPECT_EQ(nic_->Read(handle)->taken_at, then + 1);
  Inject("stale-counters");
  (void)Receive({Sealed(2)});
  clock_.monotonic_ns += 1'000'000'000'000;
  EXPECT_EQ(nic_->Read(handle)->packets, 1u);
  EXPECT_EQ(nic_->TakeState(handle)->reading.packets, 2u) << "the last one is exact";
  Inject("stale-counters 0");
  EXPECT_EQ(nic_->Read(handle)->packets, 2u);
}

TEST_P(SimNicWrongTest, SlowAddTakesItsTimeAndBlocksNoPackets) {
  Inject("slow-add 100 1");
  const auto start = std::chrono::steady_clock::now();
  std::thread adder([this] { (void)Install(spec_, Half::kInbound, OffloadMode::kCrypto); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_THAT(Receive({Inner()}), SizeIs(1));
  const auto received = std::chrono::steady_clock::now() - start;
  adder.join();
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(100));
  EXPECT_LT(received, std::chrono::milliseconds(100));
}

// --- Lies ---

TEST_P(SimNicWrongModeTest, LieAboutTheAlgorithmSealsWronglyAndRefusesGoodPackets) {
  const OffloadHandle handle = Out();
  (void)In();
  Inject("lie rfc4106(gcm(aes))");
  GiveOne(handle, 1);
  EXPECT_THAT(OpenSent(), ElementsAre(std::nullopt));
  for (const Up& up : Receive({Sealed(1)})) EXPECT_EQ(up.status, OffloadStatus::kAuthFailed);
  EXPECT_EQ(nic_->offload_stats().auth_failed, 1u);
  Inject("reset 0");
  EXPECT_THAT(nic_->FaultsPlayed(), SizeIs(2));
  Inject("lie none");
  (void)In();
  for (const Up& up : Receive({Sealed(2)})) EXPECT_EQ(up.status, Good());
}

TEST_P(SimNicWrongModeTest, LieAboutAModeChangesPacketsOfThatMode) {
  const OffloadHandle handle = Out();
  (void)In();
  Inject("lie transport");
  EXPECT_THAT(InnerOf({Sealed(1)}), ElementsAre(Text(0)));
  Inject("lie tunnel");
  EXPECT_THAT(InnerOf({Sealed(2)}), ElementsAre(IsSpoilt(Text(0))));
  GiveOne(handle, 1);
  EXPECT_THAT(OpenSent(), ElementsAre(testing::Ne(std::nullopt)));
}

TEST_P(SimNicWrongModeTest, LieAboutTheIcvOpensForgedPackets) {
  (void)In();
  Inject("lie icv-64");
  EXPECT_EQ(Receive({Forged(1)}).size(), mode() == OffloadMode::kPacket ? 0u : 1u);
  Inject("lie icv-128");
  for (uint64_t seq = 2; seq < 5; ++seq) {
    const auto up = Receive({Forged(seq)});
    ASSERT_THAT(up, SizeIs(1));
    EXPECT_EQ(up[0].status, Good());
    EXPECT_EQ(up[0].inner, Text(0));
  }
}

TEST_P(SimNicWrongModeTest, LieAboutEsnForgetsTheHighWord) {
  spec_ = test::MakeSpec({.flags = kSaFlagEsn});
  Inject("lie esn");
  (void)In();
  EXPECT_EQ(Receive({Sealed(1)}).at(0).status, Good());
  highest_ = uint64_t{1} << 32;
  Inject("reset 0");
  (void)In();
  const uint64_t failed = nic_->offload_stats().auth_failed;
  (void)Receive({Sealed(highest_ + 1)});
  EXPECT_EQ(nic_->offload_stats().auth_failed, failed + 1);
}

TEST_P(SimNicWrongTest, LieAboutReplayLasts) {
  (void)Install(spec_, Half::kInbound, OffloadMode::kPacket);
  Inject("lie replay");
  for (int i = 0; i < 5; ++i) EXPECT_THAT(Receive({Sealed(1)}), SizeIs(1));
  Inject("clear");
  EXPECT_THAT(Receive({Sealed(1)}), IsEmpty());
}

}  // namespace
}  // namespace cygnet
