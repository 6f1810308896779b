#include "chain/hash_chain.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

TEST(HashChainTest, EachLineIsLinkedToAllBefore) {
  ChainHead head;
  const std::string first = Linked(WithChecksum(R"({"a":1)"), &head);
  const ChainHead after_first = head;
  const std::string second = Linked(WithChecksum(R"({"a":2)"), &head);
  EXPECT_EQ(head.number, 2u);
  const auto link = FindLink(second);
  ASSERT_TRUE(link.has_value());
  EXPECT_EQ(link->head, head);
  EXPECT_EQ(link->covered, R"({"a":2,"n":2)");
  EXPECT_EQ(HashBehind(after_first.hash, link->covered), head.hash);
  EXPECT_NE(HashBehind(ChainHash{}, link->covered), head.hash);
  EXPECT_EQ(FindLink(first)->head, after_first);
  EXPECT_EQ(ChecksumOf(second), Checksum::kRight);
}

// So that other programs can check it: 32 zero bytes and the text, through sha256sum.
TEST(HashChainTest, TheFirstHashIsSha256BehindZeros) {
  ChainHead head;
  (void)Linked(WithChecksum(R"({"a":1)"), &head);
  EXPECT_EQ(HexText(head.hash), "11855682d3624b3fa9af8182cc7ae3a7d855d3896141b0f8d6c5ea9a2c1a12a4");
}

TEST(HashChainTest, ALineWithoutAWholeLinkHasNone) {
  ChainHead head;
  const std::string line = Linked(WithChecksum(R"({"a":1)"), &head);
  const std::string hash(64, 'a');
  EXPECT_FALSE(FindLink(WithChecksum(R"({"a":1)")).has_value());
  for (std::size_t size = 0; size < line.size(); ++size) {
    EXPECT_FALSE(FindLink(line.substr(0, size)).has_value()) << size;
  }
  for (const char* number : {"x", "", "0", "-1", "1.5", "18446744073709551615"}) {
    const std::string open = std::string(R"({"a":1,"n":)") + number + R"(,"chain":")" + hash + "\"";
    EXPECT_FALSE(FindLink(WithChecksum(open)).has_value()) << number;
  }
  EXPECT_FALSE(FindLink(WithChecksum(R"({"n":1,"chain":")" + hash + R"(","a":1)")).has_value());
}

TEST(HashChainTest, HexIsLowerCaseAndOfOneLength) {
  uint8_t bytes[2] = {};
  EXPECT_TRUE(ReadHex("0aff", bytes, 2));
  EXPECT_EQ(HexText(bytes, 2), "0aff");
  EXPECT_FALSE(ReadHex("0AFF", bytes, 2));
  EXPECT_FALSE(ReadHex("0af", bytes, 2));
  EXPECT_FALSE(ReadHex("0afff", bytes, 2));
}

}  // namespace
}  // namespace cygnet
