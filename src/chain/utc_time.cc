#include "chain/utc_time.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>

namespace cygnet {
namespace {

// `digits` digits and the character `after` them, taken off `text`.
bool TakeNumber(std::size_t digits, char after, std::string_view* text, int* value) {
  if (text->size() <= digits || (*text)[digits] != after) return false;
  const char* end = text->data() + digits;
  const auto [stop, error] = std::from_chars(text->data(), end, *value);
  text->remove_prefix(digits + 1);
  return error == std::errc() && stop == end && *value >= 0;
}

}  // namespace

std::string UtcMsText(uint64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(ms % 1000));
  return text.data();
}

std::optional<uint64_t> ParseUtc(std::string_view text) {
  std::tm utc{};
  int ms = 0;
  std::string_view rest = text;
  const bool read =
      TakeNumber(4, '-', &rest, &utc.tm_year) && TakeNumber(2, '-', &rest, &utc.tm_mon) &&
      TakeNumber(2, 'T', &rest, &utc.tm_mday) && TakeNumber(2, ':', &rest, &utc.tm_hour) &&
      TakeNumber(2, ':', &rest, &utc.tm_min) && TakeNumber(2, '.', &rest, &utc.tm_sec) &&
      TakeNumber(3, 'Z', &rest, &ms);
  if (!read || !rest.empty()) return std::nullopt;
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  const std::time_t seconds = timegm(&utc);
  if (seconds < 0) return std::nullopt;
  const uint64_t time = static_cast<uint64_t>(seconds) * 1000 + static_cast<uint64_t>(ms);
  return UtcMsText(time) == text ? std::optional(time) : std::nullopt;
}

std::string DurationText(uint64_t ms) {
  const uint64_t seconds = ms / 1000;
  if (seconds < 60) return std::to_string(seconds) + " s";
  const uint64_t minutes = seconds / 60;
  if (minutes < 60) return std::to_string(minutes) + " min";
  return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " min";
}

}  // namespace cygnet
