// CallTimes: whether the calls of a worker's thread wait (CYGNET_PROMPT_US).
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "cygnet/types.h"

namespace cygnet::conformance {

class CallTimes {
 public:
  template <typename Fn>
  void Time(Fn call) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    times_.push_back(std::chrono::steady_clock::now() - begin);
  }

  // How the calls break the promise; empty: three of four were in time. REQUIRES: some were timed.
  std::string Late(const std::string& call) {
    const auto usual = times_.begin() + static_cast<std::ptrdiff_t>(times_.size() * 3 / 4);
    std::nth_element(times_.begin(), usual, times_.end());
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(*usual);
    if (took <= kBound) return {};
    return "one of four calls of " + call + " takes " + std::to_string(took.count()) +
           " µs or longer, and may take " + std::to_string(kBound.count());
  }

 private:
#ifdef CYGNET_SANITIZED
  static constexpr std::chrono::microseconds kBound{5 * CYGNET_PROMPT_US};
#else
  static constexpr std::chrono::microseconds kBound{CYGNET_PROMPT_US};
#endif
  std::vector<std::chrono::steady_clock::duration> times_;
};

}  // namespace cygnet::conformance
