// Campaigns: an SA in each direction moves at random between packet offload, crypto offload,
// look-aside and CPU, under load. A peer audits every frame: nothing is lost or doubled, no packet
// leaves in clear, and no key seals two packets with one number. Then the same with a device that
// crashes, resets and is pulled out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "control/placement/placement.h"
#include "support/auditing_peer.h"
#include "support/sanitized.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::AuditingPeer;
using test::Bytes;
using test::IdOf;
using test::Numbered;
using test::SaOptions;
using test::TestHost;

constexpr uint32_t kSpiOut = test::kPeerSpiOut;
constexpr uint32_t kSpiIn = test::kPeerSpiIn;
// A sanitizer takes a quarter of the campaign in the time of the whole one.
constexpr uint64_t kMoves = test::kSanitized ? 250 : 1000;
constexpr uint64_t kCrashes = kMoves / 5;

SaOptions Out(uint32_t window = 64) { return test::PeerOut(window); }
SaOptions In(uint32_t window = 64) { return test::PeerIn(window); }

// Packets that wait at a look-aside engine when their SA leaves it are overtaken by those behind
// them, so that the campaign with such an engine needs a larger window.
struct Campaign {
  uint32_t seed;
  uint32_t window;
  bool look_aside;
  uint32_t verify = 0;  // shadow verification of one of so many packets
};

void PrintTo(const Campaign& campaign, std::ostream* out) {
  *out << "seed " << campaign.seed << ", window " << campaign.window;
}

class PacketMovesTest : public testing::TestWithParam<Campaign> {
 protected:
  PacketMovesTest() : random_(GetParam().seed), peer_(GetParam().seed + 1, GetParam().window) {
    host_.SetAddresses({"192.0.2.1", "10.1.0.1"});
    placement_ = std::make_unique<Placement>(
        PlacementParams{.path = &host_.path,
                        .clock = &host_.clock,
                        .engines = &host_.engines,
                        .look_aside = LookAsideMode::kAuto,
                        .devices = {{.name = "nic0",
                                     .ifindex = TestHost::kIfindex,
                                     .offload = &host_.nic(),
                                     .shadow = GetParam().verify != 0 ? &host_.shadow() : nullptr,
                                     .terms = {.verify = GetParam().verify}}}},
        nullptr);
    for (uint32_t e = 0; e < host_.engines.size(); ++e) {
      if (host_.engines[e].info->kind == EngineKind::kLookAside) {
        look_aside_ = std::string(host_.engines.engine(e)->name());
      }
    }
    if (!GetParam().look_aside) {
      EXPECT_TRUE(placement_->SetEnabled(look_aside_, false).has_value());
    }
    sa_out_ = Install(Out(GetParam().window));
    sa_in_ = Install(In(GetParam().window));
    GivePolicies();
    const PolicySpec in = test::MakePolicy(PolicyDirection::kIn, "10.2.0.0/16", "10.1.0.0/16",
                                           {test::TemplateFor(In())});
    host_.AddPolicy(in);
    PolicySpec out = policy_;
    (void)host_.path.spd.Insert(std::move(out), 1);
    host_.path.BumpGeneration();
  }
  ~PacketMovesTest() override {
    for (const auto& sa : {sa_out_, sa_in_}) {
      placement_->Remove(*sa);
      host_.path.sad.Remove(sa);
    }
    for (int i = 0; i < 100 && host_.path.quiescence.Collect() != 0; ++i) host_.Run();
    host_.Run();
    placement_.reset();
  }
  SaPtr Install(const SaOptions& options) {
    auto sa = MakeSharedSa(test::MakeSpec(options), uint64_t{1}, test::kTestIvMask);
    sa->number = host_.path.sad.NextNumber();
    EXPECT_TRUE(placement_->Place(sa).has_value());
    host_.path.sad.Insert(sa);
    return sa;
  }
  void GivePolicies() {
    OffloadPolicyHandle handle;
    ASSERT_FALSE(host_.nic().AddPolicy({policy_}, &handle).has_value());
  }

