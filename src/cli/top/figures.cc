#include "cli/top/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cygnet::top {

std::string Short(double value) {
  constexpr char kUnits[] = {'k', 'M', 'G', 'T', 'P', 'E'};
  if (!(value >= 0.05)) return "0";
  if (value < 99.95) {
    return fmt::format("{:.{}f}", value, value == std::floor(value) ? 0 : 1);
  }
  if (value < 999.5) return fmt::format("{:.0f}", value);
  std::size_t unit = 0;
  for (value /= 1000; value >= 999.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.{}f}{}", value, value < 99.95 ? 1 : 0, kUnits[unit]);
}

std::string Span(double seconds) {
  constexpr double kMost = 9999.0 * 86'400;
  const auto s = static_cast<uint64_t>(std::clamp(seconds, 0.0, kMost));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m", s / 60);
  if (s < 86'400) return fmt::format("{}h{:02}", s / 3600, s / 60 % 60);
  if (s < 10 * 86'400) return fmt::format("{}d{:02}h", s / 86'400, s / 3600 % 24);
  return fmt::format("{}d", s / 86'400);
}

}  // namespace cygnet::top
