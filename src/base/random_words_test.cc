#include "base/random_words.h"

#include <gtest/gtest.h>

#include <set>

namespace cygnet {
namespace {

TEST(RandomWordsTest, NoWordComesTwice) {
  RandomWords words;
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(words.Next());
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_FALSE(seen.contains(0)) << "what is left of a word that was returned";
}

}  // namespace
}  // namespace cygnet
