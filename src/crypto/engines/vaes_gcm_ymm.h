// Vectors of two blocks: AVX2, VAES, VPCLMULQDQ. Only vaes_gcm_avx2.cc includes it.
#pragma once

#include <string.h>

#include "crypto/engines/vaes_gcm_basics.h"

namespace cygnet::vaes_gcm {
namespace {

alignas(32) constexpr uint8_t kOneLane[240] = {
    0, 0, 0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,  0, 0, 0, 0,
    0, 0, 0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,  0, 0, 0, 0,
    0, 0, 0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,  0, 0, 0, 0,
    0, 0, 0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,  0, 0, 0, 0,
    0, 0, 0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,  0, 0, 0, 0,
    0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

struct Ymm {
  using V = __m256i;
  static constexpr int kLanes = 2;
  static constexpr int kChunkVectors = 8;
  // Lanes covered by a row of consecutive powers; see Powers in vaes_gcm_kernel.h.
  static constexpr int kTailLanes = 8;

  static CYGNET_INLINE V Zero() { return _mm256_setzero_si256(); }
  static CYGNET_INLINE V Load(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
  }
  static CYGNET_INLINE void Store(uint8_t* p, V v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p), v);
  }
  static CYGNET_INLINE V Repeat(__m128i block) { return _mm256_broadcastsi128_si256(block); }
  static CYGNET_INLINE V InLane0(__m128i block) { return _mm256_zextsi128_si256(block); }
  static CYGNET_INLINE V InLanes01(__m128i a, __m128i b) { return FromLanes({a, b}); }
  static CYGNET_INLINE __m128i Lane0(V v) { return _mm256_castsi256_si128(v); }
  static CYGNET_INLINE __m128i Lane1(V v) { return _mm256_extracti128_si256(v, 1); }
  static CYGNET_INLINE V InLastLane(__m128i block) {
    return _mm256_inserti128_si256(_mm256_setzero_si256(), block, 1);
  }
  static CYGNET_INLINE __m128i XorOfLanes(V v) {
    return _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  }
  static CYGNET_INLINE V Xor(V a, V b) { return _mm256_xor_si256(a, b); }
  static CYGNET_INLINE V Xor3(V a, V b, V c) { return Xor(Xor(a, b), c); }
  static CYGNET_INLINE V And(V a, V b) { return _mm256_and_si256(a, b); }
  static CYGNET_INLINE V Aes(V v, V key) { return _mm256_aesenc_epi128(v, key); }
  static CYGNET_INLINE V AesLast(V v, V key) { return _mm256_aesenclast_epi128(v, key); }
  template <int kWhich>
  static CYGNET_INLINE V Multiply(V a, V b) {
    return _mm256_clmulepi64_epi128(a, b, kWhich);
  }
  static CYGNET_INLINE V Shuffle(V v, V order) { return _mm256_shuffle_epi8(v, order); }
  static CYGNET_INLINE V SwapHalves(V v) { return _mm256_shuffle_epi32(v, 0x4e); }
  static CYGNET_INLINE V LowHalves(V a, V b) { return _mm256_unpacklo_epi64(a, b); }
  static CYGNET_INLINE V HighHalves(V a, V b) { return _mm256_unpackhi_epi64(a, b); }
  static CYGNET_INLINE V Add32(V a, V b) { return _mm256_add_epi32(a, b); }
  // Big-endian counters kFrom, kFrom + 1 modulo kModulus at their place in a counter block.
  // REQUIRES: kModulus <= 256.
  template <int kFrom, int kModulus>
  static CYGNET_INLINE V CountersFrom() {
    constexpr auto counter = [](int n) { return static_cast<int>(unsigned(n % kModulus) << 24); };
    return _mm256_set_epi32(counter(kFrom + 1), 0, 0, 0, counter(kFrom), 0, 0, 0);
  }
  static CYGNET_INLINE V WithLastLane(V v, V last) { return _mm256_blend_epi32(v, last, 0xf0); }

