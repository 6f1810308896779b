#include "daemon/cluster/ownership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/ownership_lab.h"

namespace cygnet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr GroupId kBlue = 1;

std::vector<ClusterGroupConfig> Groups(const std::string& prefer = "gw1") {
  return {{.name = "blue", .addresses = {}, .prefer = prefer}};
}

// gw1 works for the group, gw2 is ready.
class OwnershipTest : public ::testing::Test {
 protected:
  void SetUp() override {
    lab.Start("gw1");
    lab.RunUntilWorks("gw1");
    lab.Start("gw2");
    lab.Run(2000);
    ASSERT_THAT(lab.WorkFor(), ElementsAre("gw1"));
    ASSERT_EQ(lab.changes, 1);
  }
  const ClusterEvent& Last(const std::string& name) { return lab.node(name).events.back(); }

  test::OwnershipLab lab{Groups()};
};

TEST_F(OwnershipTest, ThePreferredNodeTakesAtOnceWhatNobodyOwns) {
  test::OwnershipLab fresh{Groups()};
  fresh.Start("gw2");
  fresh.Run(800);
  EXPECT_THAT(fresh.WorkFor(), IsEmpty());
  fresh.Start("gw1");
  fresh.Run(50);
  EXPECT_THAT(fresh.WorkFor(), ElementsAre("gw1"));
  EXPECT_EQ(fresh.owner().epoch, 1u);
}

TEST_F(OwnershipTest, AnotherNodeWaitsASecondForThePreferredOne) {
  test::OwnershipLab fresh{Groups()};
  fresh.Start("gw2");
  EXPECT_NEAR(static_cast<double>(fresh.RunUntilWorks("gw2")), 1000, 50);
  fresh.Start("gw1");
  fresh.Run(5000);
  EXPECT_THAT(fresh.WorkFor(), ElementsAre("gw2")) << "the preferred node does not preempt";
}

TEST_F(OwnershipTest, WithoutAPreferredNodeTheFirstOneTakesIt) {
  test::OwnershipLab fresh{Groups("")};
  fresh.Start("gw2");
  EXPECT_LE(fresh.RunUntilWorks("gw2"), 50u);
}

TEST_F(OwnershipTest, ASilentOwnerIsReplacedAfterThreeHeartbeats) {
  lab.Kill("gw1");
  const uint64_t ms = lab.RunUntilWorks("gw2");
  EXPECT_GE(ms, 100u);
  EXPECT_LE(ms, 200u);
  EXPECT_EQ(lab.owner().node, "gw2");
  EXPECT_EQ(lab.owner().epoch, 2u);
  const ClusterEvent& event = Last("gw2");
  EXPECT_EQ(event.kind, ClusterEvent::Kind::kGained);
  EXPECT_EQ(event.owner.epoch, 2u);
  EXPECT_THAT(event.text, HasSubstr("no heartbeat of gw1 for 1"));
  EXPECT_GE(event.silence_ns, kSilenceNs);
  EXPECT_TRUE(lab.node("gw2").addresses.contains(kBlue));
}

TEST_F(OwnershipTest, OfThreeNodesTheNextInOrderTakesIt) {
  lab.Start("gw3");
  lab.Run(2000);
  lab.Kill("gw1");
  EXPECT_LE(lab.RunUntilWorks("gw2"), 250u);
  lab.Run(1000);
  EXPECT_EQ(lab.changes, 2);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
}

TEST_F(OwnershipTest, IfTheNextInOrderIsDeadTooTheOneAfterItTakesIt) {
  lab.Start("gw3");
  lab.Run(2000);
  lab.Kill("gw1");
  lab.Kill("gw2");
  EXPECT_LE(lab.RunUntilWorks("gw3"), 300u);
}

TEST_F(OwnershipTest, AnOwnerThatAnotherNodeHearsIsNotSilent) {
  lab.Start("gw3");
  lab.Run(2000);
  lab.Cut("gw1", "gw3");
  lab.Run(10000);
  EXPECT_EQ(lab.changes, 1);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
}

TEST_F(OwnershipTest, NodesThatDoNotHearEachOtherChangeTheOwnerOnce) {
  lab.Cut("gw1", "gw2");
  lab.Run(60000);
  EXPECT_EQ(lab.changes, 2);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
  EXPECT_FALSE(lab.node("gw1").addresses.contains(kBlue));
  lab.Heal();
  lab.Run(30000);
  EXPECT_EQ(lab.changes, 2);
  lab.Kill("gw2");
  EXPECT_LE(lab.RunUntilWorks("gw1"), 200u) << "heard again for 10 s, its silence counts again";
}

