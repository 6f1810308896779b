#include "base/unix_address.h"

#include <gtest/gtest.h>

#include <string>

namespace cygnet {
namespace {

UnixAddress Of(const std::string& name) { return {name.data(), name.size()}; }

sockaddr_un Kernels(const UnixAddress& address) {
  sockaddr_un copy{};
  std::memcpy(&copy, address.get(), address.length());
  return copy;
}

TEST(UnixAddressTest, HoldsAPathOrAnAbstractName) {
  const std::string name("\0cygnet", 7);
  const UnixAddress address = Of(name);
  ASSERT_TRUE(address.valid());
  EXPECT_EQ(address.get()->sa_family, AF_UNIX);
  EXPECT_EQ(address.length(), offsetof(sockaddr_un, sun_path) + 7);
  EXPECT_EQ(std::string(Kernels(address).sun_path, 7), name);
}

TEST(UnixAddressTest, WhatDoesNotFitIsNotValid) {
  EXPECT_TRUE(Of(std::string(sizeof(sockaddr_un::sun_path), 'x')).valid());
  EXPECT_FALSE(Of(std::string(sizeof(sockaddr_un::sun_path) + 1, 'x')).valid());
  EXPECT_FALSE(Of("").valid());
}

TEST(UnixAddressTest, ANameIsItselfAndNoOther) {
  const UnixAddress address = Of(std::string("\0one", 4));
  EXPECT_TRUE(address.Is(Kernels(address), address.length()));
  EXPECT_FALSE(address.Is(Kernels(address), address.length() - 1));
  for (const std::string& other : {std::string("\0two", 4), std::string("\0one\0", 5)}) {
    EXPECT_FALSE(address.Is(Kernels(Of(other)), Of(other).length()));
  }
}

}  // namespace
}  // namespace cygnet
