#include "base/plain_text.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

TEST(PlainTextTest, PrintableTextStays) {
  for (const char* text : {"", "card 7", "K\xc3\xa4se", "\xe2\x86\x92", "\xf0\x9f\xa6\xa2"}) {
    EXPECT_EQ(PlainText(text), text);
  }
}

TEST(PlainTextTest, ControlCharactersAreReplaced) {
  EXPECT_EQ(PlainText("a\x1b[2J\n\x7f"), "a?[2J??");
  EXPECT_EQ(PlainText("\xc2\x9b"), "??") << "an 8-bit control";
  EXPECT_EQ(PlainText(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(PlainLines("a\tb\n\x1b"), "a\tb\n?");
}

TEST(PlainTextTest, WhatIsNotUtf8IsReplaced) {
  EXPECT_EQ(PlainText("a\xff\xfe"), "a??");
  EXPECT_EQ(PlainText("\xc3"), "?") << "cut";
  EXPECT_EQ(PlainText("\xc0\xaf"), "??") << "overlong";
  EXPECT_EQ(PlainText("\xe0\x80\x80"), "???") << "overlong";
  EXPECT_EQ(PlainText("\xed\xa0\x80"), "???") << "surrogate";
  EXPECT_EQ(PlainText("\xf4\x90\x80\x80"), "????") << "beyond Unicode";
  EXPECT_EQ(PlainText("\xc3(\xbc"), "?(?");
}

}  // namespace
}  // namespace cygnet