TEST_F(OwnershipTest, WhoHeardThatItLostDoesNotTakeItBackEither) {
  lab.CutOneWay("gw1", "gw2");
  lab.RunUntilWorks("gw2");
  lab.node("gw1").store_away = true;  // so the heartbeat comes first
  lab.Run(20);
  EXPECT_THAT(Last("gw1").text, HasSubstr("gw2 says"));
  lab.node("gw1").store_away = false;
  lab.Run(5000);
  lab.Cut("gw1", "gw2");
  lab.Run(60000);
  EXPECT_EQ(lab.changes, 2);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
}

TEST_F(OwnershipTest, AfterALostPartitionTheEndOfTheLeaseCounts) {
  lab.Cut("gw1", "gw2");
  lab.Run(5000);
  lab.Kill("gw2");
  const uint64_t ms = lab.RunUntilWorks("gw1");
  EXPECT_GE(ms, 2500u);
  EXPECT_LE(ms, 3200u);
}

TEST_F(OwnershipTest, AStoppedOwnerLearnsFirstThatItLost) {
  lab.node("gw1").stopped = true;
  lab.Run(10000);
  ASSERT_THAT(lab.WorkFor(), ElementsAre("gw2"));
  lab.node("gw1").stopped = false;
  lab.node("gw1").store_away = true;  // it has to find out by its clock
  lab.node("gw1").inbox.clear();
  lab.Run(10);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
  EXPECT_THAT(Last("gw1").text, HasSubstr("lease ended"));
  lab.node("gw1").store_away = false;
  lab.Run(20000);
  EXPECT_EQ(lab.changes, 2);
}

TEST_F(OwnershipTest, AShortlyStoppedOwnerLearnsByHeartbeat) {
  lab.node("gw1").stopped = true;
  lab.Run(1000);
  lab.node("gw1").stopped = false;
  lab.node("gw1").store_away = true;
  lab.Run(10);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
  EXPECT_EQ(Last("gw1").kind, ClusterEvent::Kind::kLost);
  EXPECT_THAT(Last("gw1").text, HasSubstr("gw2 says that it took it over"));
}

TEST_F(OwnershipTest, AStoppedStandbyDoesNotTakeBeforeItHasListened) {
  lab.node("gw2").stopped = true;
  lab.Run(5000);
  lab.node("gw2").inbox.clear();
  lab.node("gw2").stopped = false;
  lab.Run(5000);
  EXPECT_EQ(lab.changes, 1);
}

TEST_F(OwnershipTest, AHungControlThreadIsATakeOver) {
  lab.node("gw1").hung = true;
  EXPECT_LE(lab.RunUntilWorks("gw2"), 350u);
  lab.Run(100);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
}

TEST_F(OwnershipTest, AHungStandbyTakesNothing) {
  lab.node("gw2").hung = true;
  lab.Run(500);
  lab.Kill("gw1");
  lab.Run(5000);
  EXPECT_EQ(lab.changes, 1);
}

TEST_F(OwnershipTest, WithoutTheStoreTheOwnerGoesOnWhileAllOthersAreHeard) {
  lab.node("gw1").store_away = true;
  lab.node("gw2").store_away = true;
  lab.Run(20000);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
  lab.Cut("gw1", "gw2");
  lab.Run(200);
  EXPECT_THAT(lab.WorkFor(), IsEmpty());
  EXPECT_EQ(lab.changes, 1);
  lab.Heal();
  lab.node("gw1").store_away = false;
  lab.Run(300);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1")) << "the store still names it";
  EXPECT_EQ(lab.changes, 1);
}

TEST_F(OwnershipTest, WhoReachesTheStoreTakesOverFromWhoDoesNot) {
  lab.node("gw1").store_away = true;
  const uint64_t ms = lab.RunUntilWorks("gw2");
  EXPECT_GE(ms, 900u);
  EXPECT_LE(ms, 1200u);
  EXPECT_THAT(Last("gw2").text, HasSubstr("the store does not answer gw1 for 1"));
  lab.Run(100);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
  lab.node("gw1").store_away = false;
  lab.Run(20000);
  EXPECT_EQ(lab.changes, 2);
}

TEST_F(OwnershipTest, AStoreThatStallsForAllMovesNothing) {
  for (const uint64_t ms : {400u, 900u, 1400u, 2500u, 8000u}) {
    // The last answers come at different times, and so do the first ones after it.
    for (const char* first : {"gw1", "gw2"}) {
      const char* second = first == std::string("gw1") ? "gw2" : "gw1";
      lab.node(first).store_away = true;
      lab.Run(300);
      lab.node(second).store_away = true;
      lab.Run(ms);
      lab.node(first).store_away = false;
      lab.Run(300);
      lab.node(second).store_away = false;
      lab.Run(4000);
      EXPECT_EQ(lab.changes, 1) << ms << " ms, first " << first;
    }
  }
}

