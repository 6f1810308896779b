// Placement over a real data path and a real software NIC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::ControlPlaneTest;
using test::Events;
using test::kNic0;
using test::MakeSpec;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A gate that a test opens and closes.
class FakeFips final : public FipsControl {
 public:
  std::optional<PlacementReason> DenyDevice(const ControlDevice&, uint64_t) const override {
    return device;
  }
  std::optional<PlacementReason> DenyEngine(const EngineSet& engines, uint32_t number,
                                            uint64_t) const override {
    return engines[number].info->kind == EngineKind::kCpu ? cpu : look_aside;
  }
  std::optional<PlacementReason> DenyAlgorithm(const SaSpec&) const override { return algorithm; }
  FipsReport Report(const std::vector<ControlDevice>&, const EngineSet&, uint64_t) const override {
    return {};
  }
  Status Apply(const std::optional<std::string>&) override { return {}; }

  std::optional<PlacementReason> device, cpu, look_aside, algorithm;
};

// Made before the control plane that queries it.
struct Gate {
  FakeFips gate_;
};

class PlacementControlTest : protected Gate, public ControlPlaneTest {
 protected:
  using Adjust = std::function<void(ControlPlaneParams*)>;
  explicit PlacementControlTest(uint32_t sa_limit = 4, PlacementMode mode = PlacementMode::kCrypto,
                                const Adjust& adjust = {})
      : ControlPlaneTest(sa_limit, mode, [&](ControlPlaneParams* params) {
          params->fips = &gate_;
          if (adjust) adjust(params);
        }) {}

  void Add(SaSpec spec) {
    const Status added = control_->AddSa(std::move(spec), {});
    ASSERT_TRUE(added.has_value()) << added.error().message;
  }
  SaSpec WithReqid(uint32_t spi, uint32_t reqid) {
    SaSpec spec = Offloaded(spi);
    spec.reqid = Reqid(reqid);
    return spec;
  }
  MoveReport Override(PlacementCommand command) {
    auto report = control_->SetPlacement(command);
    EXPECT_TRUE(report.has_value());
    return report ? *report : MoveReport{};
  }
};

// --- Break-glass ---

TEST_F(PlacementControlTest, DisableMovesEverySaOffAndEnableBringsThemBack) {
  for (const uint32_t spi : {0x100u, 0x101u}) Add(Offloaded(spi));
  Add(MakeSpec({.spi = 0x102}));  // no offload requested
  recorder_.Take();
  const auto off = control_->SetOffloadEnabled("nic0", false);
  ASSERT_TRUE(off.has_value());
  EXPECT_EQ(off->moved, 2u);
  EXPECT_EQ(Where(0x100), "software operator-disabled");
  EXPECT_EQ(Where(0x102), "software not-requested");
  EXPECT_EQ(recorder_.Take(), (Events{"sa-updated", "sa-updated"}));
  Settle();
  EXPECT_THAT(nic_.HeldSas(), IsEmpty());
  Add(Offloaded(0x103));
  EXPECT_EQ(Where(0x103), "software operator-disabled");

  const auto on = control_->SetOffloadEnabled("nic0", true);
  ASSERT_TRUE(on.has_value());
  EXPECT_EQ(on->moved, 3u);
  EXPECT_EQ(Where(0x100), "crypto returned");
  EXPECT_EQ(Where(0x103), "crypto requested") << "it was never there, so it does not return";
  EXPECT_EQ(Where(0x102), "software not-requested");
}

TEST_F(PlacementControlTest, SlotsThatComeFreeGoToThoseThatWereTooLate) {
  for (const uint32_t spi : {0x100u, 0x101u, 0x102u, 0x103u, 0x104u, 0x105u}) Add(Offloaded(spi));
  EXPECT_EQ(Where(0x104), "software table-full");
  for (const uint32_t spi : {0x100u, 0x101u}) {
    ASSERT_TRUE(control_->DeleteSa(IdOf(spi), {}).has_value());
  }
  Settle();
  recorder_.Take();
  Pass(1);
  EXPECT_EQ(Where(0x104), "crypto requested");
  EXPECT_EQ(Where(0x105), "crypto requested");
  EXPECT_EQ(recorder_.Take(), (Events{"sa-updated", "sa-updated"}));
  Pass(1);
  EXPECT_TRUE(recorder_.Take().empty()) << "nothing is left to do";
}

