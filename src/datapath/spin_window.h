// SpinWindow: how long a thread without work polls before it sleeps. The window adapts to the
// sleeps. After a sleep shorter than the longest window it grows, because polling would have been
// better. After a longer sleep it shrinks, down to zero, so that an idle daemon costs nothing.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cygnet {

class SpinWindow {
 public:
  // 0: never spin.
  explicit SpinWindow(uint64_t longest_ns) : longest_ns_(longest_ns) {}

  void Worked() { idle_since_ns_ = 0; }
  // Call when there is nothing to do. True: poll again. False: sleep.
  bool LookAgain(uint64_t now_ns) {
    if (idle_since_ns_ == 0) idle_since_ns_ = now_ns;
    return now_ns - idle_since_ns_ < window_ns_;
  }
  // Call after the sleep that LookAgain advised.
  void Slept(uint64_t now_ns) {
    const uint64_t idle = now_ns - idle_since_ns_;
    const uint64_t least = longest_ns_ / 8;
    if (idle <= longest_ns_) {
      window_ns_ = std::min(longest_ns_, std::max(least, window_ns_ * 2));
    } else {
      window_ns_ = window_ns_ / 2 < least ? 0 : window_ns_ / 2;
    }
    idle_since_ns_ = 0;
  }
  uint64_t window_ns() const { return window_ns_; }

 private:
  const uint64_t longest_ns_;
  uint64_t window_ns_ = 0;
  uint64_t idle_since_ns_ = 0;  // 0: not idle
};

}  // namespace cygnet
