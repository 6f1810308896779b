// FaultScript: when the software NIC plays which fault, as an operator wrote it down. One line
// each; '#' begins a comment:
//
//   at 500ms reset 100
//   after 1000 packets skip-seal 1
//   every 200ms..900ms one of: reset 50 | add-fail EOPNOTSUPP 3 | fail-seal 10
//   until 30s
//
// Dice are thrown from a seed, a line at a time and by the times it names, not by those of the
// machine: the same seed gives the same faults at the same times.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/sim_nic/sim_nic_faults.h"

namespace cygnet {

class FaultScript {
 public:
  struct Due {
    Fault fault;
    std::string text;
    uint32_t line = 0;
    uint64_t at_ms = 0;  // when it was to happen
  };
  static constexpr uint64_t kNever = ~uint64_t{0};

  // An empty script plays nothing.
  FaultScript() = default;
  // Errors begin with "line N: ".
  static Result<FaultScript> Parse(std::string_view text, uint64_t seed);

  // What is due `ms` after the start, once `packets` have passed; oldest first. Not all at once
  // when there is much of it: the rest comes with the next call.
  std::vector<Due> Take(uint64_t ms, uint64_t packets);
  // When Take has something at the earliest; kNever: nothing is left.
  uint64_t NextMs() const;
  uint64_t NextPackets() const;

 private:
  enum class Trigger : uint8_t { kAt, kAfterPackets, kEvery };
  struct Choice {
    Fault fault;
    std::string text;
  };
  struct Line {
    uint32_t number = 0;
    Trigger trigger = Trigger::kAt;
    uint64_t first = 0;  // milliseconds or packets; kEvery: shortest pause
    uint64_t last = 0;   // kEvery: longest pause
    std::vector<Choice> choices;
    uint64_t dice = 0;
    uint64_t due = kNever;
  };

  static Result<Line> ParseLine(std::string_view text);
  static Status ParseChoices(std::string_view text, Line* line);
  static uint64_t Throw(Line* line, uint64_t sides);
  Line* NextLine(uint64_t ms, uint64_t packets);

  std::vector<Line> lines_;
  uint64_t until_ms_ = kNever;
};

}  // namespace cygnet
