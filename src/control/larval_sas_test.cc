// SAs without keys: how they are found, filled with an SPI and removed.
#include "control/larval_sas.h"

#include <gtest/gtest.h>

#include "support/fake_clock.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

constexpr uint64_t kPolicy = 5;

class LarvalSasTest : public testing::Test {
 protected:
  static SaSpec Wanted(uint32_t acquire_seq) {
    SaSpec spec = test::MakeSpec({.spi = 0, .direction = SaDirection::kOut});
    spec.acquire_seq = acquire_seq;
    return spec;
  }
  Result<ConstSaPtr> Allocate(uint32_t min, uint32_t max, uint32_t seq = 0) {
    SpiRequest request{.spec = test::MakeSpec({.spi = 0}), .min = min, .max = max};
    request.spec.acquire_seq = seq;
    return larval_.AllocateSpi(std::move(request));
  }

  test::FakeClock clock_;
  DataPath path_{1};
  AcquireBudget budget_{{.per_policy = 1, .total = 8}, &clock_};
  LarvalSas larval_{&path_, &clock_, &budget_};
};

TEST_F(LarvalSasTest, SpiGoesIntoTheStateOfTheAcquire) {
  larval_.InsertForAcquire(Wanted(3), kPolicy);
  EXPECT_FALSE(budget_.Admit(kPolicy)) << "it counts";
  clock_.wall_seconds += 10;
  const auto sa = Allocate(0x300, 0x300, 3);
  ASSERT_TRUE(sa);
  EXPECT_EQ(path_.sad.size(), 1u) << "one state, not two";
  EXPECT_EQ((*sa)->spec().spi.value, 0x300u);
  EXPECT_EQ((*sa)->spec().acquire_seq, 3u);
  EXPECT_EQ((*sa)->spec().direction, SaDirection::kOut);
  EXPECT_EQ((*sa)->lifetime().usage().add_time, clock_.WallSeconds() - 10);
  EXPECT_TRUE(budget_.Admit(kPolicy)) << "key management has answered";
}

TEST_F(LarvalSasTest, StateWithoutAnSpiStaysWhenTheRangeIsUsedUp) {
  ASSERT_TRUE(Allocate(0x300, 0x300));
  EXPECT_EQ(Allocate(0x300, 0x300).error().code, Errc::kNoEntry);
  EXPECT_EQ(path_.sad.size(), 2u);
  EXPECT_EQ(Allocate(0x300, 0x300).error().code, Errc::kNoEntry);
  EXPECT_EQ(path_.sad.size(), 2u) << "the same state again";
}

TEST_F(LarvalSasTest, AcquireIsInProgressForTheTupleAlone) {
  EXPECT_FALSE(larval_.AcquireInProgress(Wanted(0)));
  larval_.InsertForAcquire(Wanted(1), kPolicy);
  EXPECT_TRUE(larval_.AcquireInProgress(Wanted(0)));
  SaSpec other = Wanted(0);
  other.reqid = Reqid(99);
  EXPECT_FALSE(larval_.AcquireInProgress(other));
}

TEST_F(LarvalSasTest, OnlyAStateWithoutAnSpiIsAnswered) {
  ASSERT_TRUE(Allocate(0x300, 0x300));
  larval_.RemoveAnswered(test::MakeSpec({.spi = 0x400}));
  EXPECT_EQ(path_.sad.size(), 1u);
  larval_.InsertForAcquire(Wanted(1), kPolicy);
  const uint64_t generation = path_.generation();
  larval_.RemoveAnswered(test::MakeSpec({.spi = 0x400}));
  EXPECT_EQ(path_.sad.size(), 1u);
  EXPECT_EQ(path_.generation(), generation) << "no flow used it";
  EXPECT_TRUE(budget_.Admit(kPolicy));
}

}  // namespace
}  // namespace cygnet