TEST_F(PlacementControlTest, SlotThatComesFreeIsNotForOneThatEnds) {
  for (const uint32_t spi : {0x100u, 0x101u, 0x102u, 0x103u, 0x104u}) Add(Offloaded(spi));
  ASSERT_TRUE(control_->ExpireSa(IdOf(0x104), false).has_value());
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x100), {}).has_value());
  Settle();
  Pass(1);
  EXPECT_EQ(Where(0x104), "software table-full");
}

TEST_F(PlacementControlTest, ThoseThatWereThereComeBackEvenWhenTheTableIsStillFull) {
  for (const uint32_t spi : {0x100u, 0x101u, 0x102u, 0x103u, 0x104u}) Add(Offloaded(spi));
  EXPECT_EQ(Where(0x104), "software table-full");
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", false).has_value());
  // The slots are still in use: no worker has passed a quiescent state yet.
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", true).has_value());
  EXPECT_EQ(Where(0x100), "software table-full");
  Settle();
  for (const uint32_t spi : {0x100u, 0x101u, 0x102u, 0x103u}) {
    EXPECT_EQ(Where(spi), "crypto returned") << spi;
  }
  EXPECT_EQ(Where(0x104), "software table-full");
}

TEST_F(PlacementControlTest, ADeviceThatGoesDownIsLeftByItself) {
  Add(Offloaded(0x100));
  Add(Offloaded(0x200, true));
  nic_.SetOffloadUp(false);
  control_->OnBell();
  EXPECT_EQ(Where(0x100), "software device-down");
  EXPECT_EQ(Where(0x200), "software device-down");
  nic_.SetOffloadUp(true);
  control_->OnBell();
  Settle();
  EXPECT_EQ(Where(0x100), "crypto returned");
  EXPECT_EQ(Where(0x200), "crypto returned");
}

TEST_F(PlacementControlTest, HistoryTellsTheWay) {
  Add(Offloaded(0x100));
  clock_.wall_seconds += 10;
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", false).has_value());
  const PlacementReport report = Placement(0x100);
  ASSERT_THAT(report.history, SizeIs(1));
  EXPECT_EQ(report.history[0].effective, "crypto");
  EXPECT_EQ(report.history[0].where, "nic0");
  EXPECT_EQ(report.since, report.history[0].time_ms / 1000 + 10);
}

TEST_F(PlacementControlTest, OrdersInForceSayWhoAndSinceWhen) {
  Add(Offloaded(0x100));
  EXPECT_THAT(control_->ReportOrders(), IsEmpty());
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", false, {.uid = 1000, .pid = 7}).has_value());
  clock_.wall_seconds += 10;
  Override({.spi = Spi(0x100), .mode = PlacementMode::kNo, .mark = {.uid = 0, .pid = 8}});
  const auto orders = control_->ReportOrders();
  ASSERT_THAT(orders, SizeIs(2));
  EXPECT_EQ(orders[0].kind, "device");
  EXPECT_EQ(orders[0].name, "nic0");
  EXPECT_EQ(orders[0].mark.uid, 1000u);
  EXPECT_EQ(orders[1].kind, "placement");
  EXPECT_EQ(orders[1].placement.spi, Spi(0x100));
  EXPECT_EQ(orders[1].mark.pid, 8);
  EXPECT_EQ(orders[1].mark.since, orders[0].mark.since + 10);
  // The one ends by its opposite, the other with its SA.
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", true).has_value());
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x100), {}).has_value());
  EXPECT_THAT(control_->ReportOrders(), IsEmpty());
}

