#include "control/own_devices.h"

#include <gtest/gtest.h>

#include "support/fake_clock.h"

namespace cygnet {
namespace {

constexpr int32_t kNic0 = 7, kNic1 = 8, kBridge = 20, kVlan = 21, kForeign = 30;

class OwnDevicesTest : public testing::Test {
 protected:
  test::FakeClock clock_;
  int asked_ = 0;
  std::vector<HostLink> links_{
      {.ifindex = kNic0},
      {.ifindex = kNic1, .master = kBridge},
      {.ifindex = kBridge, .kind = "bridge"},
      {.ifindex = kVlan, .kind = "vlan", .lower = kBridge},
      {.ifindex = kForeign},
  };
  OwnDevices devices_{{kNic0, kNic1},
                      [this] {
                        ++asked_;
                        return links_;
                      },
                      &clock_};
};

TEST_F(OwnDevicesTest, NumberIsThatOfTheDeviceBelow) {
  EXPECT_EQ(devices_.NumberOf(kNic0), 0u);
  EXPECT_EQ(asked_, 0) << "the kernel is not asked for a device";
  EXPECT_EQ(devices_.NumberOf(kBridge), 1u);
  EXPECT_EQ(devices_.NumberOf(kVlan), 1u);
  EXPECT_EQ(devices_.NumberOf(kForeign), std::nullopt);
  EXPECT_EQ(devices_.Under(kVlan), kNic1);
  EXPECT_EQ(devices_.Under(kForeign), 0);
  EXPECT_EQ(devices_.ifindex(1), kNic1);
}

TEST_F(OwnDevicesTest, KernelIsAskedOnceASecond) {
  EXPECT_EQ(devices_.Under(kForeign), 0);
  links_.push_back({.ifindex = 40, .kind = "vlan", .lower = kNic0});
  EXPECT_EQ(devices_.Under(40), 0) << "read a moment ago";
  EXPECT_EQ(asked_, 1);
  clock_.monotonic_ns += 1'000'000'000;
  EXPECT_EQ(devices_.Under(40), kNic0);
  EXPECT_EQ(asked_, 2);
}

TEST_F(OwnDevicesTest, SelectorMayNameOnlyThem) {
  Selector selector;
  EXPECT_TRUE(devices_.RefuseForeignInterface(selector)) << "it names none";
  selector.ifindex = kNic1;
  EXPECT_TRUE(devices_.RefuseForeignInterface(selector));
  selector.ifindex = kVlan;  // the data path sees nic1, whatever is stacked on it
  EXPECT_EQ(devices_.RefuseForeignInterface(selector).error().code, Errc::kNotSupported);
  EXPECT_NE(devices_.RefuseForeignInterface(selector).error().message.find("over one of Cygnet's"),
            std::string::npos);
  selector.ifindex = kForeign;
  EXPECT_EQ(devices_.RefuseForeignInterface(selector).error().code, Errc::kNotSupported);
}

TEST(OwnDevicesWithoutLinksTest, OnlyTheDevicesThemselvesAreKnown) {
  const test::FakeClock clock;
  const OwnDevices devices({kNic0}, {}, &clock);
  EXPECT_EQ(devices.NumberOf(kNic0), 0u);
  EXPECT_EQ(devices.NumberOf(kBridge), std::nullopt);
}

}  // namespace
}  // namespace cygnet
