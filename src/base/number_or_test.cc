#include "base/number_or.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/made_on_use.h"

namespace cygnet {
namespace {

TEST(NumberOrTest, IsANumberOrAValue) {
  using Either = NumberOr<std::string>;
  static_assert(sizeof(Either) == 8);
  Either number(~uint32_t{0});
  EXPECT_EQ(number.value(), nullptr);
  EXPECT_EQ(number.number(), ~uint32_t{0});
  Either text(std::string(100, 'x'));
  ASSERT_NE(text.value(), nullptr);
  Either copy = text;
  *copy.value() = "changed";
  EXPECT_EQ(*text.value(), std::string(100, 'x'));
  copy = number;
  EXPECT_EQ(copy.number(), ~uint32_t{0});
  const Either moved = std::move(text);
  EXPECT_EQ(moved.value()->size(), 100u);
  EXPECT_EQ(Either().number(), 0u);
}

TEST(MadeOnUseTest, ThreadsThatNeedItFirstGetTheSame) {
  for (int round = 0; round < 100; ++round) {
    MadeOnUse<int> value;
    EXPECT_EQ(value.get(), nullptr);
    int* seen[2] = {};
    std::vector<std::thread> threads;
    for (int** mine : {&seen[0], &seen[1]})
      threads.emplace_back([&, mine] { *mine = &value.Get(); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(seen[0], seen[1]);
    EXPECT_EQ(value.get(), seen[0]);
  }
}

}  // namespace
}  // namespace cygnet
