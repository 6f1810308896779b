#include "control/address_updates.h"

#include <gtest/gtest.h>

#include "support/fake_clock.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

HostAddress On(int32_t ifindex, const std::string& address, uint8_t prefix_bits = 24) {
  return {.at = test::Addr(address), .ifindex = ifindex, .prefix_bits = prefix_bits, .peer = {}};
}

class AddressUpdatesTest : public testing::Test {
 protected:
  ~AddressUpdatesTest() override {
    while (path_.quiescence.Collect() != 0) continue;
  }
  bool PathKnows(const std::string& address) const {
    const ParsedAddress parsed = test::Addr(address);
    return path_.host_addresses().Contains(parsed.address, parsed.family);
  }
  void Change(const HostAddress& address, bool present) {
    const AddressChange change{.address = address, .present = present};
    updates_.Apply({&change, 1});
  }

  test::FakeClock clock_;
  DataPath path_{1};
  void OwnLocal(const std::string& prefix) {
    const AddressPrefix network = *ParsePrefix(prefix);
    updates_.AddLocal({&network, 1});
  }

  int readings_ = 0;
  std::vector<HostAddress> present_{On(1, "192.0.2.1")};
  std::optional<std::vector<AddressPrefix>> local_{std::in_place};
  std::function<void()> waiting_events_ = [] {};
  AddressUpdates updates_{&path_,
                          &clock_,
                          {.read = [this]() -> std::optional<std::vector<HostAddress>> {
                             ++readings_;
                             if (present_.empty()) return std::nullopt;
                             return present_;
                           },
                           .read_local = [this]() { return local_; },
                           .take_events = [this] { waiting_events_(); }}};
};

TEST_F(AddressUpdatesTest, AnEventIsAppliedAtOnceWithoutReadingTheList) {
  for (const char* address : {"192.0.2.1", "192.0.2.2", "2001:db8::1"}) {
    Change(On(1, address), true);
    EXPECT_TRUE(PathKnows(address));
  }
  Change(On(1, "192.0.2.2"), false);
  EXPECT_FALSE(PathKnows("192.0.2.2"));
  EXPECT_EQ(path_.host_addresses().all().size(), 2u);
  EXPECT_EQ(readings_, 0);
}

TEST_F(AddressUpdatesTest, AnAddressStaysUntilItsLastInterfaceLosesIt) {
  Change(On(1, "192.0.2.1"), true);
  Change(On(2, "192.0.2.1"), true);
  Change(On(2, "192.0.2.1", 16), true);
  EXPECT_EQ(path_.host_addresses().all().size(), 1u);
  Change(On(1, "192.0.2.1"), false);
  Change(On(2, "192.0.2.1"), false);
  EXPECT_TRUE(PathKnows("192.0.2.1"));
  Change(On(2, "192.0.2.1", 16), false);
  EXPECT_FALSE(PathKnows("192.0.2.1"));
}

TEST_F(AddressUpdatesTest, LostEventsHaveTheListReadAtALimitedRate) {
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 0) << "nothing was lost";
  Change(On(1, "192.0.2.7"), true);
  updates_.OnLost();
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 1);
  EXPECT_TRUE(PathKnows("192.0.2.1"));
  EXPECT_FALSE(PathKnows("192.0.2.7")) << "its removal was lost";
  updates_.OnLost();
  clock_.monotonic_ns += 49'999'999;
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 1) << "too soon";
  clock_.monotonic_ns += 1;
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 2);
}

TEST_F(AddressUpdatesTest, AListThatCannotBeReadIsAskedForAgain) {
  Change(On(1, "192.0.2.7"), true);
  present_.clear();
  updates_.OnLost();
  updates_.ReadIfDue();
  EXPECT_TRUE(PathKnows("192.0.2.7")) << "what is known stays";
  present_ = {On(1, "192.0.2.9")};
  clock_.monotonic_ns += 50'000'000;
  updates_.ReadIfDue();
  EXPECT_TRUE(PathKnows("192.0.2.9"));
}

TEST_F(AddressUpdatesTest, ARequestKnowsWhatWasSetBeforeIt) {
  waiting_events_ = [this] { Change(On(1, "192.0.2.5"), true); };
  updates_.CatchUp();
  EXPECT_TRUE(PathKnows("192.0.2.5"));
  updates_.OnLost();
  updates_.ReadIfDue();
  updates_.OnLost();
  updates_.CatchUp();
  EXPECT_EQ(readings_, 2) << "a request does not wait for the limit";
}

TEST_F(AddressUpdatesTest, WhatRoutesDeliverToTheHostIsItsOwn) {
  Change(On(1, "192.0.2.1"), true);
  for (const char* prefix : {"192.0.2.255", "10.77.0.0/24", "2001:db8::"}) OwnLocal(prefix);
  for (const char* own : {"192.0.2.1", "192.0.2.255", "10.77.0.9", "2001:db8::"}) {
    EXPECT_TRUE(PathKnows(own)) << own;
  }
  for (const char* other : {"192.0.2.254", "10.77.1.0", "2001:db8::1"}) {
    EXPECT_FALSE(PathKnows(other)) << other;
  }
  EXPECT_EQ(path_.host_addresses().all().size(), 1u) << "they are not addresses of interfaces";
  EXPECT_EQ(readings_, 0);
}

TEST_F(AddressUpdatesTest, AnAddressThatGoesHasTheRoutesReadAnew) {
  Change(On(1, "192.0.2.1"), true);
  OwnLocal("192.0.2.255");
  Change(On(1, "192.0.2.1"), false);
  present_ = {On(1, "10.1.0.1")};
  updates_.ReadIfDue();
  EXPECT_EQ(readings_, 1);
  EXPECT_FALSE(PathKnows("192.0.2.255"));
}

TEST_F(AddressUpdatesTest, RoutesThatCannotBeReadStay) {
  OwnLocal("10.77.0.0/24");
  local_.reset();
  updates_.OnLost();
  updates_.ReadIfDue();
  EXPECT_TRUE(PathKnows("10.77.0.9"));
  local_.emplace();
  clock_.monotonic_ns += 50'000'000;
  updates_.ReadIfDue();
  EXPECT_FALSE(PathKnows("10.77.0.9"));
}

TEST_F(AddressUpdatesTest, SameAddressesLeaveFlowCachesValid) {
  Change(On(1, "192.0.2.1"), true);
  const uint64_t generation = path_.generation();
  Change(On(1, "192.0.2.1"), true);
  Change(On(2, "192.0.2.1"), true);
  OwnLocal("192.0.2.1");  // the route of the address itself
  local_ = {*ParsePrefix("192.0.2.1")};
  updates_.OnLost();
  updates_.CatchUp();
  EXPECT_EQ(path_.generation(), generation);
}

}  // namespace
}  // namespace cygnet
