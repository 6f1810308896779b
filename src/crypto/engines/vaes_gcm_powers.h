// Powers of the hash key for packets that need more of them than a key keeps. Part of
// vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_parts.h"

namespace cygnet::vaes_gcm {
namespace {

// H^16 … H^1 of the key used last. Zmm: all of them. Ymm: H^16 H^14 H^12 H^10, then high ⊕ low half
// of each even power from H^16, then H^8 … H^1.
template <class S>
class AllPowers {
  using V = typename S::V;
  using G = Ghash<S>;

 public:
  AllPowers() = default;
  AllPowers(const AllPowers&) = delete;
  AllPowers& operator=(const AllPowers&) = delete;
  CYGNET_INLINE ~AllPowers() {
    if (key_ == nullptr) return;
    for (unsigned i = 0; i < sizeof(bytes_); i += kVectorBytes) S::Store(bytes_ + i, S::Zero());
    __asm__ volatile("" : : "r"(bytes_) : "memory");  // the wipe stays
  }

  // The end of their row.
  CYGNET_INLINE const uint8_t* Of(const GcmKey& key) {
    if (key_ != &key) Compute(key);
    return bytes_ + kPowersBytes;
  }

 private:
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr unsigned kPowersBytes = 256;
  static constexpr unsigned kHalf = kPowersBytes / 2;

  // H^16 … H^9 are H^8 times H^8 … H^1.
  void __attribute__((noinline)) Compute(const GcmKey& key) {
    key_ = &key;
    const V eighth = S::Repeat(LoadBlock(key.powers));
    for (unsigned i = 0; i < sizeof(key.powers); i += kVectorBytes) {
      const V low = S::Load(key.powers + i);
      StoreHigh(i, G::Product(low, eighth));
      S::Store(bytes_ + kHalf + i, low);
      if constexpr (S::kLanes == 2) StoreBoth(kHalf + i, S::Lane0(low));
    }
    for (unsigned i = kPowersBytes; i < sizeof(bytes_); i += kVectorBytes) {
      S::Store(bytes_ + i, S::Zero());
    }
  }
  // `from`: the offset of `v` in the row H^16 … H^1.
  CYGNET_INLINE void StoreHigh(unsigned from, V v) {
    if constexpr (S::kLanes == 4) {
      S::Store(bytes_ + from, v);
    } else {  // the first lane has the even power
      _mm_storeu_si128(reinterpret_cast<__m128i_u*>(bytes_ + from / 2), S::Lane0(v));
      StoreBoth(from, S::Lane0(v));
    }
  }
  CYGNET_INLINE void StoreBoth(unsigned from, __m128i power) {
    const __m128i both = _mm_xor_si128(power, _mm_shuffle_epi32(power, 0x4e));
    _mm_storel_epi64(reinterpret_cast<__m128i_u*>(bytes_ + 64 + from / 4), both);
  }

  const GcmKey* key_ = nullptr;
  // A vector more than the powers, which rows may read.
  alignas(64) uint8_t bytes_[kPowersBytes + 64];
};

}  // namespace
}  // namespace cygnet::vaes_gcm
