#include "netlink/attribute.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <rapidcheck.h>

#include <array>
#include <cstring>
#include <vector>

namespace cygnet::netlink {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr std::array<AttributeRule, 7> kRules{{
    {},
    {.min_length = 6},                                                             // 1
    {.kind = AttributeKind::kU32},                                                 // 2: lenient
    {.kind = AttributeKind::kU32, .strict = true},                                 // 3
    {.kind = AttributeKind::kFlag, .strict = true},                                // 4
    {.kind = AttributeKind::kU8, .strict = true, .min_value = 1, .max_value = 2},  // 5
    {},                                                                            // 6: anything
}};

void Append(Bytes& out, uint16_t type, const Bytes& payload) {
  const nlattr header{static_cast<uint16_t>(payload.size() + kAttributeHeaderSize), type};
  const auto* p = reinterpret_cast<const uint8_t*>(&header);
  out.insert(out.end(), p, p + sizeof(header));
  out.insert(out.end(), payload.begin(), payload.end());
  out.resize((out.size() + 3) & ~std::size_t{3});
}

struct Case {
  uint16_t type;
  Bytes payload;
  Errc code;
  const char* text;  // nullptr: accepted
};

TEST(ParseAttributesTest, ChecksEachKind) {
  constexpr const char* kShort = "Attribute failed policy validation";
  constexpr const char* kLength = "invalid attribute length";
  const Case cases[] = {
      {1, Bytes(5), Errc::kRange, kShort},
      {1, Bytes(6), {}, nullptr},
      {1, Bytes(7), {}, nullptr},
      {2, Bytes(3), Errc::kRange, kShort},
      {2, Bytes(4), {}, nullptr},
      {2, Bytes(5), {}, nullptr},
      {3, Bytes(3), Errc::kInvalid, kLength},
      {3, Bytes(4), {}, nullptr},
      {3, Bytes(5), Errc::kInvalid, kLength},
      {3 | NLA_F_NESTED, Bytes(4), Errc::kInvalid, "NLA_F_NESTED not expected"},
      {1 | NLA_F_NESTED, Bytes(6), {}, nullptr},
      {4, Bytes(0), {}, nullptr},
      {4, Bytes(1), Errc::kRange, kShort},
      {5, {0}, Errc::kRange, "integer out of range"},
      {5, {1}, {}, nullptr},
      {5, {2}, {}, nullptr},
      {5, {3}, Errc::kRange, "integer out of range"},
      {6, Bytes(0), {}, nullptr},
      {0, Bytes(1), {}, nullptr},
      {7, Bytes(1), {}, nullptr},
      {0x3fff, Bytes(1), {}, nullptr},
  };
  for (const Case& c : cases) {
    Bytes bytes;
    Append(bytes, 6, Bytes(4));  // so that the offset is not 0
    Append(bytes, c.type, c.payload);
    ExtendedAck ack;
    const auto table = ParseAttributes(bytes, 100, kRules, ack);
    SCOPED_TRACE(std::to_string(c.type) + " of " + std::to_string(c.payload.size()));
    ASSERT_EQ(table.has_value(), c.text == nullptr);
    if (c.text == nullptr) continue;
    EXPECT_EQ(table.error().code, c.code);
    EXPECT_EQ(table.error().message, c.text);
    EXPECT_EQ(table.error().attr_offset, 108u);
    EXPECT_EQ(ack.rule, &kRules[c.type & NLA_TYPE_MASK]);
  }
}

TEST(ParseAttributesTest, LastOfSeveralWins) {
  Bytes bytes;
  Append(bytes, 2, {1, 0, 0, 0});
  Append(bytes, 2, {2, 0, 0, 0});
  ExtendedAck ack;
  const auto table = ParseAttributes(bytes, 0, kRules, ack);
  EXPECT_EQ(table->Get<uint32_t>(2), 2u);
  EXPECT_TRUE(ack.message.empty());
}

TEST(ParseAttributesTest, ToleratesLeftoverButSaysSo) {
  Bytes bytes;
  Append(bytes, 2, {1, 0, 0, 0});
  for (const Bytes& tail : {Bytes{1}, Bytes{1, 2, 3}, Bytes{3, 0, 2, 0}, Bytes{9, 0, 2, 0, 0, 0}}) {
    Bytes with_tail = bytes;
    with_tail.insert(with_tail.end(), tail.begin(), tail.end());
    ExtendedAck ack;
    const auto table = ParseAttributes(with_tail, 0, kRules, ack);
    ASSERT_TRUE(table.has_value());
    EXPECT_TRUE(table->Has(2));
    EXPECT_EQ(ack.message, "bytes leftover after parsing attributes");
  }
}

TEST(AttributeTableTest, AbsentAndShortAreNoValue) {
  AttributeTable table;
  EXPECT_FALSE(table.Get<uint8_t>(3).has_value());
  EXPECT_TRUE(table.Payload(3).empty());
  EXPECT_FALSE(table.Has(1000));
  const Bytes payload{1, 2};
  table.Set(3, payload);
  EXPECT_EQ(table.Get<uint16_t>(3), 0x0201);
  EXPECT_FALSE(table.Get<uint32_t>(3).has_value());
  EXPECT_EQ(table.GetOr<uint32_t>(3, 7), 7u);
}

TEST(AttributeIteratorTest, NeverLeavesTheBytes) {
  EXPECT_TRUE(rc::check("any bytes", [](const Bytes& bytes) {
    AttributeIterator iterator(bytes);
    std::size_t end = 0;
    while (const auto attribute = iterator.Next()) {
      RC_ASSERT(attribute->offset >= end);
      RC_ASSERT(attribute->payload.data() ==
                bytes.data() + attribute->offset + kAttributeHeaderSize);
      end = attribute->offset + kAttributeHeaderSize + attribute->payload.size();
      RC_ASSERT(end <= bytes.size());
    }
  }));
}

TEST(AttributeIteratorTest, ReadsBackWhatWasWritten) {
  using Pairs = std::vector<std::pair<uint16_t, Bytes>>;
  EXPECT_TRUE(rc::check("round trip", [](const Pairs& pairs) {
    Bytes bytes;
    for (const auto& [type, payload] : pairs) {
      Append(bytes, static_cast<uint16_t>(type & NLA_TYPE_MASK), payload);
    }
    AttributeIterator iterator(bytes);
    for (const auto& [type, payload] : pairs) {
      const auto attribute = iterator.Next();
      RC_ASSERT(attribute.has_value());
      RC_ASSERT(attribute->type == (type & NLA_TYPE_MASK));
      RC_ASSERT(Bytes(attribute->payload.begin(), attribute->payload.end()) == payload);
    }
    RC_ASSERT(!iterator.Next().has_value());
    RC_ASSERT(!iterator.HasLeftover());
  }));
}

}  // namespace
}  // namespace cygnet::netlink
