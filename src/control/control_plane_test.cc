// The control plane over a real data path and a real software NIC, with a clock that tests move.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::ControlPlaneTest;
using test::Events;
using test::kNic0;
using test::MakePolicy;
using test::MakeSpec;
using test::SaOptions;
using test::TemplateFor;

TEST_F(ControlPlaneTest, AddTellsListenersAndRefusesTheSameIdentity) {
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {.seq = 5, .pid = 9}).has_value());
  EXPECT_EQ(recorder_.Take(), Events{"sa-added"});
  EXPECT_EQ(recorder_.origins.back().pid, 9u);
  const Status again = control_->AddSa(MakeSpec({.spi = 0x100}), {});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Errc::kExists);
  EXPECT_TRUE(recorder_.events.empty());
}

TEST_F(ControlPlaneTest, DeletingAndGettingAMissingSaIsEsrch) {
  EXPECT_EQ(control_->DeleteSa(IdOf(1), {}).error().code, Errc::kNoSuchProcess);
  EXPECT_EQ(control_->GetSa(IdOf(1)).error().code, Errc::kNoSuchProcess);
  EXPECT_EQ(control_->UpdateSa(MakeSpec({.spi = 1}), {}).error().code, Errc::kNoSuchProcess);
  EXPECT_EQ(control_->ExpireSa(IdOf(1), true).error().code, Errc::kNoEntry);
  EXPECT_TRUE(recorder_.events.empty());
}

TEST_F(ControlPlaneTest, UpdateOfALarvalStateReplacesItWhole) {
  SpiRequest request{.spec = MakeSpec({.mode = SaMode::kTransport}), .min = 0x500, .max = 0x500};
  const auto larval = control_->AllocateSpi(std::move(request));
  ASSERT_TRUE(larval.has_value());
  EXPECT_EQ((*larval)->state(), SaState::kLarval);
  EXPECT_EQ(control_->AddSa(MakeSpec({.spi = 0x500}), {}).error().code, Errc::kExists);
  ASSERT_TRUE(control_->UpdateSa(MakeSpec({.spi = 0x500}), {}).has_value());
  EXPECT_EQ(recorder_.Take(), Events{"sa-updated"});
  EXPECT_EQ((*control_->GetSa(IdOf(0x500)))->state(), SaState::kValid);
  EXPECT_EQ(control_->GetSadInfo().count, 1u);
}

TEST_F(ControlPlaneTest, UpdateOfAValidSaChangesLimitsAndKeepsTheKey) {
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {}).has_value());
  SaSpec changed = MakeSpec({.spi = 0x100, .key_bytes = 32});
  changed.limits.Change()->hard_packets = 9;
  ASSERT_TRUE(control_->UpdateSa(std::move(changed), {}).has_value());
  const auto sa = *control_->GetSa(IdOf(0x100));
  EXPECT_EQ(sa->spec().aead.key.size(), 20u);
  EXPECT_EQ(sa->lifetime().limits().hard_packets, 9u);
}

TEST_F(ControlPlaneTest, SpiAllocationIsUniqueAndSaysWhenTheRangeIsUsedUp) {
  const auto allocate = [&](uint32_t min, uint32_t max) {
    return control_->AllocateSpi({.spec = MakeSpec({.reqid = 0}), .min = min, .max = max});
  };
  std::set<uint32_t> seen;
  for (int i = 0; i < 4; ++i) {
    const auto sa = allocate(0x300, 0x303);
    ASSERT_TRUE(sa.has_value());
    seen.insert((*sa)->spec().spi.value);
  }
  EXPECT_EQ(seen.size(), 4u);
  EXPECT_EQ(allocate(0x300, 0x303).error().code, Errc::kNoEntry);
  EXPECT_EQ(allocate(0, 0).error().code, Errc::kNoEntry);
}

TEST_F(ControlPlaneTest, LarvalStateExpiresWithoutADeleteEvent) {
  ASSERT_TRUE(
      control_
          ->AllocateSpi(
              {.spec = MakeSpec(), .min = 0x300, .max = 0x300, .larval_lifetime_seconds = 30})
          .has_value());
  Pass(29);
  EXPECT_EQ(control_->GetSadInfo().count, 1u);
  Pass(1);
  EXPECT_EQ(control_->GetSadInfo().count, 0u);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"});
}

