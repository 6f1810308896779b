// PoolsTest: a fixture for tests with packets; it checks the pools' balance.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "packet/packet_batch.h"

namespace cygnet::test {

// Every packet must be back in the pools at the end.
class PoolsTest : public testing::Test {
 protected:
  PoolsTest() : caches_(std::in_place, &pools_), sink_(&*caches_, &counters_) {}
  void TearDown() override {
    caches_.reset();
    EXPECT_EQ(pools_.small.Available(), pools_.small.count());
    EXPECT_EQ(pools_.jumbo.Available(), pools_.jumbo.count());
    EXPECT_EQ(pools_.large.Available(), pools_.large.count());
  }

  uint64_t Drops(DropReason reason) const { return counters_.Get(reason); }
  uint64_t AllDrops() const {
    uint64_t sum = 0;
    for (std::size_t i = 0; i < kDropReasons; ++i) sum += Drops(static_cast<DropReason>(i));
    return sum;
  }

  PacketPools pools_{2048, 32};
  std::optional<PacketCaches> caches_;
  DropCounters counters_;
  DropSink sink_;
};

}  // namespace cygnet::test
