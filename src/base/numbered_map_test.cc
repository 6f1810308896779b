#include "base/numbered_map.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

namespace cygnet {
namespace {

std::vector<uint64_t> NumbersOf(const NumberedMap<int>& map) {
  std::vector<uint64_t> numbers;
  for (const auto& [number, value] : map) numbers.push_back(number);
  return numbers;
}

TEST(NumberedMapTest, EntriesAreInOrderHoweverTheyCome) {
  NumberedMap<int> map;
  for (const uint64_t number : {5u, 9u, 7u, 1u, 20u}) map.insert_or_assign(number, 1);
  EXPECT_EQ(NumbersOf(map), (std::vector<uint64_t>{1, 5, 7, 9, 20}));
  EXPECT_EQ(map.last(), 20u);
  EXPECT_TRUE(map.erase(20));
  EXPECT_EQ(map.last(), 9u);
  EXPECT_FALSE(map.erase(20));
  map.insert_or_assign(20, 2);
  EXPECT_EQ(map.at(20), 2);
}

// Against std::map, with more holes than entries at times.
TEST(NumberedMapTest, EqualsAMap) {
  std::mt19937 random(1);
  NumberedMap<int> map;
  std::map<uint64_t, int> model;
  for (int i = 0; i < 50'000; ++i) {
    const uint64_t number = random() % 100 < 90 ? static_cast<uint64_t>(i) : random() % 50'000;
    const bool grows = i / 5'000 % 2 == 0;
    if (random() % 100 < (grows ? 80 : 20)) {
      map.insert_or_assign(number, i);
      model.insert_or_assign(number, i);
    } else if (!model.empty()) {
      const uint64_t victim = model.lower_bound(random() % model.rbegin()->first)->first;
      EXPECT_TRUE(map.erase(victim));
      model.erase(victim);
    }
    const uint64_t asked = random() % 50'000;
    ASSERT_EQ(map.contains(asked), model.contains(asked)) << i;
    ASSERT_EQ(map.size(), model.size());
    const auto at = map.lower_bound(asked);
    const auto expected = model.lower_bound(asked);
    ASSERT_EQ(at == map.end(), expected == model.end());
    if (expected != model.end()) {
      ASSERT_EQ(at->first, expected->first);
    }
  }
  auto expected = model.begin();
  for (const auto& [number, value] : map) {
    ASSERT_EQ(number, expected->first);
    ASSERT_EQ(value, expected->second);
    ++expected;
  }
  EXPECT_EQ(expected, model.end());
}

// A walk may remove what it visits, and others may be added meanwhile.
TEST(NumberedMapTest, AWalkSurvivesChanges) {
  NumberedMap<int> map;
  for (uint64_t i = 0; i < 1000; ++i) map.insert_or_assign(i, 0);
  uint64_t visited = 0;
  uint64_t next = 1000;
  for (auto it = map.begin(); it != map.end();) {
    const uint64_t number = it->first;
    ++it;
    if (number >= 1000) break;
    ++visited;
    map.erase(number);
    if (number % 2 == 0) map.insert_or_assign(next++, 1);
  }
  EXPECT_EQ(visited, 1000u);
  EXPECT_EQ(map.size(), 500u);
  for (auto it = map.begin(); it != map.end(); ++it) map.erase(it->first);
  EXPECT_TRUE(map.empty());
}

// However many were erased after it; a walk that stands on an erased entry goes on behind it.
TEST(NumberedMapTest, TheLastIsNeverAHole) {
  NumberedMap<int> map;
  for (uint64_t i = 0; i < 1000; ++i) map.insert_or_assign(i, 0);
  for (uint64_t i = 500; i < 999; ++i) map.erase(i);
  EXPECT_EQ(map.last(), 999u);
  auto it = map.find(999);
  map.erase(999);
  EXPECT_EQ(map.last(), 499u);
  EXPECT_EQ(map.size(), 500u);
  map.insert_or_assign(2000, 7);
  ++it;
  ASSERT_NE(it, map.end());
  EXPECT_EQ(it->first, 2000u);
  EXPECT_EQ(map.last(), 2000u);
  EXPECT_TRUE(map.erase(2000));
  EXPECT_EQ(map.last(), 499u);
  map.insert_or_assign(700, 8);  // a hole that is gone
  EXPECT_EQ(map.at(700), 8);
  EXPECT_EQ(NumbersOf(map).back(), 700u);
}

TEST(NumberedMapTest, ErasingFreesTheValue) {
  NumberedMap<std::shared_ptr<int>> map;
  const auto value = std::make_shared<int>(1);
  map.insert_or_assign(1, value);
  map.insert_or_assign(2, value);
  map.erase(1);
  EXPECT_EQ(value.use_count(), 2);
}

}  // namespace
}  // namespace cygnet
