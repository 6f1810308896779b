#include "cli/suggest.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

TEST(SuggestTest, FindsTheWordThatATypingErrorHid) {
  const std::vector<std::string_view> words = {"spi", "src", "dst", "reqid", "placement"};
  EXPECT_EQ(Nearest("spy", words), "spi");
  EXPECT_EQ(Nearest("sip", words), "spi");  // letters in each other's place
  EXPECT_EQ(Nearest("reqd", words), "reqid");
  EXPECT_EQ(Nearest("plcaemetn", words), "placement");
  EXPECT_EQ(Nearest("delete", words), "");
  EXPECT_EQ(Nearest("x", words), "");
  EXPECT_EQ(Nearest("", words), "");
  EXPECT_EQ(Nearest(std::string(100'000, 's'), words), "");
}

TEST(SuggestTest, SaysIt) {
  EXPECT_EQ(DidYouMean("spy", {"spi"}, "no"), "did you mean \"spi\"?");
  EXPECT_EQ(DidYouMean("delete", {"spi"}, "must be \"spi\""), "must be \"spi\"");
  EXPECT_EQ(OneOfText({"a"}), "\"a\"");
  EXPECT_EQ(OneOfText({"a", "b"}), "\"a\" or \"b\"");
  EXPECT_EQ(OneOfText({"a", "b", "c"}), "\"a\", \"b\" or \"c\"");
}

}  // namespace
}  // namespace cygnet
