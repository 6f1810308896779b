// Vectors of four blocks: AVX-512 with VAES and VPCLMULQDQ. Only vaes_gcm_avx512.cc includes it.
#pragma once

#include "crypto/engines/vaes_gcm_basics.h"

namespace cygnet::vaes_gcm {
namespace {

struct Zmm {
  using V = __m512i;
  static constexpr int kLanes = 4;
  static constexpr int kChunkVectors = 4;
  static constexpr int kTailLanes = 16;

  static CYGNET_INLINE V Zero() { return _mm512_setzero_si512(); }
  static CYGNET_INLINE V Load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static CYGNET_INLINE void Store(uint8_t* p, V v) { _mm512_storeu_si512(p, v); }
  static CYGNET_INLINE V Repeat(__m128i block) { return _mm512_broadcast_i32x4(block); }
  static CYGNET_INLINE V InLane0(__m128i block) { return _mm512_zextsi128_si512(block); }
  static CYGNET_INLINE V InLanes01(__m128i a, __m128i b) {
    return _mm512_zextsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1));
  }
  static CYGNET_INLINE __m128i Lane0(V v) { return _mm512_castsi512_si128(v); }
  static CYGNET_INLINE __m128i Lane1(V v) { return _mm512_extracti32x4_epi32(v, 1); }
  static CYGNET_INLINE V InLastLane(__m128i block) {
    return _mm512_inserti32x4(_mm512_setzero_si512(), block, 3);
  }
  static CYGNET_INLINE __m128i XorOfLanes(V v) {
    const __m256i half =
        _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  static CYGNET_INLINE V Xor(V a, V b) { return _mm512_xor_si512(a, b); }
  static CYGNET_INLINE V Xor3(V a, V b, V c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static CYGNET_INLINE V And(V a, V b) { return _mm512_and_si512(a, b); }
  static CYGNET_INLINE V Aes(V v, V key) { return _mm512_aesenc_epi128(v, key); }
  static CYGNET_INLINE V AesLast(V v, V key) { return _mm512_aesenclast_epi128(v, key); }
  template <int kWhich>
  static CYGNET_INLINE V Multiply(V a, V b) {
    return _mm512_clmulepi64_epi128(a, b, kWhich);
  }
  static CYGNET_INLINE V Shuffle(V v, V order) { return _mm512_shuffle_epi8(v, order); }
  static CYGNET_INLINE V SwapHalves(V v) {
    return _mm512_shuffle_epi32(v, static_cast<_MM_PERM_ENUM>(0x4e));
  }
  static CYGNET_INLINE V LowHalves(V a, V b) { return _mm512_unpacklo_epi64(a, b); }
  static CYGNET_INLINE V HighHalves(V a, V b) { return _mm512_unpackhi_epi64(a, b); }
  static CYGNET_INLINE V Add32(V a, V b) { return _mm512_add_epi32(a, b); }
  // Big-endian counters from kFrom on, modulo kModulus, at their place in a counter block.
  // REQUIRES: kModulus <= 256.
  template <int kFrom, int kModulus>
  static CYGNET_INLINE V CountersFrom() {
    constexpr auto counter = [](int n) { return static_cast<int>(unsigned(n % kModulus) << 24); };
    return _mm512_set_epi32(counter(kFrom + 3), 0, 0, 0, counter(kFrom + 2), 0, 0, 0,
                            counter(kFrom + 1), 0, 0, 0, counter(kFrom), 0, 0, 0);
  }
  static CYGNET_INLINE V WithLastLane(V v, V last) { return _mm512_mask_mov_epi64(v, 0xc0, last); }

  static CYGNET_INLINE V XorOfLanesOf(const V (&v)[4]) {
    const V ab = HalfOfLanes(v[0], v[1]);
    const V cd = HalfOfLanes(v[2], v[3]);
    return Xor(_mm512_shuffle_i64x2(ab, cd, 0x88), _mm512_shuffle_i64x2(ab, cd, 0xdd));
  }
  static CYGNET_INLINE V FromLanes(const __m128i (&lanes)[4]) {
    V v = _mm512_inserti32x4(_mm512_castsi128_si512(lanes[0]), lanes[1], 1);
    v = _mm512_inserti32x4(v, lanes[2], 2);
    return _mm512_inserti32x4(v, lanes[3], 3);
  }
  // Lane i is the block at p[i] + offset.
  static CYGNET_INLINE V LoadEach(const uint8_t* const (&p)[4], unsigned offset) {
    return FromLanes({LoadBlock(p[0] + offset), LoadBlock(p[1] + offset), LoadBlock(p[2] + offset),
                      LoadBlock(p[3] + offset)});
  }
  static CYGNET_INLINE void StoreEach(uint8_t* const (&p)[4], unsigned offset, V v) {
    StoreBlock(p[0] + offset, Lane0(v));
    StoreLane<1>(p[1] + offset, v);
    StoreLane<2>(p[2] + offset, v);
    StoreLane<3>(p[3] + offset, v);
  }
  // `v` is vector `index` of a row: keeps lane `lane` of the row, the others become zero. REQUIRES:
  // lane < 8.
  static CYGNET_INLINE V OnlyLane(V v, unsigned lane, int index) {
    return _mm512_maskz_mov_epi64(static_cast<__mmask8>((3u << (2 * lane)) >> (8 * index)), v);
  }

  static CYGNET_INLINE V InLane(__m128i block, unsigned lane) {
    return _mm512_maskz_broadcast_i32x4(static_cast<__mmask16>(15u << (4 * lane)), block);
  }

  // Lane 0 of a packet's first vector is not text. Masked-out bytes are not accessed.
  static CYGNET_INLINE V LoadFirst(const uint8_t* text) {
    return _mm512_maskz_loadu_epi64(0xfc, Before(text));
  }
  static CYGNET_INLINE void StoreFirst(uint8_t* text, V v) {
    _mm512_mask_storeu_epi64(Before(text), 0xfc, v);
  }
  static CYGNET_INLINE V WithoutLane0(V v) { return _mm512_maskz_mov_epi64(0xfc, v); }

  static CYGNET_INLINE V KeepBytes(V v, unsigned bytes) {
    return _mm512_maskz_mov_epi8(MaskOf(bytes), v);
  }
  static CYGNET_INLINE V LoadBytes(const uint8_t* p, unsigned bytes) {
    return _mm512_maskz_loadu_epi8(MaskOf(bytes), p);
  }
  static CYGNET_INLINE void StoreBytes(uint8_t* p, V v, unsigned bytes) {
    _mm512_mask_storeu_epi8(p, MaskOf(bytes), v);
  }
  static CYGNET_INLINE V LoadBytesFirst(const uint8_t* text, unsigned bytes) {
    return _mm512_maskz_loadu_epi8(MaskOf(bytes) << 16, Before(text));
  }
  static CYGNET_INLINE void StoreBytesFirst(uint8_t* text, V v, unsigned bytes) {
    _mm512_mask_storeu_epi8(Before(text), MaskOf(bytes) << 16, v);
  }

  // REQUIRES: only lane 0 is in use.
  static CYGNET_INLINE V PowersOneAndZero(__m128i one, __m128i) { return InLane0(one); }

 private:
  // Straight to memory, which takes no shuffle: the compiler would extract to a register first.
  template <int kLane>
  static CYGNET_INLINE void StoreLane(uint8_t* p, V v) {
    __m128i_u* block = reinterpret_cast<__m128i_u*>(p);
    __asm__("vextracti32x4 %2, %1, %0" : "=m"(*block) : "v"(v), "i"(kLane));
  }
  // a0 ⊕ a2, a1 ⊕ a3, b0 ⊕ b2, b1 ⊕ b3
  static CYGNET_INLINE V HalfOfLanes(V a, V b) {
    return Xor(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xee));
  }
  // REQUIRES: bytes <= 64.
  static CYGNET_INLINE __mmask64 MaskOf(unsigned bytes) { return _bzhi_u64(~uint64_t{0}, bytes); }
  // The address of lane 0, which need not be valid memory.
  static CYGNET_INLINE uint8_t* Before(const uint8_t* text) {
    return reinterpret_cast<uint8_t*>(reinterpret_cast<uintptr_t>(text) - 16);
  }
};

}  // namespace
}  // namespace cygnet::vaes_gcm
