#include "daemon/store/number_index.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>

namespace cygnet {
namespace {

using Known = NumberIndex::Known;

// Of few homes, so that many ids share one.
NumberId Id(uint8_t home, uint8_t rest) {
  NumberId id{};
  id[0] = home;
  id[15] = rest;
  return id;
}

std::map<NumberId, uint32_t> All(const NumberIndex& index) {
  std::map<NumberId, uint32_t> all;
  index.ForEach([&all](const NumberId& id, const Known& known) { all[id] = known.living; });
  return all;
}

TEST(NumberIndexTest, KnowsNothingAtFirst) {
  NumberIndex index;
  EXPECT_EQ(index.Find(Id(1, 1)), nullptr);
  index.Forget(Id(1, 1));
  EXPECT_EQ(index.size(), 0u);
}

TEST(NumberIndexTest, ForgottenIdLeavesThoseBehindItFindable) {
  NumberIndex index;
  // The last place of the array comes before the first.
  uint8_t rest = 0;
  for (const uint8_t home : std::array<uint8_t, 6>{15, 15, 15, 0, 1, 15}) {
    index.Change(Id(home, rest++), [](Known* known) { known->living = 1; });
  }
  ASSERT_EQ(index.size(), 6u);
  index.Forget(Id(15, 0));
  EXPECT_EQ(index.Find(Id(15, 0)), nullptr);
  for (const NumberId& id : {Id(15, 1), Id(15, 2), Id(0, 3), Id(1, 4), Id(15, 5)}) {
    EXPECT_NE(index.Find(id), nullptr) << int{id[0]} << " " << int{id[15]};
  }
}

TEST(NumberIndexTest, IsAsAMapWhateverComesAndGoes) {
  NumberIndex index;
  std::map<NumberId, uint32_t> model;
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const NumberId id =
        Id(static_cast<uint8_t>(random() % 24), static_cast<uint8_t>(random() % 16));
    if (random() % 3 == 0) {
      index.Forget(id);
      model.erase(id);
    } else {
      index.Change(id, [](Known* known) { ++known->living; });
      ++model[id];
    }
    ASSERT_EQ(index.size(), model.size());
    if (i % 1000 != 0) continue;
    ASSERT_EQ(All(index), model);
  }
  for (const auto& [id, living] : model) ASSERT_EQ(index.Find(id)->living, living);
}

TEST(NumberIndexTest, AnEntryKeepsAnIdKnownAfterItsSas) {
  NumberIndex index;
  index.Change(Id(1, 1), [](Known* known) { known->at = 0; });
  index.Change(Id(1, 1), [](Known* known) { ++known->living; });
  index.Change(Id(1, 1), [](Known* known) { --known->living; });
  ASSERT_NE(index.Find(Id(1, 1)), nullptr);
  EXPECT_EQ(index.Find(Id(1, 1))->at, 0u);
}

}  // namespace
}  // namespace cygnet
