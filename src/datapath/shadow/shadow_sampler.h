// ShadowSampler: which packets of a device the CPU computes again. Each draw is independent, so
// that no device can tell which packet is next. One per thread.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace cygnet {

class ShadowSampler {
 public:
  // True for one of `n` packets on average. REQUIRES: n > 0.
  bool Draw(uint32_t n) {
    if (n == 1) return true;
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return ((state_ >> 32) * n) >> 32 == 0;
  }

 private:
  uint64_t state_ = RandomWord() | 1;
};

}  // namespace cygnet