TEST_F(PlacementControlTest, CommandsForNoDeviceSaySo) {
  EXPECT_EQ(control_->SetOffloadEnabled("nic7", false).error().code, Errc::kNoDevice);
  EXPECT_EQ(control_->SetPlacement({.mode = PlacementMode::kNo}).error().code, Errc::kInvalid);
  OffloadCaps caps = nic_.caps();
  caps.packet_offload = false;
  nic_.set_caps(caps);
  const auto packet = control_->SetPlacement({.spi = Spi(1), .mode = PlacementMode::kPacket});
  ASSERT_FALSE(packet.has_value());
  EXPECT_THAT(packet.error().message, HasSubstr("packet-offload"));
}

TEST_F(PlacementControlTest, WhatCameWhileTheDeviceWasAwayGoesThereWhenItIsBack) {
  nic_.SetOffloadUp(false);
  control_->OnBell();
  Add(Offloaded(0x100));
  EXPECT_EQ(Where(0x100), "software device-down");
  nic_.SetOffloadUp(true);
  control_->OnBell();
  EXPECT_EQ(Where(0x100), "crypto requested");
}

TEST_F(PlacementControlTest, ABlockedHalfIsNotForgotten) {
  nic_.SetOffloadUp(false);
  control_->OnBell();
  Add(MakeSpec({.spi = 0x100}));
  EXPECT_EQ(
      Override({.spi = Spi(0x100), .mode = PlacementMode::kRequired, .device = "nic0"}).blocked,
      2u);
  EXPECT_EQ(Where(0x100), "blocked device-down");
  // A second check moves nothing.
  EXPECT_EQ(control_->SetFips(std::nullopt)->moved, 0u);
  EXPECT_THAT(Placement(0x100).history, SizeIs(1));
  nic_.SetOffloadUp(true);
  control_->OnBell();
  EXPECT_EQ(Where(0x100), "crypto requested");
}

TEST_F(PlacementControlTest, ARefusedCommandLeavesTheEarlierOneInForce) {
  OffloadCaps caps = nic_.caps();
  caps.packet_offload = false;
  nic_.set_caps(caps);
  Add(Offloaded(0x100));
  Override({.spi = Spi(0x100), .mode = PlacementMode::kNo});
  EXPECT_FALSE(
      control_->SetPlacement({.spi = Spi(0x100), .mode = PlacementMode::kPacket}).has_value());
  (void)control_->SetFips(std::nullopt);
  EXPECT_EQ(Where(0x100), "software operator-rule");
}

TEST_F(PlacementControlTest, NoKeyIsGivenAwayForAnSaThatCannotBe) {
  gate_.cpu = PlacementReason{ReasonCode::kFipsUnlisted, {}};
  ASSERT_TRUE(control_->SetFips(std::nullopt).has_value());
  EXPECT_FALSE(control_->AddSa(Offloaded(0x100), {}).has_value());
  EXPECT_EQ(nic_.offload_stats().slots_high_water, 0u);
}

TEST_F(PlacementControlTest, ARefusedUpdateLeavesTheLarvalState) {
  SpiRequest request{.spec = Offloaded(0), .min = 0x100, .max = 0x100};
  ASSERT_TRUE(control_->AllocateSpi(std::move(request)).has_value());
  gate_.algorithm = PlacementReason{ReasonCode::kFipsAlgorithm, {}};
  EXPECT_FALSE(control_->UpdateSa(Offloaded(0x100), {}).has_value());
  gate_.algorithm.reset();
  EXPECT_TRUE(control_->UpdateSa(Offloaded(0x100), {}).has_value());
  EXPECT_EQ(Where(0x100), "crypto requested");
}

// --- Whose request applies ---

class RulesTest : public PlacementControlTest {
 protected:
  RulesTest()
      : PlacementControlTest(4, PlacementMode::kCrypto, [](ControlPlaneParams* params) {
          params->rules = {
              {.name = "seven", .reqid = Reqid(7), .mode = PlacementMode::kNo},
              {.name = "eight", .reqid = Reqid(8), .mode = PlacementMode::kRequired},
              {.name = "peer",
               .peer = ParsePrefix("192.0.2.0/24"),
               .half = Half::kOutbound,
               .mode = PlacementMode::kCrypto},
          };
        }) {}
};

