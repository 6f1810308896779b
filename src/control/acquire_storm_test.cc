// The load that any process of this host can cause by sending packets that have no SA yet.
#include <gtest/gtest.h>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::MakePolicy;

class AcquireStormTest : public test::ControlPlaneTest {
 protected:
  AcquireStormTest()
      : ControlPlaneTest(2, PlacementMode::kCrypto, [](ControlPlaneParams* params) {
          params->larval_limits = {.per_policy = 20, .total = 30};
        }) {
    AddPolicyTo("10.2.0.0/16");
    AddPolicyTo("10.3.0.0/16");
  }

  // Transport mode: each destination needs its own SA.
  void AddPolicyTo(const std::string& destination) {
    Template wanted = test::TemplateFor(test::SaOptions{});
    wanted.mode = static_cast<uint8_t>(SaMode::kTransport);
    ASSERT_TRUE(
        control_
            ->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", destination, {wanted}), {})
            .has_value());
  }
  DataPathEvent WithoutSa(std::size_t policy, uint32_t host) {
    DataPathEvent event{
        .kind = DataPathEvent::Kind::kAcquire,
        .policy_number = path_.spd.List()[1 - policy]->number,
        .flow = {.saddr = test::Ip("10.1.0.1"), .daddr = {}, .family = IpFamily::kV4}};
    event.flow.daddr = test::Ip(policy == 0 ? "10.2.0.0" : "10.3.0.0");
    event.flow.daddr.bytes[2] = static_cast<uint8_t>(host >> 8);
    event.flow.daddr.bytes[3] = static_cast<uint8_t>(host);
    return event;
  }
  void Send(std::size_t policy, uint32_t hosts) {
    for (uint32_t i = 0; i < hosts; ++i) {
      const DataPathEvent event = WithoutSa(policy, i);
      path_.events[0]->Push({&event, 1});
      control_->OnBell();
    }
  }
  uint32_t Count() { return control_->GetSadInfo().count; }
};

TEST_F(AcquireStormTest, LarvalStatesAreBoundedByPolicyAndInAll) {
  Send(0, 1000);
  EXPECT_EQ(Count(), 20u);
  EXPECT_EQ(recorder_.Take().size(), 2u + 20u) << "no ACQUIRE without a larval state";
  EXPECT_EQ(control_->acquires_refused(), 980u);
  Send(1, 1000);
  EXPECT_EQ(Count(), 30u) << "another policy has what is left";
  Pass(30);
  EXPECT_EQ(Count(), 0u);
  Send(1, 1000);
  EXPECT_EQ(Count(), 20u) << "room again once they are gone";
}

TEST_F(AcquireStormTest, AnsweredLarvalMakesRoom) {
  Send(0, 20);
  SaSpec spec = test::MakeSpec({.spi = 0x100});
  spec.acquire_seq = 1;
  spec.daddr = WithoutSa(0, 0).flow.daddr;
  ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
  EXPECT_EQ(Count(), 20u);  // 19 larval, and the SA
  Send(0, 100);
  EXPECT_EQ(Count(), 21u);
}

TEST_F(AcquireStormTest, EstablishedFlowsAreLeftAlone) {
  const uint64_t generation = path_.generation();
  Send(0, 100);
  Pass(30);
  EXPECT_EQ(Count(), 0u);
  EXPECT_EQ(path_.generation(), generation) << "no cache was voided";
  ASSERT_TRUE(control_->AddSa(test::MakeSpec({.spi = 0x100}), {}).has_value());
  EXPECT_GT(path_.generation(), generation);
}

TEST_F(AcquireStormTest, OneTurnTakesAPart) {
  for (uint32_t i = 0; i < 500; ++i) {
    const DataPathEvent event = WithoutSa(0, 0);
    path_.events[0]->Push({&event, 1});
  }
  const std::size_t before = path_.events[0]->Room();
  control_->OnBell();
  EXPECT_EQ(path_.events[0]->Room() - before, 64u);
  EXPECT_TRUE(control_->DoSome()) << "the loop comes back at once";
  for (int turn = 0; turn < 8; ++turn) control_->OnBell();
  EXPECT_TRUE(path_.events[0]->Empty());
  EXPECT_FALSE(control_->DoSome());
}

TEST_F(AcquireStormTest, TimesOfManySasAreCheckedInParts) {
  for (uint32_t spi = 1; spi <= 5000; ++spi) {
    SaSpec spec = test::MakeSpec({.spi = spi});
    spec.limits.Change()->hard_add_seconds = 10;
    ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
  }
  recorder_.Take();
  Pass(10);
  EXPECT_EQ(Count(), 5000u - 2048u);
  EXPECT_TRUE(control_->DoSome());
  EXPECT_FALSE(control_->DoSome());
  EXPECT_EQ(Count(), 0u);
  EXPECT_EQ(recorder_.Take().size(), 5000u);
}

}  // namespace
}  // namespace cygnet
