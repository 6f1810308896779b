// Text in columns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/ink.h"

namespace cygnet {

enum class Align : uint8_t { kLeft, kRight };

struct Cell {
  std::string text{};
  Tone tone = Tone::kPlain;
  Align align = Align::kLeft;
};

// One line a row, each column as wide as its longest cell. The last cell of a row is not padded.
std::string InColumns(const std::vector<std::vector<Cell>>& rows, const Ink& ink);

// "999", "1.2k", "12k", "345M": at most four characters, in powers of 1,000.
std::string ShortCount(uint64_t count);

}  // namespace cygnet
