// LogLimiter: a token bucket for each kind of log line. Repeated lines, perhaps provoked by an
// attacker, must not push the rest out of the journal. A line that occurs once is never suppressed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cygnet {

class LogLimiter {
 public:
  static constexpr uint32_t kBurst = 50;              // lines of one kind at once
  static constexpr uint64_t kRefillNs = 500'000'000;  // one more line per half a second
  static constexpr std::size_t kMostKinds = 512;      // further kinds share one bucket

  // True if the line may be written. Two lines are of one kind if their letters are equal: numbers,
  // addresses and SPIs do not count.
  bool Admit(std::string_view text, uint64_t now_ns);

  struct LeftOut {
    uint64_t lines;
    std::string example;
  };
  // Lines suppressed since the last call, for the kinds that may be written again.
  std::vector<LeftOut> TakeLeftOut(uint64_t now_ns);

 private:
  struct Kind {
    uint32_t tokens = kBurst;
    uint64_t filled_ns = 0;
    uint64_t left_out = 0;
    std::string example;
  };

  static uint64_t KindOf(std::string_view text);
  static void Refill(Kind* kind, uint64_t now_ns);

  std::unordered_map<uint64_t, Kind> kinds_;
};

}  // namespace cygnet
