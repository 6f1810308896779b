// What the user of `cygnet top` has chosen, and what each key does to it. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/top/model.h"

namespace cygnet::top {

enum class Pane : uint8_t { kSas, kDevices, kWorkers, kDrops, kCount };

enum class SortKey : uint8_t {
  kRate,     // bits per second
  kPackets,  // per second
  kDrops,
  kLate,
  kAge,
  kLeft,  // time to the limit that is reached first
  kSpi,
  kDst,
  kWhere,
  kCount
};
std::string_view Name(SortKey key);
std::optional<SortKey> ParseSortKey(std::string_view name);
std::string SortKeyNames();  // "rate, packets, …"

// Keys that are not characters. The rest is ASCII.
enum Key : int {
  kKeyUp = 0x100,
  kKeyDown,
  kKeyPageUp,
  kKeyPageDown,
  kKeyHome,
  kKeyEnd,
  kKeyEnter,
  kKeyEscape,
  kKeyTab,
  kKeyBackTab,
  kKeyBackspace,
};

enum class Prompt : uint8_t { kNone, kFilter, kDelay };

inline constexpr double kLeastDelay = 0.5;
inline constexpr double kMostDelay = 3600;

struct State {
  Pane pane = Pane::kSas;
  SortKey sort = SortKey::kRate;
  bool reversed = false;
  std::string filter{};    // words that a row must have, all of them
  std::string selected{};  // SaRow::key; empty: none yet
  std::size_t at = 0;      // the row of the cursor
  std::size_t first = 0;   // the first row on the screen
  bool detail = false;     // of the selected SA
  bool help = false;
  std::size_t scroll = 0;  // of detail, help and the other panes
  bool paused = false;
  double delay = 1;
  Prompt prompt = Prompt::kNone;
  std::string typed{};  // into the prompt
  std::string note{};   // what was wrong with it
};

// The rows that pass the filter, sorted. They point into `view`.
std::vector<const SaRow*> Arrange(const View& view, const State& state);

// Moves the cursor to the selected SA, wherever it is now. `rows` of Arrange, `page`: how many fit.
void Follow(const std::vector<const SaRow*>& rows, std::size_t page, State* state);

enum class Outcome : uint8_t { kStay, kQuit };
// REQUIRES: Follow was called with these rows.
Outcome OnKey(int key, const std::vector<const SaRow*>& rows, std::size_t page, State* state);

}  // namespace cygnet::top
