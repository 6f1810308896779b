#include "base/huge_memory.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include "base/boxed.h"

namespace cygnet {
namespace {

struct alignas(64) Thing : FromSlab<Thing> {
  uint64_t words[9] = {};
};

TEST(HugeMemoryTest, ObjectsAreApartAndAligned) {
  std::vector<std::unique_ptr<Thing>> things;
  std::set<uintptr_t> places;
  for (uint64_t i = 0; i < 50'000; ++i) {  // more than the first two regions hold
    things.push_back(std::make_unique<Thing>());
    things.back()->words[0] = things.back()->words[8] = i;
    const auto at = reinterpret_cast<uintptr_t>(things.back().get());
    EXPECT_EQ(at % 64, 0u);
    places.insert(at / sizeof(Thing));
  }
  for (uint64_t i = 0; i < things.size(); ++i) {
    ASSERT_EQ(things[i]->words[0], i);
    ASSERT_EQ(things[i]->words[8], i);
  }
  EXPECT_EQ(places.size(), things.size());
}

TEST(HugeMemoryTest, WhatIsGivenBackIsTakenAgain) {
  if (!kSlabs) GTEST_SKIP() << "slabs are off: the heap decides";
  auto thing = std::make_unique<Thing>();
  const void* place = thing.get();
  thing.reset();
  EXPECT_EQ(std::make_unique<Thing>().get(), place);
}

TEST(HugeMemoryTest, PartsAreApartAndAlignedToTheirSize) {
  if (!kSlabs) GTEST_SKIP() << "parts are never given back, which LeakSanitizer would report";
  std::set<uintptr_t> parts;
  for (int i = 0; i < 100; ++i) {
    const auto at = reinterpret_cast<uintptr_t>(HugeParts::Take());
    EXPECT_EQ(at % HugeParts::kBytes, 0u);
    parts.insert(at);
  }
  EXPECT_EQ(parts.size(), 100u);
}

TEST(HugeMemoryTest, LargeArraysAreAtHugePages) {
  std::vector<uint64_t, HugeAllocator<uint64_t>> large(kHugePage / 4);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large.data()) % kHugePage, 0u);
  std::vector<Thing, HugeAllocator<Thing>> few(3);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(few.data()) % alignof(Thing), 0u);
}

TEST(BoxedTest, IsAnOptional) {
  Boxed<int> none;
  EXPECT_FALSE(none.has_value());
  EXPECT_EQ(none.value_or(5), 5);
  Boxed<int> some = 3;
  EXPECT_EQ(*some, 3);
  EXPECT_EQ(some, 3);
  EXPECT_FALSE(some == none);
  Boxed<int> copy = some;
  *copy = 4;
  EXPECT_EQ(*some, 3);
  some = std::nullopt;
  EXPECT_EQ(some, none);
  some = std::optional<int>(7);
  EXPECT_EQ(*some, 7);
  some = std::optional<int>();
  EXPECT_FALSE(some);
}

}  // namespace
}  // namespace cygnet