  uint64_t WrongPackets() {
    if (GetParam().verify == 0) return 0;
    const ShadowStats stats = host_.shadow().stats();
    return stats.wrong[0] + stats.wrong[1];
  }

  // --- Load ---
  void Load() {
    for (auto n = random_() % 20; n > 0; --n) {
      host_.FromHost(Numbered("10.1.0.1", "10.2.0.1", next_id_++));
    }
    for (auto n = random_() % 20; n > 0; --n) host_.FromWire(peer_.Next());
  }
  // One component takes a turn.
  void Step() {
    host_.clock.monotonic_ns += 20'000;
    switch (random_() % 8) {
      case 0:
        Load();
        break;
      case 1:
      case 2:
        host_.worker->RunOnce();
        break;
      case 3:
      case 4:
        host_.nic().RunOnce();
        break;
      case 5:
        placement_->CheckDevices();
        break;
      case 6:
        (void)placement_->DoSome();
        host_.path.quiescence.Collect();
        break;
      default:
        Audit();
    }
  }
  void Audit() {
    for (const Bytes& frame : host_.ToWire()) peer_.Audit(frame);
    for (const Bytes& frame : host_.ToHost()) {
      if (!delivered_.insert(IdOf(frame, 14)).second) ++delivered_twice_;
    }
  }
  void Settle() {
    for (int i = 0; i < 60; ++i) {
      host_.Run();
      placement_->CheckDevices();
      (void)placement_->DoSome();
      host_.path.quiescence.Collect();
      Audit();
      host_.clock.monotonic_ns += 50'000'000;
    }
  }

  // --- Moves ---
  void Command(uint32_t spi, PlacementMode mode) {
    const auto report =
        placement_->SetOverride({.spi = Spi(spi), .mode = mode, .device = std::string("nic0")});
    ASSERT_TRUE(report.has_value()) << report.error().message;
    moves_ += report->moved;
  }
  // The sender's numbers pass the edge up to which the CPU opens, if there is one.
  void PassEdge() {
    host_.Run();
    Audit();
    const auto of_the_device = [this] {
      return sa_in_->inbound()->replay.Check(peer_.number() + 1) == DropReason::kInHandOver;
    };
    while (!of_the_device()) peer_.Skip(1 + random_() % 2000);
    // The device learns of the jump, and with it the stack: no margin would cover it.
    host_.FromWire(peer_.NextNew());
    host_.nic().RunOnce();
  }
  bool InPacketOffload(const Sa& sa, Half half) const {
    return placement_->Find(sa.number)->half(half).binding->device_numbers();
  }
  // What the device did since the last call counts if the half is in packet offload.
  void CountDevicesWork() {
    const OffloadStats stats = host_.nic().offload_stats();
    if (InPacketOffload(*sa_out_, Half::kOutbound)) protected_ += stats.sealed - seen_.sealed;
    if (InPacketOffload(*sa_in_, Half::kInbound)) decapsulated_ += stats.opened - seen_.opened;
    seen_ = stats;
  }
  void MoveOne() {
    CountDevicesWork();
    const uint32_t spi = random_() % 2 == 0 ? kSpiOut : kSpiIn;
    switch (random_() % (GetParam().look_aside ? 8 : 7)) {
      case 0:
      case 1:
      case 2:
        Command(spi, PlacementMode::kPacket);
        break;
      case 3:
      case 4:
        Command(spi, PlacementMode::kCrypto);
        break;
      case 5:
      case 6:
        Command(spi, PlacementMode::kNo);
        break;
      default: {
        const auto report = placement_->SetEnabled(look_aside_, random_() % 2 == 0);
        ASSERT_TRUE(report.has_value());
        moves_ += report->moved;
      }
    }
    CountDevicesWork();
    if (InPacketOffload(*sa_in_, Half::kInbound) && random_() % 4 != 0) PassEdge();
    for (const auto& [number, placed] : placement_->all()) {
      for (const Half half : kHalves) {
        if (placed.half(half).binding != nullptr) {
          places_.insert(std::string(Name(placed.half(half).binding->path)));
        }
      }
    }
  }
  uint64_t Dropped(DropReason reason) {
    return host_.Drops(reason) + host_.nic().device_drops()->Get(reason);
  }
  // Reasons that no replay explains.
  std::map<std::string, uint64_t> Losses() {
    std::map<std::string, uint64_t> out;
    for (std::size_t i = 1; i < kDropReasons; ++i) {
      const auto reason = static_cast<DropReason>(i);
      const bool replay =
          reason == DropReason::kInReplayDuplicate || reason == DropReason::kInReplayOld;
      if (!replay && Dropped(reason) > 0) out[std::string(Describe(reason).name)] = Dropped(reason);
    }
    return out;
  }

