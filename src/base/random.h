// Random numbers from the kernel, for SPIs, IV masks, seeds and anything else that must be
// unpredictable.
#pragma once

#include <sys/random.h>

#include <cstdint>

#include "base/check.h"

namespace cygnet {

inline uint64_t RandomWord() {
  uint64_t word = 0;
  CYGNET_CHECK(getrandom(&word, sizeof(word), 0) == static_cast<ssize_t>(sizeof(word)));
  return word;
}

}  // namespace cygnet
