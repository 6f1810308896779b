#include "sa/sa_drops.h"

#include <gtest/gtest.h>

#include <thread>

namespace cygnet {
namespace {

using enum DropReason;

TEST(SaDropsTest, EachReasonHasItsCount) {
  SaDrops drops;
  for (int i = 0; i < 3; ++i) drops.Count(kInReplayOld);
  drops.Count(kOutTooBig);
  drops.Count(kOutTooBig);
  drops.Count(kInSelectorMismatch);
  EXPECT_EQ(drops.Of(kInReplayOld), 3u);
  EXPECT_EQ(drops.Of(kOutTooBig), 2u);
  EXPECT_EQ(drops.Of(kInSelectorMismatch), 1u);
  EXPECT_EQ(drops.Of(kInAuthFailed), 0u);
}

// Counted no matter how many other reasons came first: clients see these.
TEST(SaDropsTest, StatisticsOfXfrmAreAlwaysCounted) {
  SaDrops drops;
  for (std::size_t r = 1; r < kDropReasons; ++r) drops.Count(static_cast<DropReason>(r));
  for (const DropReason reason :
       {kInReplayOld, kInReplayZero, kInReplayDuplicate, kInAuthFailed, kInLateBeyondWindow}) {
    EXPECT_EQ(drops.Of(reason), 1u);
  }
  std::size_t counted = 0;
  for (std::size_t r = 1; r < kDropReasons; ++r) {
    counted += drops.Of(static_cast<DropReason>(r)) != 0 ? 1 : 0;
  }
  EXPECT_EQ(counted, 5u + 8u);
}

TEST(SaDropsTest, TakesEightBytesUntilAPacketIsDropped) {
  static_assert(sizeof(SaDrops) == 8);
  const SaDrops drops;
  for (std::size_t r = 1; r < kDropReasons; ++r) {
    EXPECT_EQ(drops.Of(static_cast<DropReason>(r)), 0u);
  }
}

TEST(SaDropsTest, TwoThreadsThatMeetANewReasonCountOneAndTheSame) {
  SaDrops drops;
  const auto count = [&] {
    for (int i = 0; i < 10'000; ++i) {
      drops.Count(i % 2 == 0 ? kOutTooBig : kInTemplateMismatch);
      drops.Count(kInAuthFailed);
    }
  };
  std::thread other(count);
  count();
  other.join();
  EXPECT_EQ(drops.Of(kOutTooBig), 10'000u);
  EXPECT_EQ(drops.Of(kInTemplateMismatch), 10'000u);
  EXPECT_EQ(drops.Of(kInAuthFailed), 20'000u);
}

}  // namespace
}  // namespace cygnet
