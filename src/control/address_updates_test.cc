#include "control/address_updates.h"

#include <gtest/gtest.h>

#include "support/fake_clock.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

class AddressUpdatesTest : public testing::Test {
 protected:
  ~AddressUpdatesTest() override {
    while (path_.quiescence.Collect() != 0) continue;
  }
  bool PathKnows(const std::string& address) const {
    const ParsedAddress parsed = test::Addr(address);
    return path_.host_addresses().Contains(parsed.address, parsed.family);
  }

  test::FakeClock clock_;
  DataPath path_{1};
  int readings_ = 0;
  std::vector<ParsedAddress> present_{test::Addr("192.0.2.1")};
  AddressUpdates updates_{&path_, &clock_, [this] {
                            ++readings_;
                            return present_;
                          }};
};

TEST_F(AddressUpdatesTest, NothingIsReadWithoutAChange) {
  updates_.ReadNow();
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 0);
  updates_.OnChange();
  updates_.ReadIfDue();
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 1);
  EXPECT_TRUE(PathKnows("192.0.2.1"));
}

TEST_F(AddressUpdatesTest, FloodOfChangesWaitsButPlacementDoesNot) {
  updates_.OnChange();
  updates_.ReadIfDue();
  present_ = {test::Addr("192.0.2.9")};
  updates_.OnChange();
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 1) << "too soon";
  updates_.ReadNow();
  EXPECT_TRUE(PathKnows("192.0.2.9"));
  updates_.OnChange();
  clock_.monotonic_ns += 49'999'999;
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 2);
  clock_.monotonic_ns += 1;
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 3);
}

TEST_F(AddressUpdatesTest, SameAddressesLeaveFlowCachesValid) {
  updates_.OnChange();
  updates_.ReadNow();
  const uint64_t generation = path_.generation();
  updates_.OnChange();
  updates_.ReadNow();
  EXPECT_EQ(path_.generation(), generation);
}

}  // namespace
}  // namespace cygnet
