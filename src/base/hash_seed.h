// The seed of hashes of outside bytes: with it nobody can choose addresses, ports or SPIs that meet
// in one bucket. Random, made once for the process, told to nobody.
#pragma once

#include <array>
#include <cstdint>

#include "base/random.h"

namespace cygnet {

struct HashSeed {
  HashSeed() {
    for (uint64_t& word : words) word = RandomWord();
  }
  std::array<uint64_t, 6> words{};
};
inline const HashSeed kHashSeed;

// Both halves of the product: every output bit depends on all lower input bits. With secret words
// in both factors, nobody can choose two inputs that meet.
inline uint64_t FoldedMultiply(uint64_t a, uint64_t b) {
  __extension__ using Product = unsigned __int128;
  const Product p = Product{a} * b;
  return static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64);
}

// A hash of two words, or of what was hashed before and one more.
inline uint64_t SeededHash(uint64_t a, uint64_t b) {
  return FoldedMultiply(a ^ kHashSeed.words[0], b ^ kHashSeed.words[1]);
}

}  // namespace cygnet