TEST_F(OwnershipTest, AnAnnouncedPauseIsNotSilence) {
  lab.node("gw1").decides->Pause(1000);
  lab.Run(60);
  lab.Kill("gw1");
  lab.Run(800);
  EXPECT_EQ(lab.changes, 1);
  lab.Start("gw1");
  EXPECT_LE(lab.RunUntilWorks("gw1"), 50u);
  EXPECT_EQ(lab.changes, 2) << "from its earlier start";
  EXPECT_EQ(lab.owner().node, "gw1");
  EXPECT_EQ(lab.owner().incarnation, lab.node("gw1").incarnation);
  EXPECT_THAT(Last("gw1").text, HasSubstr("an earlier start of this node"));
  EXPECT_EQ(Last("gw1").silence_ns, 0u);
}

TEST_F(OwnershipTest, APauseThatLastsTooLongIsSilence) {
  lab.node("gw1").decides->Pause(1000);
  lab.Run(60);
  lab.Kill("gw1");
  const uint64_t ms = lab.RunUntilWorks("gw2");
  EXPECT_GE(ms, 900u);
  EXPECT_LE(ms, 1100u);
}

TEST_F(OwnershipTest, AGroupIsGivenToANode) {
  ASSERT_TRUE(lab.node("gw1").decides->Give(kBlue, "gw2", lab.now_ns()));
  lab.Run(20);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
  EXPECT_EQ(lab.owner().incarnation, lab.node("gw2").incarnation);
  EXPECT_EQ(Last("gw1").kind, ClusterEvent::Kind::kOwner);
  lab.Run(30000);
  EXPECT_EQ(lab.changes, 2);
  lab.Kill("gw2");
  EXPECT_LE(lab.RunUntilWorks("gw1"), 200u);
}

// A move in the order of packets that are not lost.
class OwnershipMoveTest : public OwnershipTest {
 protected:
  void SetUp() override {
    OwnershipTest::SetUp();
    ASSERT_TRUE(gw1().decides->Offer(kBlue, "gw2", lab.now_ns()));
  }
  test::OwnershipLab::Node& gw1() { return lab.node("gw1"); }
  test::OwnershipLab::Node& gw2() { return lab.node("gw2"); }
  bool IsTold(ClusterEvent::Kind kind) { return Last("gw1").kind == kind; }
};

TEST_F(OwnershipMoveTest, TheNextOwnerHoldsPacketsFirstThenTheOwnerGives) {
  lab.Run(20);
  EXPECT_TRUE(gw2().holds);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1")) << "it works on";
  EXPECT_EQ(lab.changes, 1) << "the store is not asked for this";
  lab.Run(60);
  EXPECT_TRUE(gw2().addresses.contains(kBlue));
  ASSERT_TRUE(IsTold(ClusterEvent::Kind::kReady));
  EXPECT_EQ(Last("gw1").text, "gw2");
  ASSERT_TRUE(gw1().decides->Give(kBlue, "gw2", lab.now_ns()));
  lab.Run(20);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
  EXPECT_TRUE(gw2().addresses.contains(kBlue));
  EXPECT_FALSE(gw1().addresses.contains(kBlue));
  EXPECT_EQ(lab.changes, 2);
  lab.Run(5000);
  EXPECT_TRUE(gw2().addresses.contains(kBlue));
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
}

TEST_F(OwnershipMoveTest, WithoutAnAnswerTheGroupStays) {
  lab.CutOneWay("gw2", "gw1");
  lab.Run(20);
  EXPECT_TRUE(gw2().holds);
  lab.Run(320);
  ASSERT_TRUE(IsTold(ClusterEvent::Kind::kNotReady));
  EXPECT_THAT(Last("gw1").text, HasSubstr("gw2 did not answer for 300 ms"));
  lab.Run(20);
  EXPECT_FALSE(gw2().holds);
  EXPECT_FALSE(gw2().addresses.contains(kBlue));
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
}

TEST_F(OwnershipMoveTest, WhoHoldsPacketsAndNeverBecomesTheOwnerLetsThemPass) {
  lab.Run(100);
  ASSERT_TRUE(IsTold(ClusterEvent::Kind::kReady));
  lab.Run(430);
  EXPECT_FALSE(gw2().holds) << "after half a second";
  EXPECT_FALSE(gw2().addresses.contains(kBlue));
  lab.Run(600);
  EXPECT_TRUE(IsTold(ClusterEvent::Kind::kNotReady));
  EXPECT_FALSE(gw2().holds);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
}

