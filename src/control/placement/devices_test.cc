// The state of devices, over a real software NIC.
#include "control/placement/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/sim_nic/sim_nic.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

class PlacementDevicesTest : public testing::Test {
 protected:
  PacketPools pools_{64, 2};
  test::FakeClock clock_;
  DataPath path_{1};
  EngineSet engines_ = *EngineSet::ForCpu("openssl");
  SimNic nic_{"nic0",  std::make_unique<MemoryPort>("wire0"), 1, &pools_,
              nullptr, SimNicOptions{.sa_limit = 2}};
  PlacementDevices devices_{
      {{.name = "nic0", .ifindex = 7, .offload = &nic_}, {.name = "plain", .ifindex = 8}},
      &path_,
      &engines_,
      nullptr,
      &clock_};
  PlacementDevicesTest() { (void)devices_.RunSelfTest(0); }
};

TEST_F(PlacementDevicesTest, GetsNoSaBeforeItsSelfTest) {
  PlacementDevices fresh{
      {{.name = "nic0", .ifindex = 7, .offload = &nic_}}, &path_, &engines_, nullptr, &clock_};
  EXPECT_FALSE(fresh.Usable(0));
  EXPECT_EQ(fresh.Inputs()[0].away->code, ReasonCode::kUntested);
  EXPECT_TRUE(fresh.RunSelfTest(0).ran);
  EXPECT_TRUE(fresh.Usable(0));
  EXPECT_EQ(fresh.Inputs()[0].away, std::nullopt);
}

TEST_F(PlacementDevicesTest, SelfTestIsDueAfterEachResetAndWhenEnabled) {
  EXPECT_FALSE(devices_.AwaitsSelfTest(0));
  ASSERT_TRUE(nic_.InjectFault("reset 0"));
  EXPECT_TRUE(devices_.AwaitsSelfTest(0));
  (void)devices_.RunSelfTest(0);
  EXPECT_TRUE(devices_.PollState(0)->lost_tables);
  EXPECT_FALSE(devices_.AwaitsSelfTest(0)) << "it has been tested since";
  nic_.SetOffloadUp(false);
  EXPECT_FALSE(devices_.AwaitsSelfTest(0)) << "it cannot be tested now";
  nic_.SetOffloadUp(true);
  EXPECT_FALSE(devices_.AwaitsSelfTest(0)) << "it was only stopped";
  devices_.SetEnabled(0, true);
  EXPECT_TRUE(devices_.AwaitsSelfTest(0));
}

// A look-aside engine that has failed, answers wrongly or lies gets no keys; the reason names it.
TEST_F(PlacementDevicesTest, AnEngineThatCannotBeUsedGetsNoKeys) {
  class Scripted final : public CryptoEngine {
   public:
    std::string_view name() const override { return "scripted"; }
    bool Supports(const AlgorithmDescriptor&, const AlgorithmDescriptor*) const override {
      return false;
    }
    Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams&) override {
      return MakeError(Errc::kNotSupported, "none");
    }
    std::unique_ptr<CryptoQueue> CreateQueue(uint32_t) override { return nullptr; }
    std::string failure() const override { return why; }
    std::string why;
  };
  static const EngineInfo info = {.name = "scripted",
                                  .help = "",
                                  .kind = EngineKind::kLookAside,
                                  .probe = [] { return 1; },
                                  .create = nullptr,
                                  .version = nullptr};
  EngineSet engines = *EngineSet::ForCpu("openssl");
  auto made = std::make_unique<Scripted>();
  Scripted* engine = made.get();
  engines.Add(&info, std::move(made));
  const uint32_t number = engines.size() - 1;
  PlacementDevices devices{{}, &path_, &engines, nullptr, &clock_};
  EXPECT_EQ(devices.engine_denied()[number], std::nullopt);
  engine->why = "it reports that it has failed";
  EXPECT_TRUE(devices.RefreshGate());
  EXPECT_EQ(devices.engine_denied()[number]->code, ReasonCode::kDeviceFailed);
  EXPECT_EQ(devices.engine_denied()[number]->detail, "it reports that it has failed");
  engine->why.clear();
  EXPECT_TRUE(devices.RefreshGate());
  EXPECT_EQ(devices.engine_failure(number), "");
  path_.engine_jobs[0]->unsealed[number].store(3);
  EXPECT_EQ(devices.PollEngine(number), 3u);
  EXPECT_EQ(devices.PollEngine(number), 0u);
  EXPECT_TRUE(devices.RefreshGate());
  EXPECT_THAT(devices.engine_failure(number), testing::HasSubstr("sealed that were not"));
  EXPECT_EQ(devices.engine_denied()[0], std::nullopt) << "the CPU's engine stays";
}

