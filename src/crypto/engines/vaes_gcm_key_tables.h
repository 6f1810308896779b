// Tables for many packets of one key. Part of vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_parts.h"

namespace cygnet::vaes_gcm {
namespace {

// Powers: H^17 … H^1, then zeros. The text's last block is multiplied by H^2, since the length
// block follows. Behind them, for each power, the halves for Karatsuba of the pair of vectors that
// begins with it.
//
// First rounds: of the counters of a packet only the last byte differs, and the first round is
// linear but for its S-box, which works byte by byte. So a block after the first round is that of
// counter 0 ⊕ a value that depends on the key and the counter only. The values spare a round.
template <class S>
class KeyTables {
  using V = typename S::V;
  using G = Ghash<S>;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr unsigned kPowersBytes = 17 * 16;
  static constexpr unsigned kWithZeros = 320 + 2 * kVectorBytes;  // which rows may read

 public:
  // From a power to the halves of its pair.
  static constexpr unsigned kHalvesFromPower = kWithZeros;
  static constexpr unsigned kMaxPackets = 64;
  static constexpr unsigned kMaxTextBytes =
      2048;  // far from an overflow of the counter's last byte

  // `text_bytes`: of the longest packet.
  __attribute__((noinline)) KeyTables(const GcmKey& key, unsigned text_bytes)
      : bytes_(kVectorBytes + text_bytes) {
    ComputePowers(key);
    ComputeFirstRounds(key);
  }
  KeyTables(const KeyTables&) = delete;
  KeyTables& operator=(const KeyTables&) = delete;
  CYGNET_INLINE ~KeyTables() {
    for (unsigned i = 0; i < sizeof(powers_); i += kVectorBytes) S::Store(powers_ + i, S::Zero());
    for (unsigned i = 0; i < bytes_; i += kVectorBytes) S::Store(first_rounds_ + i, S::Zero());
    __asm__ volatile("" : : "r"(this) : "memory");  // the wipe stays
  }

  CYGNET_INLINE const uint8_t* powers_end() const { return powers_ + kPowersBytes; }
  // From counter 2 on, that of the first block of text.
  CYGNET_INLINE const uint8_t* first_rounds() const { return first_rounds_ + kVectorBytes; }
  CYGNET_INLINE const uint8_t* first_round_of_1() const { return first_rounds() - 16; }

 private:
  // H^16 … H^9 are H^8 times H^8 … H^1.
  CYGNET_INLINE void ComputePowers(const GcmKey& key) {
    const V eighth = S::Repeat(LoadBlock(key.powers));
    for (unsigned i = 0; i < sizeof(powers_); i += kVectorBytes) S::Store(powers_ + i, S::Zero());
    uint8_t* const high = powers_ + 16;
    uint8_t* const low = high + sizeof(key.powers);
    for (unsigned i = 0; i < sizeof(key.powers); i += kVectorBytes) {
      const V v = S::Load(key.powers + i);
      S::Store(high + i, G::Product(v, eighth));
      S::Store(low + i, v);
    }
    const V ninth = S::InLane0(LoadBlock(low - 16));
    StoreBlock(powers_, S::Lane0(G::Product(ninth, eighth)));
    for (unsigned i = 0; i < kPowersBytes; i += kVectorBytes) {
      S::Store(powers_ + kHalvesFromPower + i,
               G::Halves(S::Load(powers_ + i), S::Load(powers_ + i + kVectorBytes)));
    }
  }
  CYGNET_INLINE void ComputeFirstRounds(const GcmKey& key) {
    const V zero_counter = S::Repeat(LoadBlock(RoundKeys(key)));
    const V zero_round = S::Aes(zero_counter, S::Zero());
    V counters = S::template CountersFrom<256 + 2 - S::kLanes, 256>();
    for (unsigned i = 0; i < bytes_; i += kVectorBytes) {
      S::Store(first_rounds_ + i,
               S::Xor(S::Aes(S::Xor(zero_counter, counters), S::Zero()), zero_round));
      counters = S::Add32(counters, S::Repeat(_mm_set_epi32(S::kLanes << 24, 0, 0, 0)));
    }
  }

  const unsigned bytes_;  // of the first rounds
  alignas(64) uint8_t powers_[2 * kHalvesFromPower];
  alignas(64) uint8_t first_rounds_[kVectorBytes + kMaxTextBytes];
};

}  // namespace
}  // namespace cygnet::vaes_gcm