TEST_F(ControlPlaneTest, TimeLimitsExpireSoftOnceThenHard) {
  SaSpec spec = MakeSpec({.spi = 0x100});
  spec.limits.Change()->soft_add_seconds = 10;
  spec.limits.Change()->hard_add_seconds = 20;
  ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
  recorder_.Take();
  Pass(10);
  Pass(5);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired soft"});
  EXPECT_EQ((*control_->GetSa(IdOf(0x100)))->state(), SaState::kDying);
  Pass(5);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"});
  EXPECT_FALSE(control_->GetSa(IdOf(0x100)).has_value());
}

TEST_F(ControlPlaneTest, LimitsReachedByTrafficArriveAsEvents) {
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {}).has_value());
  recorder_.Take();
  const uint64_t number = (*control_->GetSa(IdOf(0x100)))->number;
  const DataPathEvent soft{.kind = DataPathEvent::Kind::kSoftLimit, .sa_number = number};
  const DataPathEvent hard{.kind = DataPathEvent::Kind::kHardLimit, .sa_number = number};
  path_.events[0]->Push({&soft, 1});
  path_.events[0]->Push({&hard, 1});
  path_.events[0]->Push({&hard, 1});  // a second worker saw it, too
  control_->OnBell();
  EXPECT_EQ(recorder_.Take(), (Events{"sa-expired soft", "sa-expired hard"}));
}

TEST_F(ControlPlaneTest, FlushTellsOnceAndOnlyWhenThereWasSomething) {
  EXPECT_FALSE(control_->FlushSas(0, {}));
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {}).has_value());
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x101}), {}).has_value());
  recorder_.Take();
  EXPECT_FALSE(control_->FlushSas(kProtoAh, {}));
  EXPECT_TRUE(control_->FlushSas(kProtoEsp, {}));
  EXPECT_EQ(recorder_.Take(), Events{"sa-flushed"});
  EXPECT_EQ(control_->GetSadInfo().count, 0u);
}

// --- Policies ---

TEST_F(ControlPlaneTest, PolicyIdentityIgnoresThePriority) {
  ASSERT_TRUE(
      control_->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16"), {})
          .has_value());
  PolicySpec other =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kBlock, 7);
  const PolicyId id{.selector = other.selector};
  EXPECT_EQ(control_->AddPolicy(other, {}).error().code, Errc::kExists);
  const uint32_t index = control_->GetPolicy(id)->spec.index;
  ASSERT_TRUE(control_->UpdatePolicy(other, {}).has_value());
  EXPECT_EQ(control_->GetPolicy(id)->spec.index, index);
  EXPECT_EQ(control_->GetPolicy(id)->spec.action, PolicyAction::kBlock);
  EXPECT_EQ(control_->GetSpdInfo().count[1], 1u);
  EXPECT_EQ(recorder_.Take(), (Events{"policy-added", "policy-updated"}));
}

TEST_F(ControlPlaneTest, PolicyTimeLimitsExpireSoftEveryHalfMinuteThenHard) {
  PolicySpec spec = MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16");
  spec.limits.Change()->soft_add_seconds = 10;
  spec.limits.Change()->hard_add_seconds = 60;
  ASSERT_TRUE(control_->AddPolicy(spec, {}).has_value());
  recorder_.Take();
  Pass(10);
  Pass(10);
  EXPECT_EQ(recorder_.Take(), Events{"policy-expired soft"});
  Pass(20);
  EXPECT_EQ(recorder_.Take(), Events{"policy-expired soft"});
  Pass(20);
  EXPECT_EQ(recorder_.Take(), Events{"policy-expired hard"});
  EXPECT_EQ(control_->GetSpdInfo().count[0], 0u);
}

TEST_F(ControlPlaneTest, PolicyFlushIsOfOneTypeAndSilentWhenEmpty) {
  PolicySpec sub = MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16");
  sub.type = PolicyType::kSub;
  ASSERT_TRUE(control_->AddPolicy(sub, {}).has_value());
  recorder_.Take();
  EXPECT_FALSE(*control_->FlushPolicies(PolicyType::kMain, {}));
  EXPECT_TRUE(*control_->FlushPolicies(PolicyType::kSub, {}));
  EXPECT_EQ(recorder_.Take(), Events{"policy-flushed"});
}

// --- Placement ---

