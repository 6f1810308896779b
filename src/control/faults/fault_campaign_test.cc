// Campaign: random faults on a software NIC that runs in its own thread, under load, while control
// moves the SAs between packet offload, crypto offload and CPU. Whatever happens, nothing leaves in
// clear and no key seals two packets with one number; what is delivered twice or wrongly is bounded
// by what was ordered, and is nothing with verify = 1; and afterwards everything passes.
// CYGNET_CAMPAIGN_SECONDS: how long a seed takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "control/placement/placement.h"
#include "support/auditing_peer.h"
#include "support/ring_port.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using test::AuditingPeer;
using test::Bytes;
using test::kPeerSpiIn;
using test::kPeerSpiOut;

constexpr int32_t kIfindex = 100;

seconds Duration() {
  const char* text = std::getenv("CYGNET_CAMPAIGN_SECONDS");
  return seconds(text != nullptr ? std::atoi(text) : 20);
}

// What a fault may do to packets that are delivered.
struct Ordered {
  uint64_t doubled = 0;
  uint64_t wrong = 0;
  uint64_t forged = 0;
};

struct CampaignFault {
  const char* text;
  Ordered cost = {};
};

constexpr CampaignFault kFaults[] = {
    {"link-down"},
    {"link-up"},
    {"down"},
    {"up"},
    {"reset 0"},
    {"reset 20"},
    {"remove"},
    {"insert"},
    {"crash"},
    {"table-full 2"},
    {"add-fail EIO 2"},
    {"slow-add 5 2"},
    {"skip-seal 3"},
    {"skip-icv 3"},
    {"fail-seal 20"},
    {"policy-miss 3"},
    {"reorder 100"},
    {"swallow 20"},
    {"stale-counters 300"},
    {"stale-counters 0"},
    {"wrong-icv 3", {.forged = 3}},
    {"wrong-inner 3", {.wrong = 6}},  // in each direction
    {"let-replay 3", {.doubled = 3}},
    {"lie key-128"},
    {"lie none"},
    {"clear"},
    {"clear"},
    {"clear"},
};

struct Campaign {
  uint32_t seed;
  uint32_t verify = 0;  // the CPU computes one of so many packets again
};

void PrintTo(const Campaign& campaign, std::ostream* out) {
  *out << "seed " << campaign.seed << ", verify " << campaign.verify;
}

class FaultCampaignTest : public testing::TestWithParam<Campaign>, public PlacementListener {
 protected:
  FaultCampaignTest() : random_(GetParam().seed) {
    auto wire = std::make_unique<test::RingPort>("wire0");
    wire_ = wire.get();
    guard_ = std::make_unique<WireSealGuard>(&path_, uint8_t{0}, 1u, &capture_.guard);
    nic_ = std::make_unique<SimNic>(
        "nic0", std::make_unique<GuardedPort>(std::move(wire), guard_.get(), &capture_), 1, &pools_,
        &capture_, SimNicOptions{.sa_limit = 16, .fault_seed = GetParam().seed});
    path_.interfaces.push_back({.host = &host_,
                                .wire = nic_.get(),
                                .offload = nic_.get(),
                                .ifindex = kIfindex,
                                .guard = guard_.get(),
                                .capture = &capture_});
    path_.interfaces.back().shadow = &shadow_;
    guard_->SetShadow(&shadow_, engines_);
    path_.SetHostAddresses({test::Addr("192.0.2.1"), test::Addr("10.1.0.1")});
    placement_ = std::make_unique<Placement>(
        PlacementParams{.path = &path_,
                        .clock = &clock_,
                        .engines = &engines_,
                        .devices = {{.name = "nic0",
                                     .ifindex = kIfindex,
                                     .offload = nic_.get(),
                                     .shadow = &shadow_,
                                     .terms = {.verify = GetParam().verify}}}},
        this);
    sa_out_ = Install(test::PeerOut());
    sa_in_ = Install(test::PeerIn(1024));
    (void)path_.spd.Insert(OutPolicy(), 1);
    (void)path_.spd.Insert(test::MakePolicy(PolicyDirection::kIn, "10.2.0.0/16", "10.1.0.0/16",
                                            {test::TemplateFor(test::PeerIn())}),
                           1);
    GivePolicies();
    path_.BumpGeneration();
    worker_ = std::make_unique<Worker>(&path_, 0, &pools_, &engines_, &clock_);
    nic_->Start();
    worker_->Start();
  }
  ~FaultCampaignTest() override {
    for (const auto& sa : {sa_out_, sa_in_}) {
      placement_->Remove(*sa);
      path_.sad.Remove(sa);
    }
    for (int i = 0; i < 200 && path_.quiescence.Collect() != 0; ++i) Pause(1);
    placement_.reset();
    worker_->Stop();
    worker_.reset();
  }

