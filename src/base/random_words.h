// Random words for whoever needs one for each of many objects: many by one call to the kernel,
// which takes longer than the rest of it. A word is returned once, and nothing of it stays here.
#pragma once

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/check.h"

namespace cygnet {

// One thread.
class RandomWords {
 public:
  uint64_t Next() {
    if (left_ == 0) {
      // As much as the kernel gives without an interruption.
      CYGNET_CHECK(getrandom(words_.data(), sizeof(words_), 0) == ssize_t{sizeof(words_)});
      left_ = words_.size();
    }
    return std::exchange(words_[--left_], 0);
  }

 private:
  std::array<uint64_t, 32> words_{};
  std::size_t left_ = 0;
};

}  // namespace cygnet
