// FaultScript: the times and faults that the software NIC simulates, from a TOML file. Each
// [[fault]] has one of `at`, `after_packets` and `every`, and an action `do`. From an array of
// actions, one is drawn each time:
//
//   until = "30s"
//   [[fault]]
//   at = "500ms"
//   do = "reset 100"
//   [[fault]]
//   after_packets = 1000
//   do = "skip-seal 1"
//   [[fault]]
//   every = ["200ms", "900ms"]
//   do = ["reset 50", "add-fail EOPNOTSUPP 3", "fail-seal 10"]
//
// Draws use a seed, separately for each [[fault]], and depend on the script's times, not on the
// machine's: the same seed gives the same faults at the same times.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/sim_nic/sim_nic_faults.h"
#include "settings/toml_value.h"

namespace cygnet {

class FaultScript {
 public:
  struct Due {
    Fault fault;
    std::string text;
    uint32_t line = 0;   // of its [[fault]]
    uint64_t at_ms = 0;  // scheduled time
  };
  static constexpr uint64_t kNever = ~uint64_t{0};

  // An empty script has no faults.
  FaultScript() = default;
  // Errors name `source`, the line and the key.
  static Result<FaultScript> Parse(std::string_view text, const std::string& source, uint64_t seed);

  // The faults due `ms` after the start, once `packets` have passed; oldest first. Bounded per
  // call: the next call returns the rest.
  std::vector<Due> Take(uint64_t ms, uint64_t packets);
  // The earliest time at which Take returns something; kNever: nothing is left.
  uint64_t NextMs() const;
  uint64_t NextPackets() const;

 private:
  enum class Trigger : uint8_t { kAt, kAfterPackets, kEvery };
  struct Choice {
    Fault fault;
    std::string text;
  };
  struct Row {
    uint32_t line = 0;
    Trigger trigger = Trigger::kAt;
    uint64_t first = 0;  // milliseconds or packets; kEvery: shortest pause
    uint64_t last = 0;   // kEvery: longest pause
    std::vector<Choice> choices = {};
    uint64_t dice = 0;
    uint64_t due = kNever;
  };

  static Result<Row> ParseRow(const TomlTable& table);
  static uint64_t Throw(Row* row, uint64_t sides);
  Row* NextRow(uint64_t ms, uint64_t packets);

  std::vector<Row> rows_;
  uint64_t until_ms_ = kNever;
};

}  // namespace cygnet
