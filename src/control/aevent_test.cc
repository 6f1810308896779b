// NEWAE by threshold, by timer and on request; the changes that a client may make to a live SA.
#include <gtest/gtest.h>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::MakeSpec;

class AeventTest : public test::ControlPlaneTest {
 protected:
  // Adds SA 0x100 with these thresholds.
  void Add(std::optional<uint32_t> max_diff, std::optional<uint32_t> max_age) {
    SaSpec spec = MakeSpec({.spi = 0x100});
    spec.rare.Change()->replay_max_diff = max_diff;
    spec.rare.Change()->replay_max_age = max_age;
    ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
    recorder_.Take();
  }
  const Sa& sa() { return **control_->GetSa(IdOf(0x100)); }
  void SendPackets(uint32_t n) { (void)sa().outbound()->sequence.Reserve(n); }
  Events After(uint64_t milliseconds) {
    clock_.monotonic_ns += milliseconds * 1'000'000;
    control_->CheckAevents();
    return recorder_.Take();
  }
};

TEST_F(AeventTest, SequenceThresholdCountsFromTheLastEvent) {
  Add(5, 0);
  SendPackets(4);
  EXPECT_EQ(After(100), Events{});
  SendPackets(1);
  EXPECT_EQ(After(100), Events{"aevent sequence"});
  SendPackets(4);
  EXPECT_EQ(After(100), Events{});
  SendPackets(9);
  EXPECT_EQ(After(100), Events{"aevent sequence"});
}

TEST_F(AeventTest, ReceivedPacketsCountToo) {
  Add(5, 0);
  (void)sa().inbound()->replay.Commit(5);
  EXPECT_EQ(After(100), Events{"aevent sequence"});
}

TEST_F(AeventTest, TimerFiresOnceASliceAndOnlyAfterTraffic) {
  Add(0, 10);
  EXPECT_EQ(After(2000), Events{}) << "nothing moved";
  SendPackets(1);
  EXPECT_EQ(After(0), Events{"aevent timer"}) << "the slice was over already";
  SendPackets(1);
  EXPECT_EQ(After(900), Events{});
  EXPECT_EQ(After(100), Events{"aevent timer"});
  EXPECT_EQ(After(1000), Events{});
}

TEST_F(AeventTest, DefaultsAreTheKernelsSettingsWhenTheSaWasMade) {
  settings_.aevent_rseqth = 7;
  settings_.aevent_etime = 30;
  control_->Tick();
  Add(std::nullopt, 5);
  const auto view = control_->GetAevent(IdOf(0x100));
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->max_diff, 7u);
  EXPECT_EQ(view->max_age, 5u);
}

TEST_F(AeventTest, WithoutListenersNothingIsTold) {
  Add(1, 1);
  recorder_.listening = false;
  SendPackets(10);
  EXPECT_EQ(After(1000), Events{});
  recorder_.listening = true;
  EXPECT_EQ(After(0), Events{"aevent sequence"});
}

TEST_F(AeventTest, GettingWorksOnLarvalStatesAndSettingDoesNot) {
  ASSERT_TRUE(control_->AllocateSpi({.spec = MakeSpec(), .min = 0x300, .max = 0x300}).has_value());
  EXPECT_TRUE(control_->GetAevent(IdOf(0x300)).has_value());
  const AeventChange change{.id = IdOf(0x300), .max_diff = 3};
  const Status status = control_->UpdateAevent(change, {});
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().message, "SA must be in VALID state");
  EXPECT_EQ(control_->GetAevent(IdOf(1)).error().code, Errc::kNoSuchProcess);
  EXPECT_EQ(control_->UpdateAevent({.id = IdOf(1)}, {}).error().code, Errc::kNoSuchProcess);
}

TEST_F(AeventTest, SettingMovesSequencesAndUsageForwardAndTells) {
  Add(5, 5);
  AeventChange change{.id = IdOf(0x100), .max_diff = 50, .max_age = 60};
  change.usage = LifetimeUsage{.bytes = 1000, .packets = 10, .add_time = 3, .use_time = 4};
  change.replay = ReplayState{
      .oseq = 40, .seq = 20, .window = 64, .extended_form = true, .bitmap = {1u << 17, 0}};
  // Number 18 was seen, 19 was not.
  ASSERT_TRUE(control_->UpdateAevent(change, {.seq = 3, .pid = 4}).has_value());
  EXPECT_EQ(recorder_.Take(), Events{"aevent update"});
  EXPECT_EQ(recorder_.origins.back().pid, 4u);
  EXPECT_EQ(sa().outbound()->sequence.last_sent(), 40u);
  EXPECT_EQ(sa().inbound()->replay.highest(), 20u);
  EXPECT_EQ(sa().inbound()->replay.Check(18), DropReason::kInReplayDuplicate);
  EXPECT_EQ(sa().inbound()->replay.Check(19), DropReason::kNone);
  EXPECT_EQ(sa().lifetime().usage(), *change.usage);
  const auto view = control_->GetAevent(IdOf(0x100));
  EXPECT_EQ(view->max_diff, 50u);
  EXPECT_EQ(view->max_age, 60u);
}

TEST_F(AeventTest, SequencesNeverGoBack) {
  Add(5, 5);
  SendPackets(100);
  (void)sa().inbound()->replay.Commit(50);
  const auto set = [&](uint64_t oseq, uint64_t seq) {
    AeventChange change{.id = IdOf(0x100)};
    change.replay = ReplayState{
        .oseq = oseq, .seq = seq, .window = 64, .extended_form = true, .bitmap = {0, 0}};
    return control_->UpdateAevent(change, {}).has_value();
  };
  EXPECT_FALSE(set(99, 50));
  EXPECT_FALSE(set(100, 49));
  EXPECT_EQ(sa().outbound()->sequence.last_sent(), 100u);
  EXPECT_EQ(sa().inbound()->replay.Check(50), DropReason::kInReplayDuplicate);
  EXPECT_TRUE(set(100, 50));
}

TEST_F(AeventTest, AReplayStateOfAnotherSizeIsRefusedAndOfAnotherFormIgnored) {
  Add(5, 5);
  AeventChange change{.id = IdOf(0x100)};
  change.replay =
      ReplayState{.oseq = 9, .seq = 9, .window = 32, .extended_form = true, .bitmap = {0}};
  EXPECT_EQ(control_->UpdateAevent(change, {}).error().code, Errc::kInvalid);
  change.replay =
      ReplayState{.oseq = 9, .seq = 9, .window = 32, .extended_form = false, .bitmap = {0}};
  EXPECT_TRUE(control_->UpdateAevent(change, {}).has_value());
  EXPECT_EQ(sa().outbound()->sequence.last_sent(), 0u);
}

}  // namespace
}  // namespace cygnet
