// One turn's share of the checks of all SAs and policies.
#include "control/walks.h"

#include <gtest/gtest.h>

#include "support/sas_fixture.h"

namespace cygnet {
namespace {

using test::Events;

constexpr std::size_t kMany = 5000;  // more than two turns

class WalksTest : public test::SasFixture {
 protected:
  Policies policies_{&path_, &clock_, &announcer_, &device_policies_, &own_devices_, &tunnels_};
  Walks walks_{{.path = &path_,
                .clock = &clock_,
                .sas = &sas_,
                .policies = &policies_,
                .aevents = &aevents_,
                .keepalives = &keepalives_}};
};

TEST_F(WalksTest, ManySasAreCheckedInTurns) {
  for (uint32_t i = 0; i < kMany; ++i) ASSERT_NE(Reserve(0x1000 + i, 30), nullptr);
  EXPECT_FALSE(walks_.DoSome()) << "nothing is due";
  clock_.wall_seconds += 30;
  walks_.StartTimes();
  EXPECT_TRUE(walks_.DoSome());
  const std::size_t after_one = path_.sad.size();
  EXPECT_LT(after_one, kMany);
  EXPECT_GT(after_one, 0u);
  walks_.StartTimes();  // the next tick comes before the end: the walk continues
  EXPECT_TRUE(walks_.DoSome());
  EXPECT_FALSE(walks_.DoSome());
  EXPECT_EQ(path_.sad.size(), 0u);
}

TEST_F(WalksTest, PolicyThatIsGoneIsNotChecked) {
  PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16");
  spec.limits.Change()->hard_add_seconds = 10;
  ASSERT_TRUE(policies_.Add(spec, {}));
  recorder_.Take();
  clock_.wall_seconds += 10;
  walks_.StartTimes();
  ASSERT_TRUE(policies_.Delete(cygnet::IdOf(spec), {}));
  recorder_.Take();
  EXPECT_FALSE(walks_.DoSome());
  EXPECT_EQ(recorder_.Take(), Events{});
  ASSERT_TRUE(policies_.Add(spec, {}));
  recorder_.Take();
  clock_.wall_seconds += 10;
  walks_.StartTimes();
  EXPECT_FALSE(walks_.DoSome());
  EXPECT_EQ(recorder_.Take(), Events{"policy-expired hard"});
}

TEST_F(WalksTest, TheTimeOfARestoredPolicyGoesOn) {
  PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16");
  spec.limits.Change()->hard_add_seconds = 10;
  ASSERT_TRUE(policies_.Restore(spec, clock_.wall_seconds - 9));
  EXPECT_EQ(policies_.Get(cygnet::IdOf(spec))->usage.add_time, clock_.wall_seconds - 9);
  clock_.wall_seconds += 1;
  recorder_.Take();
  walks_.StartTimes();
  EXPECT_FALSE(walks_.DoSome());
  EXPECT_EQ(recorder_.Take(), Events{"policy-expired hard"});
  ASSERT_TRUE(policies_.Restore(spec, clock_.wall_seconds - 11));
  EXPECT_TRUE(policies_.Get(cygnet::IdOf(spec))) << "for further records about it";
  policies_.CheckTimes();
  EXPECT_FALSE(policies_.Get(cygnet::IdOf(spec))) << "it ended while no process looked";
  ASSERT_TRUE(policies_.Restore(spec, 0));
  EXPECT_TRUE(policies_.Get(cygnet::IdOf(spec))) << "an earlier version wrote no time";
}

TEST_F(WalksTest, TheTimeWithoutUseOfARestoredPolicyBeginsAnew) {
  PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16");
  spec.limits.Change()->hard_use_seconds = 10;
  ASSERT_TRUE(policies_.Restore(spec, clock_.wall_seconds - 100));
  ASSERT_TRUE(policies_.Get(cygnet::IdOf(spec)));
  recorder_.Take();
  clock_.wall_seconds += 10;
  walks_.StartTimes();
  EXPECT_FALSE(walks_.DoSome());
  EXPECT_EQ(recorder_.Take(), Events{"policy-expired hard"});
}

TEST_F(WalksTest, AeventsAreAWalkOfTheirOwn) {
  sas_.SetAeventDefaults({.max_diff = 1, .max_age = 0});
  const auto sa = Add({});
  recorder_.Take();
  sa->outbound()->sequence.AdvanceTo(5);
  walks_.StartTimes();
  EXPECT_FALSE(walks_.DoSome());
  EXPECT_EQ(recorder_.Take(), Events{});
  walks_.StartAevents();
  EXPECT_FALSE(walks_.DoSome());
  EXPECT_EQ(recorder_.Take(), Events{"aevent sequence"});
}

}  // namespace
}  // namespace cygnet