  std::mt19937 random_;
  AuditingPeer peer_;
  PacketPools pools_{6000, 8};
  TestHost host_{&pools_,
                 {.nic = true, .verify = GetParam().verify, .look_aside = EngineOptions{}}};
  const PolicySpec policy_ = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                              {test::TemplateFor(Out())});
  std::unique_ptr<Placement> placement_;
  std::string look_aside_;
  SaPtr sa_out_;
  SaPtr sa_in_;
  uint64_t next_id_ = 0;
  uint64_t moves_ = 0;
  std::set<std::string> places_;
  OffloadStats seen_;
  uint64_t protected_ = 0;     // packets, by the device in packet offload
  uint64_t decapsulated_ = 0;  // likewise
  std::set<uint64_t> delivered_;
  uint64_t delivered_twice_ = 0;
};

TEST_P(PacketMovesTest, OrderlyMovesLoseNothing) {
  while (moves_ < kMoves) {
    MoveOne();
    for (auto n = random_() % 60; n > 0; --n) Step();
  }
  Settle();
  std::set<std::string> all = {"packet", "crypto", "software"};
  if (GetParam().look_aside) all.insert("look-aside");
  EXPECT_EQ(places_, all);
  EXPECT_GT(protected_, 5 * kMoves);
  EXPECT_GT(decapsulated_, 5 * kMoves);
  EXPECT_EQ(peer_.received.size(), next_id_) << "lost on the way out";
  EXPECT_EQ(delivered_.size(), peer_.ids()) << "lost on the way in";
  EXPECT_EQ(peer_.clear, 0u);
  EXPECT_EQ(peer_.repeated, 0u);
  EXPECT_EQ(peer_.broken, 0u);
  EXPECT_EQ(peer_.late, 0u);
  EXPECT_EQ(peer_.wrong, 0u);
  EXPECT_EQ(peer_.doubled, 0u);
  EXPECT_EQ(delivered_twice_, 0u);
  EXPECT_THAT(Losses(), testing::IsEmpty());
  EXPECT_EQ(host_.guard().unsealed_stopped + host_.guard().clear_stopped, 0u);
  EXPECT_EQ(WrongPackets(), 0u);
  // Every packet was charged once, wherever.
  placement_->Refresh(*sa_out_);
  placement_->Refresh(*sa_in_);
  EXPECT_EQ(sa_out_->lifetime().usage().packets, next_id_);
  EXPECT_EQ(sa_in_->lifetime().usage().packets, peer_.ids());
}

