// ReplayBits: the words of a replay bitmap. Zeros alone take no memory: nearly every SA starts
// with a window in which nothing was seen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "base/number_or.h"

namespace cygnet {

class ReplayBits {
 public:
  ReplayBits() = default;
  ReplayBits(std::initializer_list<uint32_t> words) : ReplayBits(std::vector<uint32_t>(words)) {}
  ReplayBits(std::vector<uint32_t> words) {  // NOLINT: as a vector
    const bool zeros = std::all_of(words.begin(), words.end(), [](uint32_t w) { return w == 0; });
    if (zeros) {
      bits_ = Bits(static_cast<uint32_t>(words.size()));
    } else {
      bits_ = Bits(std::move(words));
    }
  }

  void assign(std::size_t n, uint32_t word) { *this = ReplayBits(std::vector<uint32_t>(n, word)); }
  std::size_t size() const {
    return bits_.value() != nullptr ? bits_.value()->size() : bits_.number();
  }
  bool empty() const { return size() == 0; }
  uint32_t operator[](std::size_t i) const {
    return bits_.value() != nullptr ? (*bits_.value())[i] : 0;
  }
  uint32_t front() const { return (*this)[0]; }
  std::vector<uint32_t> words() const {
    return bits_.value() != nullptr ? *bits_.value() : std::vector<uint32_t>(bits_.number());
  }
  friend bool operator==(const ReplayBits& a, const ReplayBits& b) {
    return a.words() == b.words();
  }

 private:
  using Bits = NumberOr<std::vector<uint32_t>>;
  Bits bits_;  // a number: so many zeros
};

}  // namespace cygnet
