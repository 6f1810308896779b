#include "base/memory_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet {
namespace {

TEST(MemoryCheckTest, WhatFitsIsFine) {
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(CheckMemory(uint64_t{64} << 20, "pools.small = 1"));
}

TEST(MemoryCheckTest, WhatDoesNotFitIsNamed) {
  const Status status = CheckMemory(uint64_t{1} << 50, "pools.small = 7");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kNoMemory);
  EXPECT_THAT(status.error().message,
              testing::StartsWith("pools.small = 7: 1073741824 MiB of memory are needed"));
}

}  // namespace
}  // namespace cygnet
