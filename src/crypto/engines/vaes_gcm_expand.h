// Key expansion: the AES schedule and the powers of the hash key. Part of vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_parts.h"

namespace cygnet::vaes_gcm {
namespace {

// FIPS 197, section 5.2, word by word. The CPU provides the S-box.
CYGNET_INLINE void ExpandAes(const uint8_t* key, size_t key_bytes, GcmKey* out) {
  const unsigned words = static_cast<unsigned>(key_bytes / 4);
  out->rounds = static_cast<uint8_t>(words + 6);
  uint8_t* w = reinterpret_cast<uint8_t*>(out) + sizeof(GcmKey);
  memcpy(w, key, key_bytes);
  uint32_t rcon = 1;
  unsigned phase = 0;  // i % words
  for (unsigned i = words; i < 4 * (out->rounds + 1u); ++i) {
    uint32_t previous, back;
    memcpy(&previous, w + 4 * (i - 1), 4);
    memcpy(&back, w + 4 * (i - words), 4);
    if (phase == 0 || (words == 8 && phase == 4)) {
      const __m128i substituted =
          _mm_aeskeygenassist_si128(_mm_set1_epi32(static_cast<int>(previous)), 0);
      const bool rotated = phase == 0;
      // Lane 0 has SubWord, lane 1 has RotWord of it.
      previous = static_cast<uint32_t>(rotated ? _mm_extract_epi32(substituted, 1)
                                               : _mm_extract_epi32(substituted, 0));
      if (rotated) {
        previous ^= rcon;
        rcon = (rcon << 1) ^ (rcon >> 7) * 0x11b;
      }
    }
    const uint32_t next = back ^ previous;
    memcpy(w + 4 * i, &next, 4);
    phase = phase + 1 == words ? 0 : phase + 1;
  }
}

CYGNET_INLINE __m128i HashKey(const GcmKey& key) {
  const uint8_t* round_keys = RoundKeys(key);
  __m128i x = LoadBlock(round_keys);
  for (int r = 1; r < key.rounds; ++r) x = _mm_aesenc_si128(x, LoadBlock(round_keys + 16 * r));
  x = _mm_aesenclast_si128(x, LoadBlock(round_keys + 16 * key.rounds));
  x = _mm_shuffle_epi8(x, ReversedBytes());
  // Shifts left by one bit; a carry out of the top is reduced by the polynomial.
  const __m128i signs = _mm_srai_epi32(_mm_shuffle_epi32(x, 0xd3), 31);
  const __m128i carries = _mm_set_epi32(static_cast<int>(0xc2000000), 1, 0, 1);
  return _mm_xor_si128(_mm_add_epi64(x, x), _mm_and_si128(signs, carries));
}

CYGNET_INLINE __m128i MultiplyPowers(__m128i a, __m128i b) {
  const __m128i polynomial = Polynomial();
  const __m128i low = _mm_clmulepi64_si128(a, b, 0x00);
  const __m128i high = _mm_clmulepi64_si128(a, b, 0x11);
  __m128i middle =
      _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
  middle = _mm_xor_si128(middle, _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e),
                                               _mm_clmulepi64_si128(polynomial, low, 0x01)));
  return _mm_xor_si128(high, _mm_xor_si128(_mm_shuffle_epi32(middle, 0x4e),
                                           _mm_clmulepi64_si128(polynomial, middle, 0x01)));
}

template <class S>
void Expand(const uint8_t* key, size_t key_bytes, GcmKey* out) {
  ExpandAes(key, key_bytes, out);
  const __m128i h = HashKey(*out);
  __m128i power = h;
  for (unsigned n = 1; n <= 8; ++n) {
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(out->powers + 16 * (8 - n)), power);
    power = MultiplyPowers(power, h);
  }
}

}  // namespace
}  // namespace cygnet::vaes_gcm
