// TOML files as values, and tables of fields.
#include "settings/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace cygnet {
namespace {

enum class Colour : uint8_t { kRed, kBlue };
constexpr std::array<NamedValue<Colour>, 2> kColours = {{
    {"red", Colour::kRed},
    {"blue", Colour::kBlue},
}};

struct Things {
  bool flag = false;
  uint32_t number = 5;
  std::optional<uint32_t> maybe;
  std::string text = "t";
  Colour colour = Colour::kRed;
  std::vector<std::string> words;
  bool operator==(const Things&) const = default;
};

const std::vector<Field<Things>>& ThingFields() {
  static const std::vector<Field<Things>> kFields = {
      {"flag", &Things::flag, Flag(), "a flag"},
      {"number", &Things::number, NumberOrZero(3, 9), "a number", KeyKind::kNeeded},
      {"maybe", &Things::maybe, Optional(Number(0, 7)), "a number or none"},
      {"text", &Things::text, TextNotEmpty(), "a text", KeyKind::kLive},
      {"colour", &Things::colour, OneOf(std::span<const NamedValue<Colour>>(kColours)), "a colour"},
      {"words", &Things::words, WordsOf({"one", "two"}), "words"},
  };
  return kFields;
}

Result<Things> Read(std::string_view text) {
  const auto table = ParseToml(text, "f.toml");
  if (!table) return table.error();
  CYGNET_RETURN_IF_ERROR(CheckKeys(*table, InfoOf(ThingFields())));
  Things things;
  CYGNET_RETURN_IF_ERROR(ReadFields(*table, ThingFields(), &things));
  return things;
}

TEST(FieldsTest, WhatIsShownReadsBackToTheSame) {
  const Things things{.flag = true,
                      .number = 0,
                      .maybe = 7,
                      .text = "\"\\\n\x7f\t ü",
                      .colour = Colour::kBlue,
                      .words = {"two", "one"}};
  for (const Things& one : {things, Things{}}) {
    TomlTable table;
    ShowFields(ThingFields(), one, &table);
    EXPECT_EQ(table.Find("maybe") != nullptr, one.maybe.has_value());
    const auto again = Read(PrintEntries(table));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, one);
  }
}

TEST(FieldsTest, ErrorsNameFileLineAndKey) {
  const std::pair<const char*, const char*> kCases[] = {
      {"\nnumber = 2", "f.toml:2: number: must be 0 or between 3 and 9, is 2"},
      {"number = 3.0", "f.toml:1: number: must be an integer, is a floating-point number"},
      {"number = 07:30:00", "f.toml:1: number: must be an integer, is a date or time"},
      {"flag = true", "f.toml:1: number: missing"},
      {"numbre = 3", "f.toml:1: numbre: unknown key; did you mean \"number\"?"},
      {"[numbers]", "f.toml:1: numbers: unknown table; did you mean \"number\"?"},
      {"number = 3\nflag = 1", "f.toml:2: flag: must be true or false, is an integer"},
      {"number = 3\nmaybe = 8", "f.toml:2: maybe: must be between 0 and 7, is 8"},
      {"number = 3\ntext = \"\"", "f.toml:2: text: must not be empty"},
      {"number = 3\ncolour = \"rad\"",
       "f.toml:2: colour: must be one of \"red\", \"blue\", is \"rad\"; did you mean \"red\"?"},
      {"number = 3\nwords = [\"one\", \"one\"]", "f.toml:2: words: \"one\" is given twice"},
      {"number = 3\nwords = [[1]]", "f.toml:2: words: must hold strings, holds an array"},
      {"number = 3\nwords = [{}]", "f.toml:2: words: must be an array, is an array of tables"},
  };
  for (const auto& [text, message] : kCases) {
    const auto things = Read(text);
    ASSERT_FALSE(things) << text;
    EXPECT_EQ(things.error().message, message) << text;
  }
}

TEST(TomlTest, TablesKnowWhereTheyStand) {
  const auto root = ParseToml("[[a]]\n\n[[a]]\nb = [1, \"x\"]\nc = { d = 2027-01-31 }\n", "f");
  ASSERT_TRUE(root) << root.error().message;
  const auto* tables = root->Find("a")->value.As<TomlValue::Tables>();
  ASSERT_NE(tables, nullptr);
  ASSERT_EQ(tables->size(), 2u);
  EXPECT_EQ((*tables)[1].line, 3u);
  EXPECT_EQ((*tables)[1].section, "a");
  EXPECT_EQ((*tables)[1].Find("b")->value.Text(), "[1, \"x\"]");
  const TomlTable* inner = (*tables)[1].Find("c")->value.As<TomlTable>();
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(inner->Wrong("d", "text").message, "f:5: a.c.d: text");
  EXPECT_EQ(inner->Find("d")->value.Text(), "2027-01-31");
  EXPECT_EQ(TomlValue(int64_t{0x88b5}, NumberBase::kHexadecimal).Text(), "0x88b5");
}

TEST(TomlTest, WhatIsNotTomlIsAnErrorWithItsLine) {
  for (const char* text : {"a = 1\n[=\n", "a = 1\na = 2\n", "a = 1\nb\n"}) {
    const auto root = ParseToml(text, "f");
    ASSERT_FALSE(root) << text;
    EXPECT_EQ(root.error().message.substr(0, 5), "f:2: ");
  }
}

}  // namespace
}  // namespace cygnet
