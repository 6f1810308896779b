#include "datapath/flow_cache.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

FlowKey Flow(uint32_t number) {
  FlowKey flow;
  std::memcpy(flow.daddr.bytes.data(), &number, sizeof(number));
  flow.family = IpFamily::kV4;
  return flow;
}

FlowDecision Decision(DropReason reason) { return {.reason = reason}; }

TEST(FlowCacheTest, HoldsForItsTagAndGenerationAlone) {
  FlowCache cache(64);
  EXPECT_EQ(cache.Find(Flow(1), 7, 1), nullptr);
  cache.Store(Flow(1), 7, 1, Decision(DropReason::kOutTooBig));
  ASSERT_NE(cache.Find(Flow(1), 7, 1), nullptr);
  EXPECT_EQ(cache.Find(Flow(1), 7, 1)->reason, DropReason::kOutTooBig);
  EXPECT_EQ(cache.Find(Flow(1), 8, 1), nullptr);
  EXPECT_EQ(cache.Find(Flow(1), 7, 2), nullptr);
  EXPECT_EQ(cache.Find(Flow(2), 7, 1), nullptr);
}

TEST(FlowCacheTest, AFlowHasOneEntry) {
  FlowCache cache(2);
  cache.Store(Flow(1), 0, 1, Decision(DropReason::kOutTooBig));
  cache.Store(Flow(2), 0, 1, Decision(DropReason::kOutTooBig));
  cache.Store(Flow(1), 0, 1, Decision(DropReason::kOutBlocked));
  EXPECT_EQ(cache.Find(Flow(1), 0, 1)->reason, DropReason::kOutBlocked);
  EXPECT_NE(cache.Find(Flow(2), 0, 1), nullptr);
}

TEST(FlowCacheTest, TheFlowLongerUnseenMakesRoom) {
  FlowCache cache(2);
  cache.Store(Flow(1), 0, 1, {});
  cache.Store(Flow(2), 0, 1, {});
  ASSERT_NE(cache.Find(Flow(1), 0, 1), nullptr);
  cache.Store(Flow(3), 0, 1, {});
  EXPECT_NE(cache.Find(Flow(1), 0, 1), nullptr);
  EXPECT_EQ(cache.Find(Flow(2), 0, 1), nullptr);
  EXPECT_NE(cache.Find(Flow(3), 0, 1), nullptr);
}

TEST(FlowCacheTest, AnEntryOfAnEarlierGenerationGoesFirst) {
  FlowCache cache(2);
  cache.Store(Flow(1), 0, 1, {});
  cache.Store(Flow(2), 0, 2, {});
  cache.Store(Flow(3), 0, 2, {});
  EXPECT_NE(cache.Find(Flow(2), 0, 2), nullptr);
  EXPECT_NE(cache.Find(Flow(3), 0, 2), nullptr);
}

TEST(FlowCacheTest, MoreFlowsThanEntriesAreForgottenNotMixedUp) {
  FlowCache cache(256);
  for (uint32_t i = 0; i < 10'000; ++i) {
    cache.Store(Flow(i), 0, 1, Decision(static_cast<DropReason>(i % 50)));
  }
  uint32_t known = 0;
  for (uint32_t i = 0; i < 10'000; ++i) {
    const FlowDecision* decision = cache.Find(Flow(i), 0, 1);
    if (decision == nullptr) continue;
    ++known;
    EXPECT_EQ(decision->reason, static_cast<DropReason>(i % 50));
  }
  EXPECT_GT(known, 128u);
  EXPECT_LE(known, 256u);
}

}  // namespace
}  // namespace cygnet