TEST_F(RulesTest, ARuleComesBeforeTheClient) {
  Add(WithReqid(0x100, 7));
  EXPECT_EQ(Where(0x100), "software operator-rule");
  EXPECT_EQ(Placement(0x100).requested_by, "rule");
  Add(MakeSpec({.spi = 0x101}));  // requests nothing; the last rule's peer, outbound half only
  EXPECT_EQ(Where(0x101, 0), "crypto requested");
  EXPECT_EQ(Where(0x101, 1), "software not-requested");
}

TEST_F(RulesTest, TheOperatorComesBeforeTheRule) {
  Add(WithReqid(0x100, 7));
  EXPECT_EQ(Override({.spi = Spi(0x100), .mode = PlacementMode::kCrypto}).moved, 1u);
  EXPECT_EQ(Where(0x100), "crypto requested");
  EXPECT_EQ(Placement(0x100).requested_by, "operator");
  const auto unset = [this](uint32_t spi) {
    const auto moved = control_->SetPlacement({.spi = Spi(spi), .clear = true});
    return moved ? std::string() : moved.error().message;
  };
  EXPECT_EQ(unset(0x77), "no placement is set for spi 0x00000077; set are: spi 0x00000100");
  EXPECT_EQ(Override({.spi = Spi(0x100), .clear = true}).moved, 1u);
  EXPECT_EQ(Where(0x100), "software operator-rule");
  EXPECT_EQ(unset(0x100), "no placement is set for spi 0x00000100; none is set at all");
}

TEST_F(RulesTest, RequiredFailsTheRequestWithTheReason) {
  for (uint32_t spi = 0x100; spi < 0x104; ++spi) Add(WithReqid(spi, 1));
  const Status refused = control_->AddSa(WithReqid(0x200, 8), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kNotSupported);
  EXPECT_THAT(refused.error().message, HasSubstr("offload required: table-full: the device"));
  EXPECT_EQ(Where(0x200), "no SA");
}

TEST_F(RulesTest, RequiredIsBlockedWhenTheDeviceGoesAndComesBackWithIt) {
  Add(WithReqid(0x100, 8));
  EXPECT_EQ(Where(0x100), "crypto requested");
  EXPECT_EQ(Placement(0x100).engine, "") << "no engine has its key";
  const auto off = control_->SetOffloadEnabled("nic0", false);
  EXPECT_EQ(off->blocked, 1u);
  EXPECT_EQ(Where(0x100), "blocked operator-disabled");
  Settle();
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", true).has_value());
  EXPECT_EQ(Where(0x100), "crypto returned");
}

class RequiredDeviceTest : public PlacementControlTest {
 protected:
  RequiredDeviceTest() : PlacementControlTest(1, PlacementMode::kRequired) {}
};

TEST_F(RequiredDeviceTest, WhoAsksForItGetsItOrAnError) {
  Add(Offloaded(0x100));
  const Status refused = control_->AddSa(Offloaded(0x101), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("offload required"));
  Add(MakeSpec({.spi = 0x102}));
  EXPECT_EQ(Where(0x102), "software not-requested");
}

// --- Trust ---

class UntrustedTest : public PlacementControlTest {
 protected:
  UntrustedTest()
      : PlacementControlTest(4, PlacementMode::kCrypto, [](ControlPlaneParams* params) {
          params->devices[0].terms.trusted = false;
        }) {}
};

TEST_F(UntrustedTest, ADeviceThatIsNotTrustedIsOfferedNoKey) {
  Add(Offloaded(0x100));
  EXPECT_EQ(Where(0x100), "software not-trusted");
  EXPECT_EQ(nic_.offload_stats().refusals, 0u) << "it was not even asked";
  EXPECT_EQ(nic_.offload_stats().slots_high_water, 0u);
  EXPECT_EQ(control_->ReportDevices()[0].denied, "not-trusted");
}

