#include "cli/columns.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace cygnet {
namespace {

TEST(ColumnsTest, AlignsAndLeavesNoBlanksAtTheEnd) {
  const std::vector<std::vector<Cell>> rows = {
      {{"a"}, {"1", Tone::kPlain, Align::kRight}, {""}, {"x"}},
      {{"bcd"}, {"100", Tone::kPlain, Align::kRight}, {""}, {""}}};
  EXPECT_EQ(InColumns(rows, Ink()), "a     1 x\nbcd 100\n");
  EXPECT_EQ(InColumns({}, Ink()), "");
}

TEST(ColumnsTest, ColoursDoNotMoveColumns) {
  const std::vector<std::vector<Cell>> rows = {{{"up", Tone::kGood}, {"x"}},
                                               {{"down", Tone::kBad}, {"y"}}};
  EXPECT_EQ(InColumns(rows, Ink(ColorWhen::kAlways, stdout)),
            "\033[32mup\033[0m   x\n\033[31mdown\033[0m y\n");
}

TEST(ColumnsTest, ColoursAreForTerminalsOnly) {
  char* text = nullptr;
  std::size_t size = 0;
  FILE* buffer = open_memstream(&text, &size);
  EXPECT_EQ(Ink(ColorWhen::kAuto, buffer).Paint(Tone::kBad, "x"), "x");
  EXPECT_EQ(Ink(ColorWhen::kNever, buffer).Paint(Tone::kBad, "x"), "x");
  EXPECT_EQ(Ink(ColorWhen::kAlways, buffer).Paint(Tone::kPlain, "x"), "x");
  fclose(buffer);
  std::free(text);
}

TEST(ColumnsTest, CountsAreAtMostFourCharacters) {
  const std::pair<uint64_t, const char*> kCases[] = {{0, "0"},
                                                     {999, "999"},
                                                     {1000, "1.0k"},
                                                     {9949, "9.9k"},
                                                     {9960, "10k"},
                                                     {12'345, "12k"},
                                                     {999'499, "999k"},
                                                     {999'500, "1.0M"},
                                                     {5'400'000, "5.4M"},
                                                     {~uint64_t{0}, "18E"}};
  for (const auto& [count, text] : kCases) EXPECT_EQ(ShortCount(count), text);
}

}  // namespace
}  // namespace cygnet