TEST_P(PacketMovesTest, CrashesLoseOnlyWhatIsInTheDevice) {
  constexpr const char* kFaults[] = {"crash", "reset 0", "remove"};
  for (uint64_t round = 0; round < kCrashes; ++round) {
    for (const uint32_t spi : {kSpiOut, kSpiIn}) Command(spi, PlacementMode::kPacket);
    CountDevicesWork();
    if (random_() % 4 != 0) PassEdge();
    for (auto n = random_() % 300; n > 0; --n) Step();
    if (random_() % 2 == 0) peer_.Skip(random_() % 5000);
    CountDevicesWork();
    const char* fault = kFaults[random_() % 3];
    ASSERT_TRUE(host_.nic().InjectFault(fault));
    // The operator lets them go on elsewhere.
    for (const uint32_t spi : {kSpiOut, kSpiIn}) Command(spi, PlacementMode::kNo);
    for (auto n = random_() % 100; n > 0; --n) Step();
    if (std::string_view(fault) == "remove") {
      ASSERT_TRUE(host_.nic().InjectFault("insert"));
    } else {
      ASSERT_TRUE(host_.nic().InjectFault("reset 0"));
    }
    GivePolicies();
    placement_->CheckDevices();
  }
  for (const uint32_t spi : {kSpiOut, kSpiIn}) Command(spi, PlacementMode::kNo);
  Settle();
  EXPECT_EQ(peer_.clear, 0u);
  EXPECT_EQ(peer_.repeated, 0u);
  EXPECT_EQ(peer_.broken, 0u);
  EXPECT_EQ(peer_.doubled, 0u);
  EXPECT_EQ(delivered_twice_, 0u) << "accepted twice";
  EXPECT_EQ(WrongPackets(), 0u);
  // Whatever is missing was dropped for one of these reasons: the device was pulled out with it, or
  // nobody knows whether the device had accepted the number.
  const auto losses = Losses();
  for (const auto& [reason, count] : losses) {
    EXPECT_TRUE(reason == "port-down" || reason == "in-number-unknown" ||
                reason == "out-device-error" ||
                (GetParam().verify != 0 && (reason == "in-verify" || reason == "out-verify")))
        << reason << " " << count;
  }
  EXPECT_LE(next_id_ - peer_.received.size() - peer_.late,
            Dropped(DropReason::kPortDown) + Dropped(DropReason::kOutDeviceError) +
                Dropped(DropReason::kOutVerify));
  EXPECT_LE(peer_.ids() - delivered_.size(), Dropped(DropReason::kPortDown) +
                                                 Dropped(DropReason::kInNumberUnknown) +
                                                 Dropped(DropReason::kInVerify));
  EXPECT_GT(protected_, 25 * kCrashes);
  EXPECT_GT(decapsulated_, 25 * kCrashes);
}

TEST_P(PacketMovesTest, DeviceThatSendsInClearIsLeftAndNotBelieved) {
  Command(kSpiOut, PlacementMode::kPacket);
  Settle();
  const auto send = [this](int n) {
    for (; n > 0; --n) host_.FromHost(Numbered("10.1.0.1", "10.2.0.1", next_id_++));
    host_.Run();
    Audit();
  };
  send(5);
  ASSERT_TRUE(host_.nic().InjectFault("skip-seal 3"));
  send(10);
  const uint64_t last = sa_out_->outbound()->sequence.last_sent();
  EXPECT_GT(last, next_id_) << "a block";
  placement_->CheckDevices();
  if (GetParam().verify == 0) {
    EXPECT_EQ(host_.guard().unsealed_stopped, 3u);
  } else {
    EXPECT_EQ(host_.guard().unsealed_stopped + WrongPackets(), 3u);
  }
  EXPECT_EQ(peer_.received.size(), next_id_ - 3);
  EXPECT_EQ(peer_.clear + peer_.broken, 0u);
  EXPECT_TRUE(placement_->Find(sa_out_->number)->half(Half::kOutbound).binding->blocked());
  EXPECT_EQ(sa_out_->outbound()->sequence.last_sent(), last) << "no number comes back from a liar";
}

INSTANTIATE_TEST_SUITE_P(Campaigns, PacketMovesTest,
                         testing::Values(Campaign{1, 1024, true}, Campaign{2, 1024, true},
                                         Campaign{3, 64, false}, Campaign{4, 64, false},
                                         Campaign{5, 1024, true, 1}, Campaign{6, 64, false, 1},
                                         Campaign{7, 64, false, 4}),
                         [](const auto& campaign) {
                           return "Seed" + std::to_string(campaign.param.seed);
                         });

}  // namespace
}  // namespace cygnet