TEST_F(PlacementControlTest, ADeniedDeviceIsLeftAtOnceAndUsedAgainWhenAllowed) {
  Add(Offloaded(0x100));
  gate_.device = PlacementReason{ReasonCode::kFipsExpired, "2026-01-01"};
  EXPECT_EQ(control_->SetFips(std::nullopt)->moved, 1u);
  EXPECT_EQ(Where(0x100), "software fips-expired");
  Settle();
  gate_.device.reset();
  EXPECT_EQ(control_->SetFips(std::nullopt)->moved, 1u);
  EXPECT_EQ(Where(0x100), "crypto returned");
}

TEST_F(PlacementControlTest, AnEntryThatExpiresIsNoticedByTheClock) {
  Add(Offloaded(0x100));
  gate_.device = PlacementReason{ReasonCode::kFipsExpired, {}};
  Pass(1);
  EXPECT_EQ(Where(0x100), "software fips-expired");
}

TEST_F(PlacementControlTest, WithoutAnEngineItIsRefusedAndWhatWasThereIsBlocked) {
  Add(MakeSpec({.spi = 0x100}));
  gate_.cpu = PlacementReason{ReasonCode::kFipsUnlisted, "openssl"};
  ASSERT_TRUE(control_->SetFips(std::nullopt).has_value());
  EXPECT_EQ(Where(0x100), "blocked fips-unlisted");
  const Status refused = control_->AddSa(MakeSpec({.spi = 0x101}), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("not on the boundary list"));
  gate_.cpu.reset();
  ASSERT_TRUE(control_->SetFips(std::nullopt).has_value());
  EXPECT_EQ(Where(0x100), "software not-requested");
}

TEST_F(PlacementControlTest, AnAlgorithmThatIsNotApprovedIsRefused) {
  gate_.algorithm = PlacementReason{ReasonCode::kFipsAlgorithm, "chacha"};
  const Status refused = control_->AddSa(Offloaded(0x100), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kNotImplemented);
  EXPECT_EQ(nic_.offload_stats().slots_high_water, 0u);
}

// --- Capacity ---

class ReserveTest : public PlacementControlTest {
 protected:
  ReserveTest()
      : PlacementControlTest(4, PlacementMode::kCrypto, [](ControlPlaneParams* params) {
          params->devices[0].terms.rekey_reserve = 2;
        }) {}
};

TEST_F(ReserveTest, TheLastSlotsAreForRekeys) {
  Add(WithReqid(0x100, 1));
  Add(WithReqid(0x101, 2));
  Add(WithReqid(0x102, 3));
  EXPECT_EQ(Where(0x102), "software rekey-reserve");
  Add(WithReqid(0x103, 1));
  EXPECT_EQ(Where(0x103), "crypto requested") << "the rekey of 0x100";
}

class SchedulerTest : public PlacementControlTest {
 protected:
  SchedulerTest()
      : PlacementControlTest(1, PlacementMode::kCrypto, [](ControlPlaneParams* params) {
          params->scheduler = {.enabled = true,
                               .interval_seconds = 1,
                               .hysteresis_percent = 200,
                               .min_residence_seconds = 3};
        }) {}
  // This many packets have passed since.
  void Use(uint32_t spi, std::size_t packets) {
    const auto sa = path_.sad.Find(IdOf(spi));
    const uint32_t bytes = 100;
    for (std::size_t i = 0; i < packets; ++i) (void)sa->lifetime().Charge({&bytes, 1}, 1);
  }
  void Intervals(int n, std::size_t first, std::size_t second) {
    for (int i = 0; i < n; ++i) {
      Use(0x100, first);
      Use(0x101, second);
      Pass(1);
      Settle();
    }
  }
};

TEST_F(SchedulerTest, TheBusierGetsTheSlotWhenTheDifferenceIsClear) {
  Add(Offloaded(0x100));
  Add(Offloaded(0x101));
  EXPECT_EQ(Where(0x101), "software table-full");
  Intervals(6, 10, 19);
  EXPECT_EQ(Where(0x100), "crypto requested") << "not twice as busy";
  Intervals(2, 10, 40);
  EXPECT_EQ(Where(0x100), "software demoted");
  EXPECT_EQ(Where(0x101), "crypto promoted");
  Intervals(6, 10, 10);
  EXPECT_EQ(Where(0x101), "crypto promoted");
}

