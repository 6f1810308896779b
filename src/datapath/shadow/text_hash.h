// TextHash: a keyed hash of the bytes that a device must seal. The stack takes it before the device
// gets the packet and compares it with what the CPU opens at the wire. 64 bits: it has to detect
// mistakes of a device that does not know the key.
#pragma once

#include <array>
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
    // Four products at once, because each waits for the one before.
    std::array<uint64_t, 4> lanes = {state_, state_, state_, state_};
    for (; bytes.size() >= 32; bytes = bytes.subspan(32)) {
      for (std::size_t i = 0; i < 4; ++i) {
        const uint64_t word = Load(bytes.data() + i * 8);
        lanes[i] = FoldedMultiply(lanes[i] ^ word, kHashSeed.words[i]) + word;
      }
    }
    for (const uint64_t lane : lanes) Add(lane);
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) Add(Load(bytes.data()));
    uint64_t rest = 0;
    if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
    Add(rest);
  }
  uint64_t value() const { return FoldedMultiply(state_, kHashSeed.words[4]); }

 private:
  static uint64_t Load(const uint8_t* at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    return word;
  }
  uint64_t state_ = kHashSeed.words[5];
};

}  // namespace cygnet
