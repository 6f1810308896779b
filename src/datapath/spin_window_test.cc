#include "datapath/spin_window.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

constexpr uint64_t kLongest = 80'000;

// Idle from `*now` on, for `gap`, without work before it ends. Returns the time spent polling.
uint64_t Idle(SpinWindow* window, uint64_t* now, uint64_t gap) {
  const uint64_t begin = *now;
  for (uint64_t t = begin;; t += 1000) {
    if (window->LookAgain(t)) {
      if (t - begin < gap) continue;
      window->Worked();  // found while polling
      *now = t;
      return t - begin;
    }
    *now = begin + std::max(gap, t - begin);
    window->Slept(*now);
    return t - begin;
  }
}

TEST(SpinWindowTest, ZeroNeverSpins) {
  SpinWindow window(0);
  uint64_t now = 1;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Idle(&window, &now, 10), 0u);
}

TEST(SpinWindowTest, GrowsOverShortPausesAndThenCatchesThem) {
  SpinWindow window(kLongest);
  uint64_t now = 1;
  EXPECT_EQ(Idle(&window, &now, 30'000), 0u) << "the first pause is slept through";
  for (int i = 0; i < 10; ++i) (void)Idle(&window, &now, 30'000);
  EXPECT_GE(Idle(&window, &now, 30'000), 30'000u) << "found by polling";
  EXPECT_LE(window.window_ns(), kLongest);
}

TEST(SpinWindowTest, ShrinksToNothingOverLongPauses) {
  SpinWindow window(kLongest);
  uint64_t now = 1;
  for (int i = 0; i < 10; ++i) (void)Idle(&window, &now, 30'000);
  uint64_t spent = 0;
  for (int i = 0; i < 1000; ++i) spent += Idle(&window, &now, 10'000'000);
  EXPECT_LT(spent, 5 * kLongest) << "of 10 s of idleness";
  EXPECT_EQ(window.window_ns(), 0u);
}

}  // namespace
}  // namespace cygnet
