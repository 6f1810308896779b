// Limits of an SA: what is used of each, and when it is reached at the present rate.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "client/operator_client.h"

namespace cygnet::top {

struct Limit {
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  static constexpr double kFar = 3650.0 * 86'400;  // nobody plans so far ahead

  std::string name;  // "hard_bytes", "sequence numbers"
  double limit = 0;
  double used = 0;
  double seconds_left = kNever;  // kNever: not at this rate
  bool soft = false;             // key management is told; the SA goes on

  bool operator==(const Limit&) const = default;
};

struct LimitInput {
  double packets_per_second = 0;
  double bits_per_second = 0;
  uint64_t now = 0;  // wall-clock seconds
};

// In the order of the report; the sequence numbers come last.
std::vector<Limit> LimitsOf(const Json& sa, const LimitInput& input);

// The one that ends the SA first; nullptr: none does at this rate, or not within kFar.
const Limit* FirstReached(const std::vector<Limit>& limits);

}  // namespace cygnet::top
