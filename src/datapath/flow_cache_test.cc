#include "datapath/flow_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>

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

TEST(FlowCacheTest, FlowsOfOnePlaceAreToldApart) {
  FlowCache cache(64);
  const uint32_t place = FlowCache::PlaceOf(Flow(1), 0);
  cache.StoreAt(place, Flow(1), 0, 1, Decision(DropReason::kOutTooBig));
  cache.StoreAt(place, Flow(2), 0, 1, Decision(DropReason::kOutBlocked));
  ASSERT_NE(cache.FindAt(place, Flow(1), 0, 1), nullptr);
  EXPECT_EQ(cache.FindAt(place, Flow(1), 0, 1)->reason, DropReason::kOutTooBig);
  ASSERT_NE(cache.FindAt(place, Flow(2), 0, 1), nullptr);
  EXPECT_EQ(cache.FindAt(place, Flow(2), 0, 1)->reason, DropReason::kOutBlocked);
  cache.StoreAt(place, Flow(2), 0, 1, Decision(DropReason::kOutTooBig));
  EXPECT_EQ(cache.FindAt(place, Flow(2), 0, 1)->reason, DropReason::kOutTooBig);
  cache.StoreAt(place, Flow(3), 0, 1, {});
  EXPECT_EQ(cache.FindAt(place, Flow(1), 0, 1), nullptr);  // longer unseen than flow 2
  EXPECT_NE(cache.FindAt(place, Flow(2), 0, 1), nullptr);
}

TEST(FlowCacheTest, AFlowIsFoundAtItsPlaceAlone) {
  FlowCache cache(2);  // one set: places differ by their marks
  const uint32_t place = FlowCache::PlaceOf(Flow(1), 0);
  cache.StoreAt(place, Flow(1), 0, 1, {});
  EXPECT_NE(cache.FindAt(place, Flow(1), 0, 1), nullptr);
  EXPECT_EQ(cache.FindAt(place ^ 0x80000000u, Flow(1), 0, 1), nullptr);
}

TEST(FlowCacheTest, AChainKeepsAllItsSas) {
  alignas(64) std::array<std::array<std::byte, 64>, 3> places;
  const auto sa = [&](std::size_t i) { return reinterpret_cast<OutboundSa*>(&places[i]); };
  FlowCache cache(2);
  FlowDecision decision;
  decision.chain.size = 3;
  for (std::size_t i = 0; i < 3; ++i) decision.chain.sas[i] = sa(i);
  cache.Store(Flow(1), 0, 1, decision);
  FlowDecision shorter;
  shorter.chain.size = 1;
  shorter.chain.sas[0] = sa(2);
  cache.Store(Flow(2), 0, 1, shorter);
  const FlowDecision* known = cache.Find(Flow(1), 0, 1);
  ASSERT_NE(known, nullptr);
  EXPECT_EQ(known->chain.size, 3);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(known->chain.sas[i], sa(i));
  cache.Store(Flow(1), 0, 1, shorter);
  EXPECT_EQ(cache.Find(Flow(1), 0, 1)->chain.size, 1);
  EXPECT_EQ(cache.Find(Flow(1), 0, 1)->chain.sas[0], sa(2));
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
