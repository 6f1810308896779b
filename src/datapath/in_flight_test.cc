#include "datapath/in_flight.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

struct Item {
  int number = 0;
  uint64_t held_since = 0;
};

// A packet with several transforms is parked again in a later batch. It refers to objects of the
// first time, which must live as long.
TEST(InFlightTest, WhatIsParkedAgainHoldsTheEpochOfTheFirstTime) {
  InFlight<Item> parked;
  parked.Park({.number = 1}, 5);
  parked.Finish(0, CryptoStatus::kOk);
  Item item;
  CryptoStatus status;
  ASSERT_TRUE(parked.Pop(&item, &status));
  EXPECT_EQ(parked.oldest_epoch(), Quiescence::Reader::kNothingHeld);
  parked.Park({.number = 2}, 8);
  parked.Park(item, 9);
  EXPECT_EQ(parked.oldest_epoch(), 5u) << "behind a newer one";
  parked.Finish(1, CryptoStatus::kOk);
  ASSERT_TRUE(parked.Pop(&item, &status));
  EXPECT_EQ(item.number, 2);
  EXPECT_EQ(parked.oldest_epoch(), 5u);
  parked.Finish(2, CryptoStatus::kOk);
  ASSERT_TRUE(parked.Pop(&item, &status));
  EXPECT_EQ(parked.oldest_epoch(), Quiescence::Reader::kNothingHeld);
  parked.Park({.number = 3}, 11);
  EXPECT_EQ(parked.oldest_epoch(), 11u);
}

}  // namespace
}  // namespace cygnet
