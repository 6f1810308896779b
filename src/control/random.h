// Random numbers of the kernel, for SPIs and IV masks.
#pragma once

#include <sys/random.h>

#include <cstdint>

#include "base/check.h"

namespace cygnet {

inline uint64_t RandomWord() {
  uint64_t word = 0;
  CYGNET_CHECK(getrandom(&word, sizeof(word), 0) == sizeof(word));
  return word;
}

}  // namespace cygnet
