// TextHash: a keyed hash of the bytes that a device must seal. The stack takes it before the device
// gets the packet and compares it with what the CPU opens at the wire. 64 bits: it has to detect
// mistakes of a device that does not know the key.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "base/hash_seed.h"

namespace cygnet {

class TextHash {
 public:
  void Add(uint64_t word) { state_ = FoldedMultiply(state_ ^ word, kHashSeed.words[3]) + word; }
  void Add(std::span<const uint8_t> bytes) {
    Add(uint64_t{bytes.size()});
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
      uint64_t word;
      std::memcpy(&word, bytes.data(), 8);
      Add(word);
    }
    uint64_t rest = 0;
    if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
    Add(rest);
  }
  uint64_t value() const { return FoldedMultiply(state_, kHashSeed.words[4]); }

 private:
  uint64_t state_ = kHashSeed.words[2];
};

}  // namespace cygnet
