#include "base/log_limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cygnet {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint64_t kSecond = 1'000'000'000;

TEST(LogLimiterTest, WhatIsSaidOnceIsNeverLeftOut) {
  LogLimiter limiter;
  uint64_t now = 0;
  for (int i = 0; i < 10'000; ++i) limiter.Admit("device nic0: a client left", now += 1000);
  EXPECT_FALSE(limiter.Admit("device nic0: a client left", now));
  EXPECT_TRUE(limiter.Admit("device nic0: link down", now));
  EXPECT_TRUE(limiter.Admit("the ledger cannot be written: No space left on device", now));
}

TEST(LogLimiterTest, NumbersMakeNoOtherKind) {
  LogLimiter limiter;
  uint32_t written = 0;
  for (int i = 0; i < 4000; ++i) {
    written += limiter.Admit("client " + std::to_string(i) + " from 10.0.0." + std::to_string(i) +
                                 ": SPI 0xabc" + std::to_string(i) + " is refused",
                             0)
                   ? 1
                   : 0;
  }
  EXPECT_EQ(written, LogLimiter::kBurst);
}

TEST(LogLimiterTest, ReportsHowManyLinesWereLeftOut) {
  LogLimiter limiter;
  for (uint32_t i = 0; i < LogLimiter::kBurst; ++i) ASSERT_TRUE(limiter.Admit("again", 0));
  EXPECT_THAT(limiter.TakeLeftOut(0), IsEmpty());
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(limiter.Admit("again", 1));
  EXPECT_THAT(limiter.TakeLeftOut(1), IsEmpty()) << "reporting now would add a line as well";
  const auto told = limiter.TakeLeftOut(kSecond);
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].lines, 7u);
  EXPECT_EQ(told[0].example, "again");
  EXPECT_THAT(limiter.TakeLeftOut(kSecond), IsEmpty());
  EXPECT_TRUE(limiter.Admit("again", kSecond));
}

TEST(LogLimiterTest, FloodOfKindsIsBoundedToo) {
  LogLimiter limiter;
  uint32_t written = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string word;
    for (int n = i; n > 0; n /= 26) word += static_cast<char>('a' + n % 26);
    written += limiter.Admit("peer says " + word, 0) ? 1 : 0;
  }
  EXPECT_LE(written, LogLimiter::kMostKinds + LogLimiter::kBurst);
  // Later every bucket is full again.
  EXPECT_TRUE(limiter.Admit("link down", 1000 * kSecond));
}

}  // namespace
}  // namespace cygnet
