// Tables for many packets of one key. Part of vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_parts.h"

namespace cygnet::vaes_gcm {
namespace {

// Powers for the end of a packet: H^18 … H^1, then zeros. Powers for whole chunks, where each lane
// sums up by itself: H^(n L) … H^(2 L) H^L 1 for L lanes. Behind both, for each power, the halves
// for Karatsuba of the pair that begins with it.
//
// First rounds: of the counters of a packet only the last byte differs, and the first round is
// linear but for its S-box, which works byte by byte. So a block after the first round is that of
// counter 0 ⊕ a value that depends on the key and the counter only. The values spare a round.
template <class S>
class KeyTables {
  using V = typename S::V;
  using G = Ghash<S>;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr unsigned kChunkBytes = kVectorBytes * S::kChunkVectors;

 public:
  static constexpr unsigned kMaxPackets = 64;
  static constexpr unsigned kMaxTextBytes =
      2048;  // far from an overflow of the counter's last byte

 private:
  static constexpr unsigned kPowersBytes = 320;
  static constexpr unsigned kZeros = 2 * kVectorBytes;  // which rows may read
  // Two more than the vectors of the longest text.
  static constexpr unsigned kChunkPowersBytes = kMaxTextBytes / S::kLanes + 2 * kVectorBytes;

 public:
  // From a power to the halves of its pair.
  static constexpr unsigned kHalvesFromPower = kPowersBytes + kZeros;
  static constexpr unsigned kHalvesFromChunkPower = kChunkPowersBytes;

  // `text_bytes`: of the longest packet.
  __attribute__((noinline)) KeyTables(const GcmKey& key, unsigned text_bytes)
      : bytes_(kVectorBytes + text_bytes) {
    ComputePowers(key);
    ComputeChunkPowers((text_bytes - 1) / kChunkBytes * S::kChunkVectors + 1);
    ComputeFirstRounds(key);
  }
  KeyTables(const KeyTables&) = delete;
  KeyTables& operator=(const KeyTables&) = delete;
  CYGNET_INLINE ~KeyTables() {
    for (unsigned i = 0; i < sizeof(powers_); i += kVectorBytes) S::Store(powers_ + i, S::Zero());
    for (uint8_t* p = first_power_; p < last_chunk_power(); p += kVectorBytes) {
      S::Store(p, S::Zero());
      S::Store(p + kHalvesFromChunkPower, S::Zero());
    }
    for (unsigned i = 0; i < bytes_; i += kVectorBytes) S::Store(first_rounds_ + i, S::Zero());
    __asm__ volatile("" : : "r"(this) : "memory");  // the wipe stays
  }

  CYGNET_INLINE const uint8_t* powers_end() const { return powers_ + kPowersBytes; }
  // The power 1.
  CYGNET_INLINE const uint8_t* last_chunk_power() const {
    return chunk_powers_ + kChunkPowersBytes - kVectorBytes;
  }
  // From counter 2 on, that of the first block of text.
  CYGNET_INLINE const uint8_t* first_rounds() const { return first_rounds_ + kVectorBytes; }
  CYGNET_INLINE const uint8_t* first_round_of_1() const { return first_rounds() - 16; }

 private:
  // H^16 … H^9 are H^8 times H^8 … H^1.
  CYGNET_INLINE void ComputePowers(const GcmKey& key) {
    const V eighth = S::Repeat(LoadBlock(key.powers));
    for (unsigned i = 0; i < sizeof(powers_); i += kVectorBytes) S::Store(powers_ + i, S::Zero());
    uint8_t* const high = powers_ + kPowersBytes - 256;
    uint8_t* const low = high + sizeof(key.powers);
    for (unsigned i = 0; i < sizeof(key.powers); i += kVectorBytes) {
      const V v = S::Load(key.powers + i);
      S::Store(high + i, G::Product(v, eighth));
      S::Store(low + i, v);
    }
    const V tenth = S::InLanes01(LoadBlock(low - 32), LoadBlock(low - 16));
    const V both = G::Product(tenth, eighth);
    StoreBlock(high - 32, S::Lane0(both));
    StoreBlock(high - 16, S::Lane1(both));
    for (unsigned i = 0; i < kPowersBytes; i += kVectorBytes) {
      S::Store(powers_ + kHalvesFromPower + i,
               G::Halves(S::Load(powers_ + i), S::Load(powers_ + i + kVectorBytes)));
    }
  }
  // `count` of them at least: the first ones from H^16 down, then each from that times H^16.
  CYGNET_INLINE void ComputeChunkPowers(unsigned count) {
    constexpr unsigned kKnown = 16 / S::kLanes;
    uint8_t* const end = chunk_powers_ + kChunkPowersBytes - kVectorBytes;
    S::Store(end, S::InLane0(Polynomial()));
    Each<1, kKnown + 1>([&](auto i) __attribute__((always_inline)) {
      StoreBlock(end - 16 * i.value, LoadBlock(powers_end() - kVectorBytes * i.value));
    });
    const V sixteenth = S::Repeat(LoadBlock(powers_end() - 256));
    uint8_t* p = end - 16 * kKnown;
    while (p > end - 16 * count) {
      p -= kVectorBytes;
      S::Store(p, G::Product(S::Load(p + 16 * kKnown), sixteenth));
    }
    first_power_ = p;
    for (; p < end; p += kVectorBytes) {
      const V v = S::Load(p);
      S::Store(p + kHalvesFromChunkPower, G::Halves(v, S::Load(p + 16)));
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
  uint8_t* first_power_;  // for chunks
  alignas(64) uint8_t powers_[2 * kHalvesFromPower];
  alignas(64) uint8_t chunk_powers_[2 * kChunkPowersBytes];
  alignas(64) uint8_t first_rounds_[kVectorBytes + kMaxTextBytes];
};

}  // namespace
}  // namespace cygnet::vaes_gcm
