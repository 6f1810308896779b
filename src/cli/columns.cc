#include "cli/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace cygnet {

std::string InColumns(const std::vector<std::vector<Cell>>& rows, const Ink& ink) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].text.size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].text.size(), ' ');
      const bool right = row[i].align == Align::kRight;
      const bool last = i + 1 == row.size();
      // A column in which no row has anything takes no room.
      if (widths[i] == 0) continue;
      line += (line.empty() ? "" : " ") + (right ? padding : "") +
              ink.Paint(row[i].tone, row[i].text) + (right || last ? "" : padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string ShortCount(uint64_t count) {
  if (count < 1000) return std::to_string(count);
  constexpr std::array<char, 6> kUnits = {'k', 'M', 'G', 'T', 'P', 'E'};
  auto value = static_cast<double>(count);
  std::size_t unit = 0;
  for (value /= 1000; value >= 999.5 && unit + 1 < kUnits.size(); value /= 1000) ++unit;
  return value < 9.95 ? fmt::format("{:.1f}{}", value, kUnits[unit])
                      : fmt::format("{:.0f}{}", value, kUnits[unit]);
}

}  // namespace cygnet
