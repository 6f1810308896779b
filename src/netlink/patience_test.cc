#include "netlink/patience.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

// Of the next `steps`, in how many it looks, if none of them pays.
int LooksInVain(Patience* patience, int steps) {
  int looks = 0;
  for (int i = 0; i < steps; ++i) {
    looks += patience->ShouldLook() ? 1 : 0;
    patience->Note(false);
  }
  return looks;
}

TEST(PatienceTest, LooksWhileItPays) {
  Patience patience;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(patience.ShouldLook());
    patience.Note(i % 3 == 0);
  }
}

TEST(PatienceTest, LooksNowAndThenWhenItDoesNot) {
  Patience patience;
  EXPECT_EQ(LooksInVain(&patience, 4), 4);
  EXPECT_FALSE(patience.ShouldLook());
  EXPECT_EQ(LooksInVain(&patience, 160), 10);
}

TEST(PatienceTest, OneThatPaysIsEnough) {
  Patience patience;
  (void)LooksInVain(&patience, 100);
  while (!patience.ShouldLook()) patience.Note(false);
  patience.Note(true);
  EXPECT_EQ(LooksInVain(&patience, 4), 4);
}

}  // namespace
}  // namespace cygnet
