// Random words that seed hashes of outside bytes. They are drawn once per process and never leave
// it, so nobody can choose addresses, ports or SPIs that collide in one bucket.
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

// XORs both halves of the product: every output bit depends on all lower input bits. Secret words
// in both factors keep an attacker from choosing colliding inputs.
inline uint64_t FoldedMultiply(uint64_t a, uint64_t b) {
  __extension__ using Product = unsigned __int128;
  const Product p = Product{a} * b;
  return static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64);
}

// Hash of two words, or of an earlier hash and one more word.
inline uint64_t SeededHash(uint64_t a, uint64_t b) {
  return FoldedMultiply(a ^ kHashSeed.words[0], b ^ kHashSeed.words[1]);
}

}  // namespace cygnet