TEST_F(SchedulerTest, NobodyLosesASlotSoonAndAPinnedOneNever) {
  Add(Offloaded(0x100));
  Add(Offloaded(0x101));
  Intervals(2, 0, 100);
  EXPECT_EQ(Where(0x100), "crypto requested") << "it has been there for two seconds only";
  Override({.spi = Spi(0x100), .mode = PlacementMode::kCrypto, .device = "nic0", .pinned = true});
  Intervals(10, 0, 100);
  EXPECT_EQ(Where(0x100), "crypto requested");
  EXPECT_TRUE(Placement(0x100).pinned);
}

TEST_F(SchedulerTest, AFreeSlotGoesToWhoWaits) {
  Add(Offloaded(0x100));
  Add(Offloaded(0x101));
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x100), {}).has_value());
  Settle();
  for (int i = 0; i < 3; ++i) {
    Use(0x101, 5);
    Pass(1);
  }
  EXPECT_EQ(Where(0x101), "crypto promoted");
}

// --- As the kernel does ---

class KernelLossTest : public PlacementControlTest {
 protected:
  KernelLossTest()
      : PlacementControlTest(4, PlacementMode::kCrypto, [](ControlPlaneParams* params) {
          params->devices[0].terms.loss = DeviceLoss::kKernel;
        }) {}
};

TEST_F(KernelLossTest, DownIsNoReasonToDelete) {
  Add(Offloaded(0x100));
  nic_.SetOffloadUp(false);
  control_->OnBell();
  EXPECT_EQ(Where(0x100), "software device-down");
}

// --- Ledger ---

// Checks the device when the ledger reports a key, and refuses some keys.
class Witness final : public LedgerSink {
 public:
  void OnPlacement(const PlacementEntry&) override {}
  Status OnKeyGiven(uint64_t, const KeyEntry& entry) override {
    held_then = nic->records()->HeldSas().size();
    asked.push_back(entry.holder_kind);
    return entry.holder_kind == refuse ? Status(MakeError(Errc::kNoSpace, "no room")) : Status();
  }
  void OnKeyEnded(uint64_t, const KeyEntry&) override {}

  const OffloadDevice* nic = nullptr;
  std::string refuse;
  std::size_t held_then = 0;
  std::vector<std::string> asked;
};

struct WitnessHolder {
  Witness witness_;
};
class RecordTest : protected WitnessHolder, public PlacementControlTest {
 protected:
  RecordTest()
      : PlacementControlTest(4, PlacementMode::kCrypto, [this](ControlPlaneParams* params) {
          params->ledger = std::make_shared<Ledger>(params->clock);
          params->ledger->AddSink(&witness_);
        }) {
    witness_.nic = &nic_;
  }
};

TEST_F(RecordTest, AKeyIsOnRecordBeforeTheDeviceHasIt) {
  Add(Offloaded(0x100));
  EXPECT_EQ(witness_.asked, (std::vector<std::string>{"device", "engine"}));
  EXPECT_EQ(nic_.HeldSas().size(), 1u);
  witness_.asked.clear();
  witness_.refuse = "engine";
  EXPECT_FALSE(control_->AddSa(Offloaded(0x101), {}));
  EXPECT_EQ(witness_.held_then, 2u);
}

TEST_F(RecordTest, WhatCannotBeRecordedIsNotGivenToADevice) {
  witness_.refuse = "device";
  Add(Offloaded(0x100));
  EXPECT_EQ(Where(0x100), "software not-recorded");
  EXPECT_THAT(nic_.HeldSas(), IsEmpty());
  EXPECT_THAT(nic_.KeyLog(), IsEmpty());
  EXPECT_THAT(control_->ReportLedger({.holder = "nic0"}).keys, IsEmpty());
  witness_.refuse.clear();
  Add(Offloaded(0x101));
  EXPECT_EQ(Where(0x101), "crypto requested");
}

