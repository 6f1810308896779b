#include "net/ike_message.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;

Bytes Udp(const Bytes& payload) {
  Bytes header(8);
  test::Put16(&header, 4, static_cast<uint32_t>(8 + payload.size()));
  return header + payload;
}

Bytes Ike(int version, std::size_t body) {
  Bytes message(28 + body, 5);
  message[17] = static_cast<uint8_t>(version);
  test::Put32(&message, 24, static_cast<uint32_t>(message.size()));
  return message;
}

TEST(IkeMessageTest, BothVersionsAndTheMarkerOnPort4500) {
  for (const int version : {0x10, 0x20}) {
    for (const std::size_t body : {0u, 1u, 400u}) {
      const Bytes message = Ike(version, body);
      EXPECT_TRUE(IsIkeMessage(Udp(message), 500));
      EXPECT_TRUE(IsIkeMessage(Udp(Bytes(4, 0) + message), 4500));
      EXPECT_FALSE(IsIkeMessage(Udp(message), 4500));
      EXPECT_FALSE(IsIkeMessage(Udp(Bytes(4, 0) + message), 500));
    }
  }
  EXPECT_TRUE(IsIkeMessage(Udp({0xff}), 4500));
  EXPECT_FALSE(IsIkeMessage(Udp({0xff}), 500));
  EXPECT_FALSE(IsIkeMessage(Udp({0xff, 0xff}), 4500));
}

TEST(IkeMessageTest, WhatOnlyHasThePortIsNot) {
  EXPECT_FALSE(IsIkeMessage(Udp(Bytes(4, 0) + test::Pattern(60)), 4500));
  EXPECT_FALSE(IsIkeMessage(Udp(test::Pattern(60)), 500));
  for (const int version : {0x00, 0x11, 0x21, 0x30}) {
    EXPECT_FALSE(IsIkeMessage(Udp(Ike(version, 20)), 500));
  }
  Bytes more = Ike(0x20, 20);
  more.push_back(0);
  EXPECT_FALSE(IsIkeMessage(Udp(more), 500));
  Bytes nobody = Ike(0x20, 20);
  std::fill(nobody.begin(), nobody.begin() + 8, uint8_t{0});
  EXPECT_FALSE(IsIkeMessage(Udp(nobody), 500));
  const Bytes whole = Udp(Ike(0x20, 8));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(IsIkeMessage(std::span(whole).first(n), 500)) << n;
  }
  EXPECT_FALSE(IsIkeMessage(whole + Bytes(4, 0), 500));  // after the UDP datagram
}

}  // namespace
}  // namespace cygnet