TEST_F(ControlPlaneTest, OffloadedSaHoldsASlotAndItsKeyGoesWithIt) {
  ASSERT_TRUE(control_->AddSa(Offloaded(0x100), {}).has_value());
  EXPECT_EQ(Placement(0x100).effective, "crypto");
  EXPECT_EQ(Placement(0x100).reason, "requested");
  EXPECT_EQ(nic_.HeldSas().size(), 1u);
  EXPECT_TRUE(control_->Inspect(**control_->GetSa(IdOf(0x100))).offload.has_value());
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x100), {}).has_value());
  path_.quiescence.Collect();
  EXPECT_TRUE(nic_.HeldSas().empty());
}

TEST_F(ControlPlaneTest, PlacementOfIsShort) {
  ASSERT_TRUE(control_->AddSa(Offloaded(0x100), {}).has_value());
  const SaId id = IdOf(0x100);
  EXPECT_EQ(control_->PlacementOf(id.spi, id.daddr, id.family, Half::kOutbound),
            "crypto nic0 (requested)");
  EXPECT_EQ(control_->PlacementOf(id.spi, id.daddr, IpFamily::kV6, Half::kOutbound), "");
  EXPECT_EQ(control_->PlacementOf(Spi{0x999}, id.daddr, id.family, Half::kOutbound), "");
}

TEST_F(ControlPlaneTest, FullTableMeansSoftwareWithTheReason) {
  for (const uint32_t spi : {0x100u, 0x101u, 0x102u}) {
    ASSERT_TRUE(control_->AddSa(Offloaded(spi), {}).has_value());
  }
  EXPECT_EQ(Placement(0x101).effective, "crypto");
  EXPECT_EQ(Placement(0x102).effective, "software");
  EXPECT_EQ(Placement(0x102).requested, "crypto");
  EXPECT_EQ(Placement(0x102).reason, "table-full");
  EXPECT_FALSE(control_->Inspect(**control_->GetSa(IdOf(0x102))).offload.has_value());
  EXPECT_EQ(nic_.offload_stats().refusals, 1u);
}

TEST_F(ControlPlaneTest, AMissingCapabilityIsNamedAndNoKeyIsHandedOver) {
  ASSERT_TRUE(control_->AddSa(Offloaded(0x100, false, 12), {}).has_value());
  EXPECT_EQ(Placement(0x100).reason, "no-capability:icv-96");
  EXPECT_TRUE(nic_.HeldSas().empty());
}

TEST_F(ControlPlaneTest, AnUnknownDeviceAndADownDeviceMeanSoftware) {
  SaSpec elsewhere = Offloaded(0x100);
  elsewhere.offload->ifindex = 99;
  ASSERT_TRUE(control_->AddSa(std::move(elsewhere), {}).has_value());
  EXPECT_EQ(Placement(0x100).reason, "device-unknown");
  nic_.SetOffloadUp(false);
  ASSERT_TRUE(control_->AddSa(Offloaded(0x101), {}).has_value());
  EXPECT_EQ(Placement(0x101).reason, "device-down");
}

TEST_F(ControlPlaneTest, PacketOffloadIsRefusedNeverSoftware) {
  OffloadCaps caps = nic_.caps();
  caps.packet_offload = false;
  nic_.set_caps(caps);
  SaSpec spec = Offloaded(0x100);
  spec.offload->mode = OffloadMode::kPacket;
  const Status status = control_->AddSa(std::move(spec), {});
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Errc::kNotSupported);
  EXPECT_EQ(control_->GetSadInfo().count, 0u);
  EXPECT_TRUE(nic_.HeldSas().empty());
}

TEST_F(ControlPlaneTest, EsnWithoutTheDevicesSupportIsRefusedAsTheKernelDoes) {
  OffloadCaps caps = nic_.caps();
  caps.esn = false;
  nic_.set_caps(caps);
  SaSpec spec = Offloaded(0x100);
  spec.flags |= kSaFlagEsn;
  spec.replay.extended_form = true;
  const Status status = control_->AddSa(std::move(spec), {});
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Errc::kInvalid);
}

class DeviceOffTest : public ControlPlaneTest {
 protected:
  DeviceOffTest() : ControlPlaneTest(2, PlacementMode::kNo) {}
};

TEST_F(DeviceOffTest, ADeviceThatIsSwitchedOffGetsNoKey) {
  ASSERT_TRUE(control_->AddSa(Offloaded(0x100), {}).has_value());
  EXPECT_EQ(Placement(0x100).reason, "device-off");
  EXPECT_TRUE(nic_.HeldSas().empty());
}

class DeviceAutoTest : public ControlPlaneTest {
 protected:
  DeviceAutoTest() : ControlPlaneTest(2, PlacementMode::kAuto) {
    path_.SetHostAddresses({test::Addr("192.0.2.1")});
  }
};

