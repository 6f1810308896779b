// Times as the ledger's lines have them: "2026-11-28T17:58:14.123Z".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cygnet {

// `ms`: milliseconds since 1970, before the year 10000.
std::string UtcMsText(uint64_t ms);
// Accepts only the format of UtcMsText.
std::optional<uint64_t> ParseUtc(std::string_view text);
// "3 h 5 min", "12 s".
std::string DurationText(uint64_t ms);

}  // namespace cygnet