TEST_F(PlacementDevicesTest, AreFoundByNameAndByDevice) {
  EXPECT_EQ(devices_.Named("plain"), 1u);
  EXPECT_EQ(devices_.Named("nic9"), std::nullopt);
  EXPECT_EQ(devices_.NumberOf(&nic_), 0u);
}

TEST_F(PlacementDevicesTest, WithoutOffloadNothingIsUsable) {
  EXPECT_TRUE(devices_.Usable(0));
  EXPECT_FALSE(devices_.Usable(1));
}

TEST_F(PlacementDevicesTest, ChangeIsReportedOnce) {
  EXPECT_EQ(devices_.PollState(0), std::nullopt);
  nic_.SetOffloadUp(false);
  const auto down = devices_.PollState(0);
  ASSERT_TRUE(down.has_value());
  EXPECT_EQ(down->state, DeviceState::kDown);
  EXPECT_FALSE(down->lost_tables);
  EXPECT_FALSE(devices_.PollState(0).has_value());
  EXPECT_FALSE(devices_.Usable(0));
  EXPECT_FALSE(devices_.PollState(1).has_value()) << "it has no device";
}

TEST_F(PlacementDevicesTest, LiarIsAwayUntilTheOperatorEnablesIt) {
  EXPECT_TRUE(devices_.MarkLied(0, "it lied"));
  EXPECT_FALSE(devices_.MarkLied(0, "again")) << "no news";
  EXPECT_EQ(devices_.Inputs()[0].away->detail, "it lied");
  EXPECT_EQ(devices_.Inputs()[0].away->code, ReasonCode::kDeviceFailed);
  EXPECT_FALSE(devices_.Usable(0));
  devices_.SetEnabled(0, true);
  EXPECT_EQ(devices_.Inputs()[0].away->code, ReasonCode::kUntested);
  (void)devices_.RunSelfTest(0);
  EXPECT_EQ(devices_.Inputs()[0].away, std::nullopt);
  EXPECT_TRUE(devices_.Usable(0));
}

TEST_F(PlacementDevicesTest, TermsMayChangeAndTrustFollows) {
  const std::vector<DeviceTerms> terms{{.mode = PlacementMode::kAuto, .trusted = false}, {}};
  EXPECT_FALSE(devices_.AnyIsAuto());
  devices_.SetTerms(terms);
  EXPECT_TRUE(devices_.AnyIsAuto());
  EXPECT_TRUE(devices_.RefreshGate());
  EXPECT_FALSE(devices_.RefreshGate()) << "no news";
  EXPECT_EQ(devices_.Inputs()[0].denied->code, ReasonCode::kNotTrusted);
}

TEST_F(PlacementDevicesTest, LastEngineOfTheCpuStays) {
  for (uint32_t e = 0; e < engines_.size(); ++e) {
    const std::string name(engines_[e].info->name);
    if (name == "openssl") continue;
    EXPECT_TRUE(devices_.SetEngineEnabled(name, false));
    (void)devices_.RefreshGate();
  }
  const Status last = devices_.SetEngineEnabled("openssl", false);
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, Errc::kBusy);
  EXPECT_EQ(devices_.SetEngineEnabled("abacus", false).error().code, Errc::kNoDevice);
}

}  // namespace
}  // namespace cygnet