TEST_F(OwnershipMoveTest, AnOwnerThatDiesMeanwhileIsReplaced) {
  lab.Run(60);
  lab.Kill("gw1");
  EXPECT_LE(lab.RunUntilWorks("gw2"), 200u);
  EXPECT_TRUE(gw2().addresses.contains(kBlue));
  lab.Run(5000);
  EXPECT_TRUE(gw2().addresses.contains(kBlue));
  EXPECT_EQ(lab.changes, 2);
}

TEST_F(OwnershipMoveTest, AStoreThatGoesAwayMeanwhileLeavesTheGroupWithOneOwner) {
  lab.Run(100);
  gw1().store_away = gw2().store_away = true;
  ASSERT_TRUE(gw1().decides->Give(kBlue, "gw2", lab.now_ns()));
  lab.Run(100);
  EXPECT_THAT(Last("gw1").text, HasSubstr("the move failed"));
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
  EXPECT_FALSE(gw2().holds);
  EXPECT_FALSE(gw2().addresses.contains(kBlue));
}

TEST_F(OwnershipMoveTest, ANextOwnerThatDiesCostsNothing) {
  lab.Run(20);
  lab.Kill("gw2");
  lab.Run(400);
  EXPECT_TRUE(IsTold(ClusterEvent::Kind::kReady) || IsTold(ClusterEvent::Kind::kNotReady));
  EXPECT_FALSE(gw1().decides->Give(kBlue, "gw2", lab.now_ns())) << "it is not heard any more";
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
}

TEST_F(OwnershipMoveTest, OnlyOneMoveAtATime) {
  EXPECT_FALSE(gw1().decides->Offer(kBlue, "gw2", lab.now_ns()));
  EXPECT_FALSE(gw2().decides->Offer(kBlue, "gw1", lab.now_ns()));
  lab.CutOneWay("gw2", "gw1");
  lab.Run(500);
  lab.Heal();
  lab.Run(1500);
  ASSERT_TRUE(gw1().decides->Offer(kBlue, "", lab.now_ns())) << "and again";
  lab.Run(100);
  EXPECT_TRUE(IsTold(ClusterEvent::Kind::kReady));
}

TEST_F(OwnershipTest, ANewOwnerThatIsFasterThanTheStoresAnswerWasGivenTheGroup) {
  Ownership* gw1 = lab.node("gw1").decides.get();
  ASSERT_TRUE(gw1->Give(kBlue, "gw2", lab.now_ns()));
  (void)gw1->TakeSteps();
  Heartbeat beat = lab.node("gw2").decides->Beat(lab.now_ns());
  beat.sequence = lab.node("gw2").sequence + 1;
  beat.groups = {{"blue", 2}};
  ASSERT_TRUE(gw1->OnHeartbeat(beat, lab.now_ns(), lab.now_ns()));
  std::string why;
  for (const Ownership::Step& step : gw1->TakeSteps()) {
    if (step.event.kind == ClusterEvent::Kind::kLost) why = step.event.text;
  }
  EXPECT_EQ(why, "given to gw2");
}

TEST_F(OwnershipTest, AGroupIsGivenToWhoeverIsNext) {
  ASSERT_TRUE(lab.node("gw1").decides->Give(kBlue, "", lab.now_ns()));
  lab.Run(20);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2"));
}

TEST_F(OwnershipTest, AGroupThatNobodyWantsIsUnowned) {
  lab.Kill("gw2");
  lab.Run(5000);
  ASSERT_TRUE(lab.node("gw1").decides->Give(kBlue, "", lab.now_ns()));
  lab.Run(1000);
  EXPECT_TRUE(lab.owner().node.empty());
  EXPECT_THAT(lab.WorkFor(), IsEmpty());
  lab.Run(10000);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1")) << "it did not end, and nobody else came";
}

TEST_F(OwnershipTest, AGroupIsNotGivenToWhoIsNotThere) {
  Ownership* gw1 = lab.node("gw1").decides.get();
  EXPECT_FALSE(gw1->Give(kBlue, "gw9", lab.now_ns()));
  EXPECT_FALSE(gw1->Give(kBlue, "gw1", lab.now_ns()));
  EXPECT_FALSE(gw1->Give(7, "gw2", lab.now_ns()));
  EXPECT_FALSE(lab.node("gw2").decides->Give(kBlue, "gw1", lab.now_ns()));
  lab.Kill("gw2");
  lab.Run(200);
  EXPECT_FALSE(gw1->Give(kBlue, "gw2", lab.now_ns()));
  EXPECT_TRUE(gw1->Works(kBlue));
}

