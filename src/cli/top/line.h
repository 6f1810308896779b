// Lines of a text screen: pieces of text, each with a style. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cygnet::top {

// A style supports what the words say; without colours nothing is lost.
enum class Style : uint8_t { kPlain, kStrong, kHead, kSelected, kGood, kWarning, kBad, kDim };

struct Piece {
  std::string text;  // printable ASCII
  Style style = Style::kPlain;
};
using Line = std::vector<Piece>;

std::string TextOf(const Line& line);

// Cut after `columns`; a ">" at the end says that something is missing.
Line Cut(Line line, std::size_t columns);

// Items one after the other, two spaces between, in as many lines as they need.
std::vector<Line> Flowing(const std::vector<Line>& items, std::size_t columns);

// The text in lines of at most `columns`, broken at spaces where there are any; the indentation of
// each line is kept.
std::vector<Line> Wrapped(std::string_view text, std::size_t columns);

// A column of a table.
struct Column {
  std::string_view title;
  std::size_t width;  // at least
  std::size_t most;   // at most, if there is room
  bool right;         // aligned
  int importance;     // columns with less are left out first
};

struct Cell {
  std::string text;
  Style style = Style::kPlain;
};
using Cells = std::vector<Cell>;  // one for each column

// The heads, then the rows, in lines of `columns`. `selected`: the number of a row; -1: none.
std::vector<Line> Table(const std::vector<Column>& columns, const std::vector<Cells>& rows,
                        std::size_t width, long selected = -1);

}  // namespace cygnet::top
