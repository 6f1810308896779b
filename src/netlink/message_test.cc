#include "netlink/message.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "netlink/builder.h"

namespace cygnet::netlink {
namespace {

std::vector<uint8_t> Header(uint32_t length, std::size_t bytes_there) {
  nlmsghdr header{};
  header.nlmsg_len = length;
  std::vector<uint8_t> bytes(std::max(bytes_there, sizeof(header)), 0xee);
  std::memcpy(bytes.data(), &header, sizeof(header));
  bytes.resize(bytes_there);
  return bytes;
}

TEST(NextMessageTest, EndsAtTheEnd) {
  std::span<const uint8_t> rest;
  EXPECT_FALSE(NextMessage(rest).has_value());
}

TEST(NextMessageTest, TakesEveryLengthThatFitsAndNoOther) {
  for (uint32_t length = 0; length < 64; ++length) {
    for (std::size_t there = 0; there < 64; ++there) {
      const auto bytes = Header(length, there);
      std::span<const uint8_t> rest(bytes);
      const auto message = NextMessage(rest);
      const bool fits = there >= kHeaderSize && length >= kHeaderSize && length <= there;
      ASSERT_EQ(message.has_value(), fits) << length << " of " << there;
      if (fits) {
        EXPECT_EQ(message->bytes.size(), length);
        EXPECT_EQ(rest.size(), there - std::min(Align(length), there));
      } else {
        EXPECT_TRUE(rest.empty());
      }
    }
  }
}

TEST(NextMessageTest, HugeLengthDoesNotWrap) {
  const auto bytes = Header(0xffffffff, 32);
  std::span<const uint8_t> rest(bytes);
  EXPECT_FALSE(NextMessage(rest).has_value());
}

TEST(NextMessageTest, WalksUnpaddedLastMessage) {
  auto bytes = Header(17, 20);
  const auto last = Header(19, 19);
  bytes.insert(bytes.end(), last.begin(), last.end());
  std::span<const uint8_t> rest(bytes);
  EXPECT_EQ(NextMessage(rest)->payload().size(), 1u);
  EXPECT_EQ(NextMessage(rest)->payload().size(), 3u);
  EXPECT_FALSE(NextMessage(rest).has_value());
}

TEST(MessageBuilderTest, PadsEveryPart) {
  MessageBuilder builder({.type = 7, .flags = 1, .seq = 2, .pid = 3});
  builder.Put(uint8_t{0xaa});
  builder.Attribute(5, uint16_t{0xbbbb});
  const std::size_t nest = builder.BeginNest(6);
  builder.Attribute(1, uint32_t{4});
  builder.EndNest(nest);
  const Buffer message = std::move(builder).Finish();
  const Buffer expected{40, 0, 0, 0, 7,    0,    1, 0, 2,  0, 0, 0,    3, 0, 0, 0, 0xaa, 0, 0, 0,
                        6,  0, 5, 0, 0xbb, 0xbb, 0, 0, 12, 0, 6, 0x80, 8, 0, 1, 0, 4,    0, 0, 0};
  EXPECT_EQ(message, expected);
}

}  // namespace
}  // namespace cygnet::netlink
