#include "cli/top/line.h"

#include <algorithm>
#include <numeric>

#include "cli/printable.h"

namespace cygnet::top {
namespace {

std::size_t LengthOf(const Line& line) {
  return std::accumulate(
      line.begin(), line.end(), std::size_t{0},
      [](std::size_t sum, const Piece& piece) { return sum + piece.text.size(); });
}

// The columns that fit, by number, in the order of the table.
std::vector<std::size_t> Choose(const std::vector<Column>& columns, std::size_t width) {
  std::vector<std::size_t> order(columns.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&columns](std::size_t a, std::size_t b) {
    return columns[a].importance > columns[b].importance;
  });
  std::vector<std::size_t> chosen;
  std::size_t used = 0;
  for (const std::size_t i : order) {
    const std::size_t more = columns[i].width + (chosen.empty() ? 0 : 1);
    if (!chosen.empty() && used + more > width) continue;
    used += more;
    chosen.push_back(i);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

// As wide as the cells need, while there is room.
std::vector<std::size_t> Widths(const std::vector<Column>& columns, const std::vector<Cells>& rows,
                                const std::vector<std::size_t>& chosen, std::size_t width) {
  std::vector<std::size_t> widths;
  std::size_t used = chosen.empty() ? 0 : chosen.size() - 1;
  for (const std::size_t i : chosen) {
    widths.push_back(columns[i].width);
    used += columns[i].width;
  }
  for (std::size_t c = 0; c < chosen.size(); ++c) {
    std::size_t wanted = widths[c];
    for (const Cells& row : rows) wanted = std::max(wanted, row[chosen[c]].text.size());
    wanted = std::min(wanted, columns[chosen[c]].most);
    const std::size_t room = width - std::min(width, used);
    const std::size_t more = std::min(room, wanted - std::min(wanted, widths[c]));
    widths[c] += more;
    used += more;
  }
  return widths;
}

std::string Aligned(std::string_view text, std::size_t width, bool right) {
  std::string cell = Printable(text);
  if (cell.size() > width) {
    cell.resize(width);
    if (width > 1) cell.back() = '>';
  }
  const std::string pad(width - cell.size(), ' ');
  return right ? pad + cell : cell + pad;
}

}  // namespace

std::string TextOf(const Line& line) {
  std::string text;
  for (const Piece& piece : line) text += piece.text;
  return text;
}

Line Cut(Line line, std::size_t columns) {
  if (LengthOf(line) <= columns) return line;
  std::size_t left = columns;
  for (Piece& piece : line) {
    piece.text.resize(std::min(piece.text.size(), left));
    left -= piece.text.size();
  }
  for (auto piece = line.rbegin(); piece != line.rend() && columns > 1; ++piece) {
    if (piece->text.empty()) continue;
    piece->text.back() = '>';
    break;
  }
  return line;
}

std::vector<Line> Flowing(const std::vector<Line>& items, std::size_t columns) {
  std::vector<Line> lines;
  std::size_t used = 0;
  for (const Line& item : items) {
    const std::size_t length = LengthOf(item);
    if (lines.empty() || used + 2 + length > columns) {
      lines.emplace_back();
      used = 0;
    } else {
      lines.back().push_back({.text = "  "});
      used += 2;
    }
    for (const Piece& piece : item) {
      lines.back().push_back({.text = Printable(piece.text), .style = piece.style});
    }
    used += length;
  }
  for (Line& line : lines) line = Cut(std::move(line), columns);
  return lines;
}

std::vector<Line> Wrapped(std::string_view text, std::size_t columns) {
  columns = std::max<std::size_t>(1, columns);
  std::vector<Line> lines;
  const std::string clean = Printable(text);
  const std::size_t words = std::min(clean.find_first_not_of(' '), clean.size());
  const std::string indent(columns > words + 10 ? words : 0, ' ');
  std::string_view rest = std::string_view(clean).substr(words);
  do {
    const std::size_t room = columns - indent.size();
    std::size_t take = std::min(room, rest.size());
    if (take < rest.size() && rest[take] != ' ') {
      const std::size_t space = rest.rfind(' ', take);
      if (space != std::string_view::npos && space > 0) take = space;
    }
    lines.push_back({{.text = indent + std::string(rest.substr(0, take))}});
    rest.remove_prefix(take);
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  } while (!rest.empty());
  return lines;
}

std::vector<Line> Table(const std::vector<Column>& columns, const std::vector<Cells>& rows,
                        std::size_t width, long selected) {
  const std::vector<std::size_t> chosen = Choose(columns, width);
  const std::vector<std::size_t> widths = Widths(columns, rows, chosen, width);
  const auto line_of = [&](const auto& piece_of) {
    Line line;
    for (std::size_t c = 0; c < chosen.size(); ++c) {
      if (c != 0) line.push_back({.text = " "});
      Piece piece = piece_of(chosen[c]);
      piece.text = Aligned(piece.text, widths[c], columns[chosen[c]].right);
      line.push_back(std::move(piece));
    }
    return Cut(std::move(line), width);
  };
  // A line of one style, to the end of the screen.
  const auto whole = [width](const Line& line, Style style) {
    std::string text = TextOf(line);
    text.resize(width, ' ');
    return Line{{.text = std::move(text), .style = style}};
  };
  std::vector<Line> lines;
  lines.push_back(
      whole(line_of([&](std::size_t i) { return Piece{.text = std::string(columns[i].title)}; }),
            Style::kHead));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    Line line = line_of(
        [&](std::size_t i) { return Piece{.text = rows[r][i].text, .style = rows[r][i].style}; });
    const bool here = selected >= 0 && r == static_cast<std::size_t>(selected);
    lines.push_back(here ? whole(line, Style::kSelected) : std::move(line));
  }
  return lines;
}

}  // namespace cygnet::top