  // PlacementListener.
  void OnEntering(const SaPtr&, std::size_t) override { GivePolicies(); }
  void OnMoved(const SaPtr&) override {}
  void OnBack(std::size_t) override {}
  void OnGone(std::size_t) override {}
  void OnLost(const SaPtr&) override {}
  void OnDeviceState(const std::string&, const std::string&, const std::string&) override {}
  void OnGuardHit(const std::string&, const std::string&, uint64_t) override {}
  void OnWithdrawn(const std::string&, const WithdrawnCapability&, const std::string&) override {}
  void OnWrongPackets(const std::string&, Half, uint64_t, const std::string&,
                      const std::string&) override {}
  void OnDeviceEvent(const DataPathEvent&) override {}

  static void Pause(int ms) { std::this_thread::sleep_for(milliseconds(ms)); }
  static PolicySpec OutPolicy() {
    return test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                            {test::TemplateFor(test::PeerOut())});
  }
  // The device's policies do not survive a reset.
  void GivePolicies() {
    if (given_at_ == nic_->resets()) return;
    const uint32_t resets = nic_->resets();
    OffloadPolicyHandle handle;
    const PolicySpec policy = OutPolicy();
    if (!nic_->AddPolicy({policy}, &handle).has_value()) given_at_ = resets;
  }
  SaPtr Install(const test::SaOptions& options) {
    auto sa = MakeSharedSa(test::MakeSpec(options), uint64_t{1}, test::kTestIvMask);
    sa->number = path_.sad.NextNumber();
    EXPECT_TRUE(placement_->Place(sa).has_value());
    path_.sad.Insert(sa);
    return sa;
  }

  // --- Load ---
  void Feed(test::RingPort* port, const Bytes& frame) {
    Packet* packet = test::MakePacket(&pools_, frame);
    if (!port->Feed(packet)) test::FreePacket(packet);
  }
  void Load(uint32_t packets) {
    for (; packets > 0; --packets) {
      Feed(&host_, test::Numbered("10.1.0.1", "10.2.0.1", next_id_++));
      Feed(wire_, random_() % 16 == 0 && next_id_ > 1 ? peer_.NextForged() : peer_.Next());
    }
  }
  void Audit() {
    while (Packet* packet = wire_->Drain()) {
      peer_.Audit(test::ToBytes(packet->bytes()));
      test::FreePacket(packet);
    }
    while (Packet* packet = host_.Drain()) {
      const Bytes frame = test::ToBytes(packet->bytes());
      test::FreePacket(packet);
      const uint64_t id = test::IdOf(frame, 14);
      if (id >= AuditingPeer::kForged) {
        ++forged_;
      } else {
        wrong_ += test::IsChanged(frame, 14) ? 1 : 0;
        if (!delivered_.insert(id).second) ++doubled_;
      }
    }
  }
  // A turn of control.
  void Turn() {
    Audit();
    packet_turns_ += InPacketOffload() ? 1 : 0;
    placement_->CheckDevices();
    (void)placement_->DoSome();
    path_.quiescence.Collect();
    if (steady_clock::now() < next_tick_) return;
    next_tick_ = steady_clock::now() + seconds(1);
    placement_->Tick();
  }
  void Rest(milliseconds time) {
    for (const auto end = steady_clock::now() + time; steady_clock::now() < end; Pause(1)) Turn();
  }

  // --- Trouble ---
  void Command(uint32_t spi, PlacementMode mode) {
    (void)placement_->SetOverride({.spi = Spi(spi), .mode = mode, .device = std::string("nic0")});
  }
  void MoveOne() {
    constexpr PlacementMode kModes[] = {PlacementMode::kPacket, PlacementMode::kPacket,
                                        PlacementMode::kCrypto, PlacementMode::kNo};
    Command(random_() % 2 == 0 ? kPeerSpiOut : kPeerSpiIn, kModes[random_() % 4]);
    PassBlock();
  }
  // The sender's numbers pass those that the host does not accept for now.
  void PassBlock() {
    const auto refused = [this] {
      const DropReason reason = sa_in_->inbound()->replay.Check(peer_.number() + 1);
      return reason == DropReason::kInNumberUnknown ||
             (reason == DropReason::kNone && InPacketOffload());
    };
    for (int i = 0; i < 10'000 && refused(); ++i) peer_.Skip(512);
  }
  bool InPacketOffload() const {
    return placement_->Find(sa_in_->number)->half(Half::kInbound).binding->device_numbers();
  }
  void PlayOne() {
    const CampaignFault& fault = kFaults[random_() % std::size(kFaults)];
    if (!nic_->InjectFault(fault.text)) return;  // the card is removed
    ordered_.doubled += fault.cost.doubled;
    ordered_.wrong += fault.cost.wrong;
    ordered_.forged += fault.cost.forged;
    ++played_;
  }

  std::mt19937 random_;
  PacketPools pools_{20'000, 8};
  SystemClock clock_;
  EngineSet engines_ = test::MakeEngines();
  DataPath path_{1};
  CapturePoints capture_;
  DeviceShadow shadow_{&path_.control_bell};
  test::RingPort host_{"host0"};
  test::RingPort* wire_ = nullptr;
  std::unique_ptr<WireSealGuard> guard_;
  std::unique_ptr<SimNic> nic_;
  std::unique_ptr<Placement> placement_;
  std::unique_ptr<Worker> worker_;
  AuditingPeer peer_{GetParam().seed + 1, 1024};
  SaPtr sa_out_;
  SaPtr sa_in_;
  std::optional<uint32_t> given_at_;
  steady_clock::time_point next_tick_ = steady_clock::now();
  uint64_t next_id_ = 0;
  Ordered ordered_;
  uint64_t played_ = 0;
  uint64_t packet_turns_ = 0;  // in which the inbound half was in packet offload
  std::set<uint64_t> delivered_;
  uint64_t doubled_ = 0, wrong_ = 0, forged_ = 0;
};

TEST_P(FaultCampaignTest, NothingLeavesInClearOrTwice) {
  const auto end = steady_clock::now() + Duration();
  while (steady_clock::now() < end) {
    Load(20);
    Turn();
    if (random_() % 8 == 0) PlayOne();
    if (random_() % 16 == 0) MoveOne();
    if (random_() % 16 == 0) (void)placement_->SetEnabled("nic0", true);
    if (random_() % 4 == 0) Pause(1);
  }
  ASSERT_TRUE(nic_->InjectFault("clear"));
  Rest(milliseconds(200));
  (void)placement_->SetEnabled("nic0", true);
  for (const uint32_t spi : {kPeerSpiOut, kPeerSpiIn}) Command(spi, PlacementMode::kCrypto);
  Rest(milliseconds(500));
  PassBlock();
  RecordProperty("faults", static_cast<int>(played_));
  RecordProperty("packets", static_cast<int>(next_id_ + peer_.ids()));
  std::cout << played_ << " faults, " << next_id_ << " packets out, of which "
            << peer_.received.size() << " arrived, " << peer_.ids() << " in, of which "
            << delivered_.size() << " arrived; " << guard_->stats().unsealed_stopped
            << " stopped by the guard, " << doubled_ << " doubled, " << wrong_ + peer_.wrong
            << " wrong, " << forged_ << " forged\n";
  EXPECT_EQ(peer_.clear, 0u);
  EXPECT_EQ(peer_.repeated, 0u);
  EXPECT_EQ(peer_.doubled, 0u);
  if (GetParam().verify == 1) ordered_ = {};  // nothing wrong gets through
  EXPECT_LE(doubled_, ordered_.doubled);
  EXPECT_LE(wrong_ + peer_.wrong, ordered_.wrong);
  EXPECT_LE(forged_, ordered_.forged);
  EXPECT_GT(played_, 20u);
  EXPECT_GT(packet_turns_, 20u);
  EXPECT_GT(nic_->offload_stats().sealed, 1000u);
  EXPECT_GT(nic_->offload_stats().opened, 1000u);
  // It works as before.
  const std::size_t out = peer_.received.size();
  const std::size_t in = delivered_.size();
  for (int i = 0; i < 100; ++i) {
    Feed(&host_, test::Numbered("10.1.0.1", "10.2.0.1", next_id_++));
    Feed(wire_, peer_.NextNew());
  }
  Rest(milliseconds(500));
  EXPECT_EQ(peer_.received.size() - out, 100u);
  EXPECT_EQ(delivered_.size() - in, 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, FaultCampaignTest,
                         testing::Values(Campaign{1}, Campaign{2}, Campaign{3, 1}, Campaign{4, 1},
                                         Campaign{5, 16}));

}  // namespace
}  // namespace cygnet
