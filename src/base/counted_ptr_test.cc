#include "base/counted_ptr.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

namespace cygnet {
namespace {

struct Counted {
  explicit Counted(int* of_ended) : ended(of_ended) {}
  ~Counted() { ++*ended; }
  const OwnerCount owner_count;
  int* const ended;
};
using Ptr = CountedPtr<Counted>;
using ConstPtr = CountedPtr<const Counted>;

class CountedPtrTest : public testing::Test {
 protected:
  Ptr Make() { return Ptr(new Counted(&ended_)); }
  int ended_ = 0;
};

TEST_F(CountedPtrTest, IsOneWord) { EXPECT_EQ(sizeof(Ptr), sizeof(void*)); }

TEST_F(CountedPtrTest, LastOwnerEndsIt) {
  Ptr first = Make();
  Ptr second = first;
  EXPECT_EQ(first, second);
  first.reset();
  EXPECT_EQ(first, nullptr);
  EXPECT_EQ(ended_, 0);
  second = nullptr;
  EXPECT_EQ(ended_, 1);
}

TEST_F(CountedPtrTest, MovedFromOwnsNothing) {
  Ptr first = Make();
  Ptr second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: the state of a moved-from owner is the point
  EXPECT_TRUE(second);
  first = std::move(second);
  EXPECT_EQ(ended_, 0);
  { const Ptr third = std::move(first); }
  EXPECT_EQ(ended_, 1);
}

TEST_F(CountedPtrTest, AssignmentReleasesWhatWasOwned) {
  Ptr owner = Make();
  Ptr& same = owner;
  owner = same;
  EXPECT_EQ(ended_, 0);
  owner = Make();
  EXPECT_EQ(ended_, 1);
  owner = nullptr;
  EXPECT_EQ(ended_, 2);
}

TEST_F(CountedPtrTest, ReadersAreOwners) {
  Ptr owner = Make();
  ConstPtr reader = owner;
  EXPECT_EQ(reader.get(), owner.get());
  owner = nullptr;
  EXPECT_EQ(ended_, 0);
  ConstPtr moved = Make();  // from a temporary
  reader = std::move(moved);
  EXPECT_EQ(ended_, 1);
  reader = nullptr;
  EXPECT_EQ(ended_, 2);
}

TEST_F(CountedPtrTest, OwnersOfManyThreadsEndItOnce) {
  for (int round = 0; round < 20; ++round) {
    const ConstPtr shared = Make();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([own = shared] {
        for (int i = 0; i < 10'000; ++i) const ConstPtr copy = own;
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(ended_, 20);
}

}  // namespace
}  // namespace cygnet
