#include "device/sim_nic/sim_nic_script.h"

#include <algorithm>
#include <charconv>

namespace cygnet {
namespace {

constexpr std::string_view kBlank = " \t\r";
constexpr std::size_t kMaxLines = 1000;
constexpr std::size_t kMaxDue = 64;
constexpr uint64_t kMaxMs = 86'400'000;  // a day
constexpr uint64_t kMaxPackets = 1'000'000'000'000;

std::string_view Trim(std::string_view text) {
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// The first word, which is cut off `text`.
std::string_view TakeWord(std::string_view* text) {
  const auto end = std::min(text->find_first_of(kBlank), text->size());
  const std::string_view word = text->substr(0, end);
  *text = Trim(text->substr(end));
  return word;
}

// A number at the begin of `text`; what follows it is left there.
std::optional<uint64_t> TakeNumber(std::string_view* text, uint64_t max) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (error != std::errc{} || n > max) return std::nullopt;
  text->remove_prefix(static_cast<std::size_t>(end - text->data()));
  return n;
}

// "500ms" or "2s", in milliseconds.
std::optional<uint64_t> Duration(std::string_view word) {
  const auto n = TakeNumber(&word, kMaxMs);
  if (!n || (word != "ms" && word != "s")) return std::nullopt;
  const uint64_t ms = word == "s" ? *n * 1000 : *n;
  return ms <= kMaxMs ? std::optional(ms) : std::nullopt;
}

// "200ms..900ms" or one duration alone; a pause is not 0.
bool ParsePause(std::string_view word, uint64_t* first, uint64_t* last) {
  const auto dots = word.find("..");
  const auto from = Duration(word.substr(0, dots));
  const auto to = dots == std::string_view::npos ? from : Duration(word.substr(dots + 2));
  if (!from || !to || *from == 0 || *to < *from) return false;
  *first = *from;
  *last = *to;
  return true;
}

Error Wrong(std::string text) { return MakeError(Errc::kInvalid, std::move(text)); }

}  // namespace

Result<FaultScript> FaultScript::Parse(std::string_view text, uint64_t seed) {
  FaultScript script;
  for (uint32_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line_text = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line_text = Trim(line_text.substr(0, line_text.find('#')));
    if (line_text.empty()) continue;
    const std::string where = "line " + std::to_string(number) + ": ";
    if (std::string_view rest = line_text; TakeWord(&rest) == "until") {
      const auto until = Duration(rest);
      if (!until) return Wrong(where + "until needs one time, as 500ms or 30s, a day at most");
      script.until_ms_ = *until;
      continue;
    }
    auto line = ParseLine(line_text);
    if (!line) return Wrong(where + line.error().message);
    if (script.lines_.size() == kMaxLines) return Wrong(where + "more than 1000 lines");
    line->number = number;
    line->dice = seed ^ (uint64_t{number} << 32);
    line->due = line->first;
    if (line->trigger == Trigger::kEvery) {
      line->due += Throw(&*line, line->last - line->first + 1);
    }
    script.lines_.push_back(*std::move(line));
  }
  return script;
}

Result<FaultScript::Line> FaultScript::ParseLine(std::string_view text) {
  Line line;
  const std::string_view word = TakeWord(&text);
  std::string_view amount = TakeWord(&text);
  if (word == "at") {
    const auto at = Duration(amount);
    if (!at) return Wrong("at needs a time, as 500ms or 2s, a day at most");
    line.first = *at;
  } else if (word == "after") {
    line.trigger = Trigger::kAfterPackets;
    const auto packets = TakeNumber(&amount, kMaxPackets);
    if (!packets || !amount.empty() || TakeWord(&text) != "packets") {
      return Wrong("after needs a number of packets, as in: after 1000 packets reset");
    }
    line.first = *packets;
  } else if (word == "every") {
    line.trigger = Trigger::kEvery;
    if (!ParsePause(amount, &line.first, &line.last)) {
      return Wrong("every needs a pause, as 500ms or 200ms..900ms, a day at most");
    }
  } else {
    return Wrong("\"" + std::string(word) + "\": lines begin with at, after, every or until");
  }
  CYGNET_RETURN_IF_ERROR(ParseChoices(text, &line));
  return line;
}

// One fault, or "one of: A | B | C".
Status FaultScript::ParseChoices(std::string_view text, Line* line) {
  constexpr std::string_view kOneOf = "one of:";
  const bool many = text.substr(0, kOneOf.size()) == kOneOf;
  if (many) text.remove_prefix(kOneOf.size());
  for (bool more = true; more;) {
    const auto bar = many ? text.find('|') : std::string_view::npos;
    const std::string_view choice = Trim(text.substr(0, bar));
    auto fault = ParseFault(choice);
    if (!fault) return fault.error();
    line->choices.push_back({*fault, std::string(choice)});
    more = bar != std::string_view::npos;
    if (more) text.remove_prefix(bar + 1);
  }
  return {};
}

// splitmix64: the standard library's distributions differ from one to the next.
uint64_t FaultScript::Throw(Line* line, uint64_t sides) {
  uint64_t z = (line->dice += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (z ^ (z >> 31)) % sides;
}

// Of the lines that are due the one that is so for the longest time; packets have none.
FaultScript::Line* FaultScript::NextLine(uint64_t ms, uint64_t packets) {
  Line* next = nullptr;
  for (Line& line : lines_) {
    if (line.due == kNever) continue;
    if (line.trigger == Trigger::kAfterPackets) {
      if (packets >= line.due) return &line;
    } else if (line.due <= ms && (next == nullptr || line.due < next->due)) {
      next = &line;
    }
  }
  return next;
}

std::vector<FaultScript::Due> FaultScript::Take(uint64_t ms, uint64_t packets) {
  std::vector<Due> out;
  while (out.size() < kMaxDue) {
    Line* line = NextLine(ms, packets);
    if (line == nullptr) break;
    const uint64_t at = line->trigger == Trigger::kAfterPackets ? ms : line->due;
    if (at > until_ms_) {
      line->due = kNever;
      continue;
    }
    const Choice& choice = line->choices[Throw(line, line->choices.size())];
    out.push_back({choice.fault, choice.text, line->number, at});
    line->due = line->trigger != Trigger::kEvery
                    ? kNever
                    : line->due + line->first + Throw(line, line->last - line->first + 1);
  }
  return out;
}

uint64_t FaultScript::NextMs() const {
  uint64_t next = kNever;
  for (const Line& line : lines_) {
    if (line.trigger != Trigger::kAfterPackets) next = std::min(next, line.due);
  }
  return next <= until_ms_ ? next : kNever;
}

uint64_t FaultScript::NextPackets() const {
  uint64_t next = kNever;
  for (const Line& line : lines_) {
    if (line.trigger == Trigger::kAfterPackets) next = std::min(next, line.due);
  }
  return next;
}

}  // namespace cygnet
