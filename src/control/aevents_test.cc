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
  std::shared_ptr<Sa> MakeSa(uint64_t number) {
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
  aevents_.Forget(1);
  EXPECT_EQ(aevents_.View(sa).max_diff, 0u);
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