TEST_F(RecordTest, WhatCannotBeRecordedIsNotGivenToAnEngine) {
  witness_.refuse = "engine";
  const Status refused = control_->AddSa(MakeSpec({.spi = 0x100}), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kNoSpace);
  EXPECT_THAT(control_->ReportLedger({}).keys, IsEmpty());
  EXPECT_EQ(control_->GetSadInfo().count, 0u);
}

TEST_F(PlacementControlTest, TheLedgerNamesEveryHolderUntilTheKeyIsErased) {
  Add(Offloaded(0x100));
  LedgerReport report = control_->ReportLedger({.spi = Spi(0x100)});
  ASSERT_THAT(report.keys, SizeIs(2));
  EXPECT_EQ(report.keys[0].holder_kind + report.keys[1].holder_kind, "deviceengine");
  for (const KeyEntry& key : report.keys) EXPECT_EQ(key.until_ms, 0u);
  EXPECT_THAT(control_->ReportLedger({.holder = "nic0"}).keys, SizeIs(1));
  EXPECT_THAT(control_->ReportLedger({.spi = Spi(0x999)}).keys, IsEmpty());

  clock_.wall_seconds += 5;
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", false).has_value());
  Settle();
  report = control_->ReportLedger({.holder = "nic0"});
  ASSERT_THAT(report.keys, SizeIs(1));
  EXPECT_TRUE(report.keys[0].erased);
  EXPECT_EQ(report.keys[0].until_ms, report.keys[0].from_ms + 5000);
  EXPECT_THAT(control_->ReportLedger({.holder = "nic0", .only_current = true}).keys, IsEmpty());

  ASSERT_TRUE(control_->DeleteSa(IdOf(0x100), {}).has_value());
  Settle();
  for (const KeyEntry& key : control_->ReportLedger({}).keys) EXPECT_TRUE(key.erased) << key.holder;
  EXPECT_EQ(control_->ReportLedger({}).placements.back().effective, "removed");
}

// --- Explain ---

TEST_F(PlacementControlTest, ExplainAnswersPerRequirementAndInstallsNothing) {
  ExplainQuery query{.device = "nic0", .aead = "rfc4106(gcm(aes))"};
  auto report = control_->ExplainOffload(query);
  ASSERT_TRUE(report.has_value());
  ASSERT_THAT(report->verdicts, SizeIs(2));
  EXPECT_TRUE(report->verdicts[0].offloaded && report->verdicts[1].offloaded);
  for (const ExplainRow& row : report->rows) EXPECT_TRUE(row.ok) << row.requirement;

  query.icv_bits = 96;
  query.encap = true;
  query.half = Half::kInbound;
  report = control_->ExplainOffload(query);
  std::vector<std::string> lacks;
  for (const ExplainRow& row : report->rows) {
    if (!row.ok) lacks.push_back(row.reason);
  }
  EXPECT_THAT(lacks, ElementsAre("no-capability:udp-encapsulation", "no-capability:icv-96"));
  EXPECT_EQ(report->verdicts[0].effective, "software");
  query.offload = PlacementMode::kRequired;
  EXPECT_EQ(control_->ExplainOffload(query)->verdicts[0].effective, "refused");
  EXPECT_THAT(nic_.HeldSas(), IsEmpty());
  EXPECT_EQ(nic_.offload_stats().refusals, 0u);
}

TEST_F(PlacementControlTest, ExplainRefusesWhatItCannotUnderstand) {
  EXPECT_FALSE(control_->ExplainOffload({.device = "nic0"}).has_value());
  EXPECT_FALSE(control_->ExplainOffload({.device = "nic0", .aead = "rot13"}).has_value());
  EXPECT_FALSE(
      control_->ExplainOffload({.device = "nic7", .aead = "rfc4106(gcm(aes))"}).has_value());
  EXPECT_FALSE(
      control_->ExplainOffload({.device = "nic0", .aead = "rfc4106(gcm(aes))", .key_bits = 100})
          .has_value());
}

}  // namespace
}  // namespace cygnet
