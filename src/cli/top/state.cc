#include "cli/top/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

namespace cygnet::top {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(SortKey::kCount)> kSortNames = {
    "rate", "packets", "drops", "late", "age", "left", "spi", "dst", "where"};

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : static_cast<char>(c);
  });
  return lower;
}

// "0x1001" of "0x00001001", as people write it.
std::string ShortSpi(const std::string& spi) {
  const std::size_t digit = std::min(spi.find_first_not_of("0x"), spi.size());
  return "0x" + spi.substr(digit);
}

bool Passes(const SaRow& row, const std::vector<std::string>& words) {
  const std::string text =
      Lower(fmt::format("{} {} {} {} {} {} {} {} {}", row.direction, row.src, row.dst, row.spi,
                        ShortSpi(row.spi), row.state, row.place, row.reason, row.drop_reason));
  return std::all_of(words.begin(), words.end(), [&text](const std::string& word) {
    return text.find(word) != std::string::npos;
  });
}

double LeftOf(const SaRow& row) { return row.ends_by ? row.ends_by->seconds_left : Limit::kNever; }

// True: `a` comes first. Numbers: the largest first, because that is what people look for; names,
// and the time that is left: the smallest.
bool Before(const SaRow& a, const SaRow& b, SortKey key) {
  switch (key) {
    case SortKey::kRate:
      return a.bits_per_second > b.bits_per_second;
    case SortKey::kPackets:
      return a.packets_per_second > b.packets_per_second;
    case SortKey::kDrops:
      return a.drops != b.drops ? a.drops > b.drops : a.drops_per_second > b.drops_per_second;
    case SortKey::kLate:
      return a.late > b.late;
    case SortKey::kAge:
      return a.added < b.added;
    case SortKey::kLeft:
      return LeftOf(a) < LeftOf(b);
    case SortKey::kSpi:
      return a.spi < b.spi;
    case SortKey::kDst:
      return a.dst < b.dst;
    case SortKey::kWhere:
      return a.place < b.place;
    case SortKey::kCount:
      break;
  }
  return false;
}

// The detail that is open keeps its SA.
void ToFirstRow(State* state) {
  if (state->detail) return;
  state->at = 0;
  state->selected.clear();
}

void SetSort(State* state, int step) {
  constexpr int kCount = static_cast<int>(SortKey::kCount);
  state->sort = static_cast<SortKey>((static_cast<int>(state->sort) + step + kCount) % kCount);
  ToFirstRow(state);
}

void SetPane(State* state, int step) {
  constexpr int kCount = static_cast<int>(Pane::kCount);
  state->pane = static_cast<Pane>((static_cast<int>(state->pane) + step + kCount) % kCount);
  state->scroll = 0;
}

// How far a key moves, in rows; nullopt: it does not move.
std::optional<long> StepOf(int key, std::size_t page) {
  constexpr long kFar = 1L << 30;
  const long whole = std::max<long>(1, static_cast<long>(page));
  switch (key) {
    case kKeyUp:
    case 'k':
      return -1;
    case kKeyDown:
    case 'j':
      return 1;
    case kKeyPageUp:
      return -whole;
    case kKeyPageDown:
      return whole;
    case kKeyHome:
    case 'g':
      return -kFar;
    case kKeyEnd:
    case 'G':
      return kFar;
    default:
      return std::nullopt;
  }
}

std::size_t Moved(std::size_t at, long step, std::size_t last) {
  return static_cast<std::size_t>(
      std::clamp(static_cast<long>(at) + step, 0L, static_cast<long>(last)));
}

void Move(long step, const std::vector<const SaRow*>& rows, State* state) {
  constexpr std::size_t kMostLines = 1u << 20;  // the layout stops at the last one
  if (state->detail || state->help || state->pane != Pane::kSas) {
    state->scroll = Moved(state->scroll, step, kMostLines);
    return;
  }
  if (rows.empty()) return;
  state->at = Moved(state->at, step, rows.size() - 1);
  state->selected = rows[state->at]->key;
}

void Accept(State* state) {
  if (state->prompt == Prompt::kFilter) {
    state->filter = state->typed;
    ToFirstRow(state);
  } else {
    double delay = 0;
    const char* end = state->typed.data() + state->typed.size();
    const auto [stop, error] = std::from_chars(state->typed.data(), end, delay);
    const bool valid =
        error == std::errc() && stop == end && delay >= kLeastDelay && delay <= kMostDelay;
    if (valid) state->delay = delay;
    if (!valid) {
      state->note = fmt::format("the delay must be {} to {} seconds", kLeastDelay, kMostDelay);
    }
  }
  state->prompt = Prompt::kNone;
}

