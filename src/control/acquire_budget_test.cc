#include "control/acquire_budget.h"

#include <gtest/gtest.h>

#include "support/fake_clock.h"

namespace cygnet {
namespace {

class AcquireBudgetTest : public testing::Test {
 protected:
  test::FakeClock clock_;
  AcquireBudget budget_{{.per_policy = 2, .total = 3}, &clock_};
};

TEST_F(AcquireBudgetTest, OnePolicyDoesNotTakeWhatIsForAll) {
  budget_.Add(1, 100);
  budget_.Add(2, 100);
  EXPECT_FALSE(budget_.Admit(100));
  EXPECT_TRUE(budget_.Admit(200));
  budget_.Add(3, 200);
  EXPECT_FALSE(budget_.Admit(300)) << "as many as may be in all";
  EXPECT_EQ(budget_.refused(), 2u);
}

TEST_F(AcquireBudgetTest, StateThatGoesMakesRoom) {
  budget_.Add(1, 100);
  budget_.Add(2, 100);
  budget_.Remove(1);
  budget_.Remove(1);    // again: no effect
  budget_.Remove(999);  // not made for an ACQUIRE
  EXPECT_TRUE(budget_.Admit(100));
}

}  // namespace
}  // namespace cygnet
