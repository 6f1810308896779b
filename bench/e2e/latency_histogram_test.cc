#include "latency_histogram.h"

#include <gtest/gtest.h>

namespace cygnet::bench {
namespace {

TEST(LatencyHistogramTest, SmallValuesAreExact) {
  LatencyHistogram histogram;
  for (uint64_t i = 0; i < 100; ++i) histogram.Add(i);
  EXPECT_EQ(histogram.Quantile(0.5), 50u);
  EXPECT_EQ(histogram.Quantile(0.99), 99u);
  EXPECT_EQ(histogram.max(), 99u);
}

TEST(LatencyHistogramTest, LargeValuesAreWithinOneSixtyFourth) {
  for (uint64_t value = 1; value < uint64_t{1} << 50; value = value * 3 + 1) {
    LatencyHistogram histogram;
    histogram.Add(value);
    EXPECT_GE(histogram.Quantile(0.5), value);
    EXPECT_LE(histogram.Quantile(0.5), value + value / 64 + 1);
  }
}

TEST(LatencyHistogramTest, TheRareSlowOneIsSeen) {
  LatencyHistogram histogram;
  for (int i = 0; i < 999; ++i) histogram.Add(10'000);
  histogram.Add(5'000'000);
  EXPECT_LT(histogram.Quantile(0.99), 11'000u);
  EXPECT_GE(histogram.Quantile(0.9995), 5'000'000u);
}

TEST(LatencyHistogramTest, EmptyAndHuge) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
  histogram.Add(~uint64_t{0});
  EXPECT_EQ(histogram.Quantile(0.5), ~uint64_t{0});
}

}  // namespace
}  // namespace cygnet::bench
