// Blocks, masks and unrolled loops for the files of vaes_gcm_kernel.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace cygnet::vaes_gcm {
namespace {

#define CYGNET_INLINE inline __attribute__((always_inline))

template <int kValue>
struct Int {
  static constexpr int value = kValue;
};

// f(Int<kFrom>) … f(Int<kTo - 1>), always unrolled.
template <int kFrom, int kTo, class F>
CYGNET_INLINE void Each(F f) {
  if constexpr (kFrom < kTo) {
    f(Int<kFrom>{});
    Each<kFrom + 1, kTo>(f);
  }
}

CYGNET_INLINE __m128i LoadBlock(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p));
}
CYGNET_INLINE void StoreBlock(uint8_t* p, __m128i block) {
  _mm_storeu_si128(reinterpret_cast<__m128i_u*>(p), block);
}
CYGNET_INLINE __m128i ReversedBytes() {
  return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
CYGNET_INLINE __m128i ReverseBlock(__m128i block) {
  return _mm_shuffle_epi8(block, ReversedBytes());
}
// x^128 + x^127 + x^126 + x^121 + 1, reflected; also 1 shifted left by one bit.
CYGNET_INLINE __m128i Polynomial() {
  return _mm_set_epi64x(static_cast<long long>(0xc200000000000000), 1);
}

// Reading from offset 32 - n yields n bytes of ones, then zeros.
alignas(64) constexpr uint8_t kFirstBytes[64] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

}  // namespace
}  // namespace cygnet::vaes_gcm