void OnPromptKey(int key, State* state) {
  constexpr std::size_t kMostTyped = 200;
  if (key == kKeyEscape) {
    state->prompt = Prompt::kNone;
  } else if (key == kKeyEnter) {
    Accept(state);
  } else if (key == kKeyBackspace) {
    if (!state->typed.empty()) state->typed.pop_back();
  } else if (key >= ' ' && key <= '~' && state->typed.size() < kMostTyped) {
    state->typed += static_cast<char>(key);
  }
}

void Ask(Prompt prompt, std::string typed, State* state) {
  state->prompt = prompt;
  state->typed = std::move(typed);
}

// Back, one step: out of help, out of the detail, off the filter.
void GoBack(State* state) {
  if (state->help) {
    state->help = false;
  } else if (state->detail) {
    state->detail = false;
  } else {
    state->filter.clear();
  }
  state->scroll = 0;
}

void OnCommand(int key, const std::vector<const SaRow*>& rows, State* state) {
  switch (key) {
    case kKeyEnter:
      if (state->pane != Pane::kSas || rows.empty()) return;
      state->selected = rows[state->at]->key;
      state->detail = true;
      state->scroll = 0;
      return;
    case kKeyEscape:
    case kKeyBackspace:
      return GoBack(state);
    case kKeyTab:
      return SetPane(state, 1);
    case kKeyBackTab:
      return SetPane(state, -1);
    case 's':
    case '>':
      return SetSort(state, 1);
    case '<':
      return SetSort(state, -1);
    case 'r':
      state->reversed = !state->reversed;
      return;
    case 'p':
    case ' ':
      state->paused = !state->paused;
      return;
    case '/':
      return Ask(Prompt::kFilter, state->filter, state);
    case 'd':
      return Ask(Prompt::kDelay, "", state);
    case '?':
    case 'h':
      state->help = true;
      state->scroll = 0;
      return;
    default:
      return;
  }
}

}  // namespace

std::string_view Name(SortKey key) { return kSortNames[static_cast<std::size_t>(key)]; }

std::optional<SortKey> ParseSortKey(std::string_view name) {
  const auto found = std::find(kSortNames.begin(), kSortNames.end(), name);
  if (found == kSortNames.end()) return std::nullopt;
  return static_cast<SortKey>(found - kSortNames.begin());
}

std::string SortKeyNames() { return fmt::format("{}", fmt::join(kSortNames, ", ")); }

std::vector<const SaRow*> Arrange(const View& view, const State& state) {
  std::istringstream filter(Lower(state.filter));
  const std::vector<std::string> words{std::istream_iterator<std::string>(filter), {}};
  std::vector<const SaRow*> rows;
  rows.reserve(view.sas.size());
  for (const SaRow& row : view.sas) {
    if (words.empty() || Passes(row, words)) rows.push_back(&row);
  }
  // Rows that are equal keep the daemon's order, so that they do not jump.
  std::stable_sort(rows.begin(), rows.end(), [&state](const SaRow* a, const SaRow* b) {
    return state.reversed ? Before(*b, *a, state.sort) : Before(*a, *b, state.sort);
  });
  return rows;
}

void Follow(const std::vector<const SaRow*>& rows, std::size_t page, State* state) {
  const auto found = std::find_if(
      rows.begin(), rows.end(), [state](const SaRow* row) { return row->key == state->selected; });
  if (found != rows.end()) state->at = static_cast<std::size_t>(found - rows.begin());
  if (rows.empty()) {
    state->at = 0;
  } else {
    state->at = std::min(state->at, rows.size() - 1);
  }
  page = std::max<std::size_t>(1, page);
  if (state->at < state->first) state->first = state->at;
  if (state->at >= state->first + page) state->first = state->at - page + 1;
  const std::size_t last_first = rows.size() - std::min(rows.size(), page);
  state->first = std::min(state->first, last_first);
}

Outcome OnKey(int key, const std::vector<const SaRow*>& rows, std::size_t page, State* state) {
  state->note.clear();
  if (state->prompt != Prompt::kNone) {
    OnPromptKey(key, state);
    return Outcome::kStay;
  }
  if (key == 'q' && (state->detail || state->help)) {
    GoBack(state);
    return Outcome::kStay;
  }
  if (key == 'q' || key == 'Q') return Outcome::kQuit;
  if (const auto step = StepOf(key, page)) {
    Move(*step, rows, state);
  } else {
    OnCommand(key, rows, state);
  }
  return Outcome::kStay;
}

}  // namespace cygnet::top
