// ACQUIRE by traffic: one per tuple, until it is answered.
#include <gtest/gtest.h>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::ControlPlaneTest;
using test::Events;
using test::MakePolicy;
using test::MakeSpec;
using test::SaOptions;
using test::TemplateFor;

class AcquireTest : public ControlPlaneTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(control_
                    ->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                           {TemplateFor(SaOptions{})}),
                                {})
                    .has_value());
    recorder_.Take();
  }
  // `cpu`: that it is on.
  void TrafficWithoutSa(std::optional<uint32_t> cpu = std::nullopt) {
    const DataPathEvent event{.kind = DataPathEvent::Kind::kAcquire,
                              .policy_number = path_.spd.List()[0]->number,
                              .flow = {.saddr = test::Ip("10.1.0.1"),
                                       .daddr = test::Ip("10.2.0.1"),
                                       .family = IpFamily::kV4},
                              .cpu = cpu};
    path_.events[0]->Push({&event, 1});
    control_->OnBell();
  }
};

TEST_F(AcquireTest, AsksOncePerTupleUntilTheLarvalStateIsGone) {
  TrafficWithoutSa();
  TrafficWithoutSa();
  EXPECT_EQ(recorder_.Take(), Events{"acquire 1"});
  EXPECT_EQ(control_->GetSadInfo().count, 1u);
  Pass(30);
  recorder_.Take();
  TrafficWithoutSa();
  EXPECT_EQ(recorder_.Take(), Events{"acquire 2"});
}

// RFC 9611, kernel: xfrm_state_find. The first SA is for all CPUs; then each CPU that sends asks
// for its own.
class CpuAcquireTest : public AcquireTest {
 protected:
  void SetUp() override {
    PolicySpec policy =
        MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})});
    policy.flags = kPolicyCpuAcquire;
    ASSERT_TRUE(control_->AddPolicy(std::move(policy), {}).has_value());
    recorder_.Take();
  }
  void AddSaOf(uint32_t spi, std::optional<uint32_t> cpu) {
    SaSpec spec = MakeSpec({.spi = spi, .direction = SaDirection::kOut});
    spec.rare.Set(&SaRare::cpu, cpu);
    ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
    recorder_.Take();
  }
  PolicyId IdOfPolicy() const { return cygnet::IdOf(path_.spd.List()[0]->spec); }
  std::optional<uint32_t> NewestCpu() const { return control_->ListSas()[0]->spec().rare->cpu; }
};

TEST_F(CpuAcquireTest, EachCpuAsksForItsOwnSaOnceThereIsOneForAll) {
  TrafficWithoutSa(1);
  EXPECT_EQ(recorder_.Take(), Events{"acquire 1"});
  EXPECT_EQ(NewestCpu(), std::nullopt);
  AddSaOf(0x100, std::nullopt);
  EXPECT_EQ(control_->GetSadInfo().count, 1u) << "the first ACQUIRE is answered";
  TrafficWithoutSa(1);
  EXPECT_EQ(recorder_.Take(), Events{"acquire 2 cpu 1"});
  EXPECT_EQ(NewestCpu(), 1u);
  TrafficWithoutSa(1);
  EXPECT_EQ(recorder_.Take(), Events{}) << "it is under way";
  TrafficWithoutSa(0);
  EXPECT_EQ(recorder_.Take(), Events{"acquire 3 cpu 0"});
  AddSaOf(0x200, 1);
  EXPECT_EQ(control_->GetSadInfo().count, 3u) << "the state of CPU 0 is still there";
  TrafficWithoutSa(1);
  EXPECT_EQ(recorder_.Take(), Events{}) << "it has one";
}

TEST_F(CpuAcquireTest, WithoutTheFlagTheSaForAllIsEnough) {
  ASSERT_TRUE(control_->DeletePolicy(IdOfPolicy(), {}).has_value());
  AcquireTest::SetUp();
  AddSaOf(0x100, std::nullopt);
  TrafficWithoutSa(1);
  EXPECT_EQ(recorder_.Take(), Events{});
}

// Issue 13, 48. The daemon reserves an SPI in the state that the ACQUIRE made, or in its own.
TEST_F(AcquireTest, AnSpiReservedForTheTupleIsAnAnswerOnItsWay) {
  TrafficWithoutSa();
  SpiRequest request{.spec = MakeSpec(), .min = 0x300, .max = 0x300, .larval_lifetime_seconds = 30};
  request.spec.acquire_seq = 1;
  ASSERT_TRUE(control_->AllocateSpi(std::move(request)).has_value());
  TrafficWithoutSa();
  EXPECT_EQ(recorder_.Take(), Events{"acquire 1"});
  Pass(30);
  recorder_.Take();
  SpiRequest own{.spec = MakeSpec(), .min = 0x301, .max = 0x301, .larval_lifetime_seconds = 30};
  ASSERT_TRUE(control_->AllocateSpi(std::move(own)).has_value());
  TrafficWithoutSa();
  EXPECT_EQ(recorder_.Take(), Events{});
  Pass(30);
  recorder_.Take();
  TrafficWithoutSa();
  EXPECT_EQ(recorder_.Take(), Events{"acquire 2"});
}

// The opposite direction is another SA: packets there still cause an ACQUIRE.
TEST_F(AcquireTest, AnSpiReservedForTheWayBackIsNot) {
  SpiRequest back{.spec = MakeSpec({.src = "192.0.2.2", .dst = "192.0.2.1"}),
                  .min = 0x300,
                  .max = 0x300,
                  .larval_lifetime_seconds = 30};
  ASSERT_TRUE(control_->AllocateSpi(std::move(back)).has_value());
  TrafficWithoutSa();
  EXPECT_EQ(recorder_.Take(), Events{"acquire 1"});
}

TEST_F(AcquireTest, WithoutAListenerNoLarvalStateIsMade) {
  recorder_.listening = false;
  TrafficWithoutSa();
  EXPECT_TRUE(recorder_.events.empty());
  EXPECT_EQ(control_->GetSadInfo().count, 0u);
}

TEST_F(AcquireTest, TheSaThatAnswersTakesTheLarvalStateAway) {
  TrafficWithoutSa();
  SaSpec spec = MakeSpec({.spi = 0x100});
  spec.acquire_seq = 1;
  ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
  EXPECT_EQ(control_->GetSadInfo().count, 1u);
  EXPECT_EQ(recorder_.Take(), (Events{"acquire 1", "sa-added"}));
}

}  // namespace
}  // namespace cygnet