TEST_F(DeviceAutoTest, AnAutoDeviceTakesSasThatDidNotAsk) {
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {}).has_value());
  EXPECT_EQ(Placement(0x100).requested, "auto");
  EXPECT_EQ(Placement(0x100).effective, "crypto");
  EXPECT_EQ(nic_.HeldSas().size(), 1u);  // the outbound half alone: the SA's source is ours
}

// --- Engines ---

TEST_F(ControlPlaneTest, EnginesSayWhatTheyDoAndForHowMany) {
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {}).has_value());
  ASSERT_TRUE(control_->AddSa(Offloaded(0x101), {}).has_value());
  const std::vector<EngineReport> engines = control_->ReportEngines();
  ASSERT_EQ(engines.size(), BuiltinEngines().size());
  EXPECT_EQ(engines[0].name, "openssl");
  EXPECT_EQ(engines[0].kind, "cpu");
  EXPECT_EQ(engines[0].order, 1u);
  EXPECT_GT(engines[0].priority, 0);
  EXPECT_FALSE(engines[0].version.empty());
  EXPECT_EQ(engines[0].module, "OpenSSL default provider " + engines[0].version);
  EXPECT_EQ(engines[0].sa_halves, 2u) << "both of the SA in software, none of the offloaded one";
  EXPECT_EQ(engines[0].algorithms.size(), AllAlgorithms().size());
}

TEST_F(ControlPlaneTest, ReportsThePathMtuAndLateness) {
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {}).has_value());
  const auto sa = *control_->GetSa(IdOf(0x100));
  sa->outbound()->path_mtu.store(1400);
  sa->outbound()->path_mtu_until.store(clock_.WallSeconds() + 600);
  (void)sa->inbound()->replay.Commit(10);
  (void)sa->inbound()->replay.Commit(7);
  const SaReport report = control_->ReportSas().at(0);
  EXPECT_EQ(report.path_mtu, 1400u);
  EXPECT_EQ(report.lateness->accepted[LatenessBucket(3)], 1u);
  EXPECT_EQ(report.lateness->WindowForAll(), 4u);
}

// --- Threads ---

TEST_F(ControlPlaneTest, ChangesWhileAWorkerLooksUp) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> turns{0};
  std::thread worker([&] {
    Quiescence::Reader* reader = path_.readers[0];
    reader->Online();
    const FlowKey flow{
        .saddr = test::Ip("10.1.0.1"), .daddr = test::Ip("10.2.0.1"), .family = IpFamily::kV4};
    const Template tmpl = TemplateFor(SaOptions{});
    while (!stop.load()) {
      reader->Quiescent();
      turns.fetch_add(1, std::memory_order_relaxed);
      if (Policy* policy = path_.spd.Lookup(PolicyDirection::kOut, flow, 0).first) policy->Touch(1);
      OutboundSa* sa = path_.sad.ResolveOutbound({.reqid = tmpl.reqid,
                                                  .mode = SaMode::kTunnel,
                                                  .proto = kProtoEsp,
                                                  .family = IpFamily::kV4,
                                                  .spi = Spi(0),
                                                  .daddr = tmpl.daddr,
                                                  .saddr = tmpl.saddr},
                                                 flow);
      if (sa != nullptr) {
        (void)sa->sequence.Reserve(1);
        const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
        EXPECT_NE(binding->cpu.session, nullptr);
      }
      if (Sa* in = path_.sad.LookupInbound(Spi(0x100), tmpl.daddr, IpFamily::kV4, kProtoEsp)) {
        (void)in->usable();
      }
    }
    reader->Offline();
  });
  const PolicySpec policy =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})});
  for (int round = 0; round < 300 || turns.load() < 20'000; ++round) {
    EXPECT_TRUE(control_->AddSa(Offloaded(0x100), {}).has_value());
    EXPECT_TRUE(control_->AddSa(MakeSpec({.spi = 0x101}), {}).has_value());
    EXPECT_TRUE(control_->AddPolicy(policy, {}).has_value());
    EXPECT_TRUE(control_->DeletePolicy({.selector = policy.selector}, {}).has_value());
    EXPECT_TRUE(control_->FlushSas(0, {}));
    control_->Tick();
  }
  stop.store(true);
  worker.join();
  EXPECT_EQ(path_.quiescence.Collect(), 0u);
  EXPECT_TRUE(nic_.HeldSas().empty());
}

}  // namespace
}  // namespace cygnet
