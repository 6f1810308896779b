// Whether to look for the other side's next step before sleeping, in the shim and in the daemon. To
// wake a CPU takes longer than a request, so it pays while the other side runs on another CPU. It
// does not where that waits for this one, or has nothing to send: looking takes the CPU from
// others, and makes the scheduler let this thread wait.
#pragma once

#include <atomic>

namespace cygnet {

// Any thread.
class Patience {
 public:
  // After looking in vain a few times only now and then, to learn whether it pays again.
  bool ShouldLook() const {
    const unsigned vain = vain_.load(std::memory_order_relaxed);
    return vain < kEnough || vain % kTryEvery == 0;
  }
  // Once for each step: whether it came while this side looked.
  void Note(bool paid) {
    vain_.store(paid ? 0 : vain_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

 private:
  static constexpr unsigned kEnough = 4;
  static constexpr unsigned kTryEvery = 16;
  std::atomic<unsigned> vain_{0};  // steps since looking last paid
};

}  // namespace cygnet
