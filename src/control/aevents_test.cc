// The state that Aevents keeps for each SA; the requests are tested in aevent_test.cc.
#include "control/aevents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_clock.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

// Counts reports.
class Listener final : public ControlListener {
 public:
  void OnControlEvent(const ControlEvent& event, const RequestOrigin&) override {
    causes.push_back(std::get<SaAevent>(event).cause);
  }
  bool WantsAcquire() const override { return true; }
  bool WantsAevents() const override { return true; }
  std::vector<AeventCause> causes;
};

class AeventsTest : public testing::Test {
 protected:
  SaPtr MakeSa(uint64_t number) {
    auto sa = MakeSharedSa(test::MakeSpec(), clock_.WallSeconds(), uint64_t{1});
    sa->number = number;
    return sa;
  }
  test::FakeClock clock_;
  Listener listener_;
  Announcer announcer_{&listener_, nullptr};
  Aevents aevents_{&announcer_, &clock_};
};

TEST_F(AeventsTest, LarvalStateHasNoThresholds) {
  const auto sa = MakeSa(1);
  EXPECT_EQ(aevents_.View(sa).max_diff, 0u);
  aevents_.Follow(*sa, {.max_diff = 5, .max_age = 6});
  EXPECT_EQ(aevents_.View(sa).max_diff, 5u);
  EXPECT_EQ(aevents_.View(sa).max_age, 6u);
  sa->set_state(SaState::kDead);
  aevents_.Forget(1);
  EXPECT_EQ(aevents_.View(sa).max_diff, 0u);
}

TEST_F(AeventsTest, NewSaHasTheDefaultsAndTheAgeOfItsTime) {
  const auto first = MakeSa(1);
  const auto second = MakeSa(2);
  const auto third = MakeSa(4);
  aevents_.Follow(*first, {.max_diff = 5, .max_age = 10});
  clock_.monotonic_ns += 400'000'000;
  aevents_.Follow(*second, {.max_diff = 5, .max_age = 10});
  aevents_.Follow(*third, {.max_diff = 7, .max_age = 20});
  EXPECT_EQ(aevents_.View(first).max_diff, 5u);
  EXPECT_EQ(aevents_.View(second).max_age, 10u);
  EXPECT_EQ(aevents_.View(third).max_diff, 7u);
  for (const auto& sa : {first, second, third}) (void)sa->outbound()->sequence.Reserve(1);
  const auto reports_at = [&](uint64_t milliseconds) {
    listener_.causes.clear();
    const uint64_t now_ns = clock_.monotonic_ns + milliseconds * 1'000'000;
    for (const auto& sa : {first, second, third}) aevents_.Check(sa, now_ns);
    return listener_.causes.size();
  };
  EXPECT_EQ(reports_at(599), 0u);
  EXPECT_EQ(reports_at(600), 1u) << "a second after the first was added";
  EXPECT_EQ(reports_at(999), 0u);
  EXPECT_EQ(reports_at(1000), 1u) << "a second after the other";
  EXPECT_EQ(reports_at(2000), 1u) << "the last SA's slice is longer";
}

TEST_F(AeventsTest, ManySasOfManyTimesAreOfTheAgeThatTheyHad) {
  std::vector<SaPtr> sas;
  for (uint64_t i = 1; i <= 100; ++i) {
    sas.push_back(MakeSa(i));
    aevents_.Follow(*sas.back(), {.max_diff = 5, .max_age = 10});
    (void)sas.back()->outbound()->sequence.Reserve(1);
    clock_.monotonic_ns += 200'000'000;
  }
  for (const auto& sa : sas) aevents_.Check(sa, clock_.monotonic_ns);
  EXPECT_THAT(listener_.causes, testing::SizeIs(96)) << "all but those of the last second";
}

// The time that SAs share is exact enough for the slice of the defaults alone.
TEST_F(AeventsTest, ATimerOfItsOwnBeginsWithTheSa) {
  constexpr uint64_t kMs = 1'000'000;
  uint64_t number = 0;
  for (const uint32_t own : {10u, 100u, 3000u}) {
    for (const uint32_t usual : {0u, 30u, 600u}) {
      SCOPED_TRACE(std::to_string(own) + " " + std::to_string(usual));
      const AeventDefaults defaults{.max_diff = 0, .max_age = usual};
      aevents_.Follow(*MakeSa(++number), defaults);
      clock_.monotonic_ns += 7000 * kMs;
      SaSpec spec = test::MakeSpec();
      spec.rare.Change()->replay_max_age = own;
      const auto sa = MakeSharedSa(std::move(spec), clock_.WallSeconds(), uint64_t{1});
      sa->number = ++number;
      aevents_.Follow(*sa, defaults);
      EXPECT_EQ(aevents_.View(sa).max_age, own);
      (void)sa->outbound()->sequence.Reserve(1);
      listener_.causes.clear();
      for (int followed = 0; followed < 3;
           ++followed) {  // later ones, after which times are merged
        clock_.monotonic_ns += uint64_t{own} * 25 * kMs;
        aevents_.Follow(*MakeSa(++number), defaults);
      }
      clock_.monotonic_ns += uint64_t{own} * 25 * kMs - 1;
      aevents_.Check(sa, clock_.monotonic_ns);
      EXPECT_TRUE(listener_.causes.empty());
      clock_.monotonic_ns += 1;
      aevents_.Check(sa, clock_.monotonic_ns);
      EXPECT_EQ(listener_.causes, std::vector{AeventCause::kTimer});
    }
  }
}

TEST_F(AeventsTest, SaThatMovedGoesOnWhereTheOldOneStopped) {
  const auto from = MakeSa(1);
  const auto to = MakeSa(2);
  aevents_.Follow(*from, {.max_diff = 3});
  ASSERT_TRUE(from->inbound()->replay.Commit(3) == DropReason::kNone);
  aevents_.Check(from, clock_.MonotonicNs());
  EXPECT_THAT(listener_.causes, testing::ElementsAre(AeventCause::kSequence));
  aevents_.Follow(*to, {.max_diff = 100});
  aevents_.Continue(*from, *to);
  EXPECT_EQ(aevents_.View(to).max_diff, 3u);
  ASSERT_TRUE(to->inbound()->replay.Commit(5) == DropReason::kNone);
  aevents_.Check(to, clock_.MonotonicNs());
  EXPECT_THAT(listener_.causes, testing::SizeIs(1)) << "two since what was reported";
  ASSERT_TRUE(to->inbound()->replay.Commit(6) == DropReason::kNone);
  aevents_.Check(to, clock_.MonotonicNs());
  EXPECT_THAT(listener_.causes, testing::SizeIs(2));
}

}  // namespace
}  // namespace cygnet
