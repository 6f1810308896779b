#include "daemon/config/virtual_address.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

TEST(VirtualAddressTest, IsReadAsKeepalivedWritesIt) {
  const auto v4 = ParseVirtualAddress("192.0.2.1/24 dev nic0");
  ASSERT_TRUE(v4) << v4.error().message;
  EXPECT_EQ(v4->family, IpFamily::kV4);
  EXPECT_EQ(v4->bits, 24);
  EXPECT_EQ(v4->device, "nic0");
  EXPECT_EQ(ToString(*v4), "192.0.2.1/24 dev nic0");
  const auto v6 = ParseVirtualAddress("  2001:db8::1/64   dev nic1 ");
  ASSERT_TRUE(v6) << v6.error().message;
  EXPECT_EQ(ToString(*v6), "2001:db8::1/64 dev nic1");
}

TEST(VirtualAddressTest, WithoutALengthItIsOneHost) {
  const auto address = ParseVirtualAddress("192.0.2.1 dev nic0");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->bits, 32);
}

TEST(VirtualAddressTest, AnythingElseIsRefusedWithTheForm) {
  for (const char* text :
       {"", "192.0.2.1/24", "192.0.2.1/24 nic0", "192.0.2.1/24 dev", "192.0.2.1/33 dev nic0",
        "192.0.2.1/0 dev nic0", "192.0.2.1/x dev nic0", "192.0.2.1/ dev nic0", "224.0.0.1/24 dev a",
        "ff02::1/64 dev nic0", "::/64 dev nic0", "192.0.2.1/24 dev nic0 scope",
        "192.0.2.1/24 dev 0123456789abcdef", "192.0.2.1/24 dev a/b"}) {
    const auto address = ParseVirtualAddress(text);
    ASSERT_FALSE(address) << text;
    EXPECT_NE(address.error().message.find("192.0.2.1/24 dev nic0"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace cygnet