TEST_F(OwnershipTest, AFailedMoveIsToldSoThatTheGroupWakes) {
  lab.node("gw1").store_away = true;
  ASSERT_TRUE(lab.node("gw1").decides->Give(kBlue, "gw2", lab.now_ns()));
  lab.Run(20);
  EXPECT_EQ(Last("gw1").kind, ClusterEvent::Kind::kGained);
  EXPECT_THAT(Last("gw1").text, HasSubstr("the move failed"));
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
}

TEST_F(OwnershipTest, AfterAWipedStoreEveryGroupIsTakenAnew) {
  lab.Wipe();
  EXPECT_THAT(lab.WorkFor(), IsEmpty());
  lab.Run(3000);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw1"));
  EXPECT_EQ(lab.owner().epoch, 2u) << "an epoch is not used twice";
}

TEST_F(OwnershipTest, OldAndForeignHeartbeatsAreDropped) {
  Ownership* gw2 = lab.node("gw2").decides.get();
  Heartbeat beat = lab.node("gw1").decides->Beat(lab.now_ns());
  beat.sequence = lab.node("gw1").sequence;
  EXPECT_FALSE(gw2->OnHeartbeat(beat, lab.now_ns(), lab.now_ns())) << "heard already";
  beat.sequence += 5;
  EXPECT_TRUE(gw2->OnHeartbeat(beat, lab.now_ns(), lab.now_ns()));
  beat.sequence += 1;
  beat.incarnation += 1000;
  EXPECT_FALSE(gw2->OnHeartbeat(beat, lab.now_ns(), lab.now_ns())) << "another start";
  beat.node = "gw9";
  EXPECT_FALSE(gw2->OnHeartbeat(beat, lab.now_ns(), lab.now_ns())) << "unknown";
}

// Whatever fails when: a group never changes hands while its owner is heard and has a lease, two
// nodes that hear the store do not both work for long, and after all is well again one works.
TEST(OwnershipChaosTest, AfterAnyFaultsOneNodeWorks) {
  uint64_t random = 12345;
  const auto draw = [&random](uint64_t n) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % n;
  };
  for (int round = 0; round < 30; ++round) {
    test::OwnershipLab lab{Groups()};
    const std::vector<std::string> names = {"gw1", "gw2", "gw3"};
    for (const std::string& name : names) lab.Start(name);
    lab.Run(2000);
    for (int fault = 0; fault < 20; ++fault) {
      const std::string& name = names[draw(3)];
      switch (draw(6)) {
        case 0:
          lab.node(name).stopped = !lab.node(name).stopped;
          break;
        case 1:
          lab.node(name).store_away = !lab.node(name).store_away;
          break;
        case 2:
          lab.Cut(name, names[draw(3)]);
          break;
        case 3:
          lab.Heal();
          break;
        case 4:
          lab.Start(name);
          break;
        case 5:
          lab.node(name).hung = !lab.node(name).hung;
          break;
      }
      lab.Run(draw(1500));
    }
    lab.Heal();
    for (const std::string& name : names) {
      lab.node(name).stopped = lab.node(name).store_away = lab.node(name).hung = false;
    }
    lab.Run(15000);
    ASSERT_EQ(lab.WorkFor().size(), 1u) << "round " << round;
    ASSERT_EQ(lab.WorkFor()[0], lab.owner().node);
    const int changes = lab.changes;
    lab.Run(30000);
    ASSERT_EQ(lab.changes, changes) << "no war, round " << round;
    for (const std::string& name : names) {
      ASSERT_EQ(lab.node(name).addresses.contains(kBlue), name == lab.owner().node);
    }
  }
}

// It would work without policies that the others have.
TEST_F(OwnershipTest, ABlindNodeBeginsToWorkForNoGroup) {
  lab.node("gw2").decides->OnBlind(true);
  lab.Kill("gw1");
  lab.Run(20000);
  EXPECT_THAT(lab.WorkFor(), IsEmpty());
  lab.node("gw2").decides->OnBlind(false);
  EXPECT_LE(lab.RunUntilWorks("gw2"), 50u);
  lab.node("gw2").decides->OnBlind(true);
  lab.Run(5000);
  EXPECT_THAT(lab.WorkFor(), ElementsAre("gw2")) << "what it has, the store has";
}

}  // namespace
}  // namespace cygnet