  static CYGNET_INLINE V XorOfLanesOf(const V (&v)[2]) {
    return Xor(_mm256_permute2x128_si256(v[0], v[1], 0x20),
               _mm256_permute2x128_si256(v[0], v[1], 0x31));
  }
  static CYGNET_INLINE V FromLanes(const __m128i (&lanes)[2]) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(lanes[0]), lanes[1], 1);
  }
  // Lane i is the block at p[i] + offset.
  static CYGNET_INLINE V LoadEach(const uint8_t* const (&p)[2], unsigned offset) {
    return FromLanes({LoadBlock(p[0] + offset), LoadBlock(p[1] + offset)});
  }
  static CYGNET_INLINE void StoreEach(uint8_t* const (&p)[2], unsigned offset, V v) {
    StoreBlock(p[0] + offset, Lane0(v));
    StoreBlock(p[1] + offset, _mm256_extracti128_si256(v, 1));
  }
  // `v` is vector `index` of a row: keeps lane `lane` of the row, the others become zero. REQUIRES:
  // lane < 8.
  static CYGNET_INLINE V OnlyLane(V v, unsigned lane, int index) {
    return _mm256_and_si256(v, Load(kOneLane + 112 - 16 * lane + 32 * index));
  }

  // `block` in lane `lane`, zero elsewhere.
  static CYGNET_INLINE V InLane(__m128i block, unsigned lane) {
    const __m256i which = _mm256_set_epi64x(1, 1, 0, 0);
    const __m256i here = _mm256_cmpeq_epi64(which, _mm256_set1_epi64x(lane));
    return _mm256_and_si256(Repeat(block), here);
  }

  // A packet's text begins in lane 1 of its first vector: lane 0 reads as zero and is not written.
  static CYGNET_INLINE V LoadFirst(const uint8_t* text) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(text));
    return _mm256_inserti128_si256(_mm256_setzero_si256(), block, 1);
  }
  static CYGNET_INLINE void StoreFirst(uint8_t* text, V v) {
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(text), _mm256_extracti128_si256(v, 1));
  }

  static CYGNET_INLINE V WithoutLane0(V v) {
    return _mm256_blend_epi32(v, _mm256_setzero_si256(), 0x0f);
  }

  // Keeps the first `bytes` bytes; the others become zero. REQUIRES: bytes <= 32.
  static CYGNET_INLINE V KeepBytes(V v, unsigned bytes) {
    return _mm256_and_si256(v, Load(kFirstBytes + 32 - bytes));
  }
  static CYGNET_INLINE V LoadBytes(const uint8_t* p, unsigned bytes) {
    if (__builtin_expect(bytes % 4 != 0, 0)) return LoadRagged(p, bytes);
    return _mm256_maskload_epi32(static_cast<const int*>(static_cast<const void*>(p)),
                                 Load(kFirstBytes + 32 - bytes));
  }
  // Stores in halving pieces: a masked store is slow on Zen 2 and 3.
  static CYGNET_INLINE void StoreBytes(uint8_t* p, V v, unsigned bytes) {
    if (bytes == 32) return Store(p, v);
    __m128i block = _mm256_castsi256_si128(v);
    if ((bytes & 16) != 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i_u*>(p), block);
      p += 16;
      block = _mm256_extracti128_si256(v, 1);
    }
    StoreOfBlock(p, block, bytes % 16);
  }
  static CYGNET_INLINE V LoadBytesFirst(const uint8_t* text, unsigned bytes) {
    const V v = LoadBytes(text, bytes);
    return _mm256_inserti128_si256(_mm256_setzero_si256(), _mm256_castsi256_si128(v), 1);
  }
  static CYGNET_INLINE void StoreBytesFirst(uint8_t* text, V v, unsigned bytes) {
    const __m128i block = _mm256_extracti128_si256(v, 1);
    if (bytes == 16) return StoreFirst(text, v);
    StoreOfBlock(text, block, bytes);
  }

  static CYGNET_INLINE V PowersOneAndZero(__m128i one, __m128i zero) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(one), zero, 1);
  }

 private:
  static __attribute__((noinline)) V LoadRagged(const uint8_t* p, unsigned bytes) {
    alignas(32) uint8_t all[32] = {};
    memcpy(all, p, bytes);
    return Load(all);
  }
  static CYGNET_INLINE void StoreOfBlock(uint8_t* p, __m128i block, unsigned bytes) {
    uint64_t word = static_cast<uint64_t>(_mm_cvtsi128_si64(block));
    if ((bytes & 8) != 0) {
      memcpy(p, &word, 8);
      p += 8;
      word = static_cast<uint64_t>(_mm_extract_epi64(block, 1));
    }
    if ((bytes & 4) != 0) {
      memcpy(p, &word, 4);
      p += 4;
      word >>= 32;
    }
    if (__builtin_expect((bytes & 3) != 0, 0)) {
      const uint64_t rest = word;  // a copy keeps the word in a register
      memcpy(p, &rest, bytes & 3);
    }
  }
};

}  // namespace
}  // namespace cygnet::vaes_gcm
