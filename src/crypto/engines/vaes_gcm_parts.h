// Building blocks of AES-GCM over vectors, for every width: S is Ymm or Zmm. Part of
// vaes_gcm_kernel.h.
#pragma once

#include <string.h>

#include "crypto/crypto_job.h"
#include "crypto/engines/vaes_gcm_basics.h"
#include "crypto/engines/vaes_gcm_key.h"

namespace cygnet::vaes_gcm {
namespace {

CYGNET_INLINE const uint8_t* RoundKeys(const GcmKey& key) {
  return reinterpret_cast<const uint8_t*>(&key) + sizeof(GcmKey);
}

// The rounds that keys of 192 and 256 bits have more, without the last round, which differs.
// `rounds`: of the key. round(r): one round with round key r.
template <class F>
CYGNET_INLINE void RoundsOfLongerKeys(unsigned rounds, F round) {
  if (rounds <= 10) return;
  round(10);
  round(11);
  if (rounds <= 12) return;
  round(12);
  round(13);
}

// GHASH on byte-reversed blocks with powers of H shifted left by one bit, so the product of a
// carry-less multiplication needs no shift.
template <class S>
struct Ghash {
  using V = typename S::V;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;

  // The end of a row of powers that ends with H^1. A key has eight of them (GcmKey::powers), and
  // AllPowers sixteen. The last vectors of a row may read beyond H^1; those bytes meet no data.
  static CYGNET_INLINE const uint8_t* EndOf(const GcmKey& key) {
    return key.powers + sizeof(key.powers);
  }
  // The last `n` powers.
  static CYGNET_INLINE const uint8_t* Row(const uint8_t* end, unsigned n) { return end - 16 * n; }

  // Unreduced products: low and high halves, and Karatsuba's middle.
  struct Sum {
    V low = S::Zero();
    V middle = S::Zero();
    V high = S::Zero();
  };

  static CYGNET_INLINE V Reversed(V v) { return S::Shuffle(v, S::Repeat(ReversedBytes())); }

  // Two vectors at once, so that common shuffles make their halves for Karatsuba. Each lane of
  // `halves` has a's power low and b's power high.
  static CYGNET_INLINE void Add(V a, V b, V power_a, V power_b, V halves, Sum* sum) {
    const V x = Halves(a, b);
    sum->low = S::Xor3(sum->low, S::template Multiply<0x00>(a, power_a),
                       S::template Multiply<0x00>(b, power_b));
    sum->high = S::Xor3(sum->high, S::template Multiply<0x11>(a, power_a),
                        S::template Multiply<0x11>(b, power_b));
    sum->middle = S::Xor3(sum->middle, S::template Multiply<0x00>(x, halves),
                          S::template Multiply<0x11>(x, halves));
  }
  // The same for loops, in three steps. Of Ymm the compiler would multiply everything first and
  // spill the products, so each is added before the next.
  template <int kStep>
  static CYGNET_INLINE void AddStep(V a, V b, V power_a, V power_b, V halves, Sum* sum) {
    if constexpr (kStep == 2) {
      a = b = Halves(a, b);
      AddProducts<0x00, 0x11>(a, halves, &sum->middle, b, halves, &sum->middle);
    } else if constexpr (S::kLanes == 4) {
      constexpr int kWhich = kStep == 0 ? 0x00 : 0x11;
      V* const half = kStep == 0 ? &sum->low : &sum->high;
      AddProducts<kWhich, kWhich>(a, power_a, half, b, power_b, half);
    } else {
      const V x = kStep == 0 ? a : b;
      const V power = kStep == 0 ? power_a : power_b;
      AddProducts<0x00, 0x11>(x, power, &sum->low, x, power, &sum->high);
    }
  }
  static CYGNET_INLINE void AddInLoop(V a, V b, V power_a, V power_b, V halves, Sum* sum) {
    Each<0, 3>([&](auto step) __attribute__((always_inline)) {
      AddStep<step.value>(a, b, power_a, power_b, halves, sum);
    });
  }
  // Adds a product to each sum, which may be the same.
  template <int kA, int kB>
  static CYGNET_INLINE void AddProducts(V a, V power_a, V* sum_a, V b, V power_b, V* sum_b) {
    if constexpr (S::kLanes == 4) {
      *sum_a = S::Xor3(*sum_a, S::template Multiply<kA>(a, power_a),
                       S::template Multiply<kB>(b, power_b));
    } else {
      AddProduct<kA>(a, power_a, sum_a);
      AddProduct<kB>(b, power_b, sum_b);
    }
  }
  template <int kWhich>
  static CYGNET_INLINE void AddProduct(V a, V power, V* sum) {
    // An operand of assembly that is part of a struct would keep the struct in memory.
    V all = S::Xor(*sum, S::template Multiply<kWhich>(a, power));
    __asm__("" : "+x"(all));
    *sum = all;
  }
  static CYGNET_INLINE V Halves(V a, V b) {
    return S::Xor(S::LowHalves(a, b), S::HighHalves(a, b));
  }
  static CYGNET_INLINE void AddOne(V a, V power, Sum* sum) {
    sum->low = S::Xor(sum->low, S::template Multiply<0x00>(a, power));
    sum->high = S::Xor(sum->high, S::template Multiply<0x11>(a, power));
    sum->middle =
        S::Xor(sum->middle, S::template Multiply<0x00>(S::Xor(a, S::SwapHalves(a)),
                                                       S::Xor(power, S::SwapHalves(power))));
  }
  static CYGNET_INLINE V Reduce(const Sum& sum) {
    const V polynomial = S::Repeat(Polynomial());
    V middle = S::Xor3(sum.middle, sum.low, sum.high);
    middle =
        S::Xor3(middle, S::SwapHalves(sum.low), S::template Multiply<0x01>(polynomial, sum.low));
    return S::Xor3(sum.high, S::SwapHalves(middle), S::template Multiply<0x01>(polynomial, middle));
  }
  // Of one vector, lane by lane.
  static CYGNET_INLINE V Product(V a, V power) {
    Sum sum;
    AddOne(a, power, &sum);
    return Reduce(sum);
  }

  struct Pair {
    V a, b;
  };
  // Pair kPair of vectors of text, reversed: `first`, to which `sum` is added, and the others,
  // which begin at `others`.
  template <unsigned kPair>
  static CYGNET_INLINE Pair PairOf(V first, const uint8_t* others, V sum) {
    const V b = Reversed(S::Load(others + kVectorBytes * (2 * kPair)));
    if constexpr (kPair == 0) return {S::Xor(Reversed(first), sum), b};
    return {Reversed(S::Load(others + kVectorBytes * (2 * kPair - 1))), b};
  }
};

// Both ends of an ICV of 8 to 16 bytes; they may overlap.
struct IcvEnds {
  uint64_t front, back;

  CYGNET_INLINE IcvEnds(const uint8_t* icv, unsigned bytes) {
    memcpy(&front, icv, 8);
    memcpy(&back, icv + bytes - 8, 8);
  }
};

// `icv` is the full 16-byte ICV.
template <bool kSeal>
CYGNET_INLINE void FinishJob(const Work& work, const uint8_t* icv) {
  CryptoJob& job = *work.job;
  const unsigned bytes = work.key->icv_bytes;
  const IcvEnds ours(icv, bytes);
  job.status = CryptoStatus::kOk;
  if constexpr (kSeal) {
    memcpy(job.icv, &ours.front, 8);
    memcpy(job.icv + bytes - 8, &ours.back, 8);
  } else {
    const IcvEnds theirs(job.icv, bytes);
    uint64_t difference = (ours.front ^ theirs.front) | (ours.back ^ theirs.back);
    // Prevents the compiler from comparing one end and skipping the other.
    __asm__("" : "+r"(difference));
    if (__builtin_expect(difference != 0, 0)) {
      memset(job.text, 0, job.text_length);
      job.status = CryptoStatus::kAuthFailed;
    }
  }
}

template <class S>
__attribute__((noinline)) __m128i LongAad(const GcmKey& key, const uint8_t* aad, unsigned length) {
  using G = Ghash<S>;
  alignas(16) uint8_t rest[16] = {};
  memcpy(rest, aad + 16, length - 16);
  const auto hash = G::Product(S::InLane0(ReverseBlock(LoadBlock(aad))),
                               S::InLane0(LoadBlock(G::Row(G::EndOf(key), 1))));
  return _mm_xor_si128(S::Lane0(hash), ReverseBlock(LoadBlock(rest)));
}

// The last AAD block, reversed, with the hash of any earlier block added.
template <class S>
CYGNET_INLINE __m128i Aad(const Work& work) {
  const uint8_t* aad = reinterpret_cast<const uint8_t*>(&work.job->aad);
  const unsigned length = work.job->aad_length;
  if (__builtin_expect(length > 16, 0)) return LongAad<S>(*work.key, aad, length);
  const __m128i mask = LoadBlock(kFirstBytes + 32 - length);
  return ReverseBlock(_mm_and_si128(LoadBlock(aad), mask));
}

// The length block that follows the text, reversed.
CYGNET_INLINE __m128i Lengths(const CryptoJob& job) {
  return _mm_set_epi64x(static_cast<long long>(job.aad_length) * 8,
                        static_cast<long long>(job.text_length) * 8);
}

// Same, as in memory.
CYGNET_INLINE __m128i LengthsInOrder(const CryptoJob& job) {
  return _mm_set_epi64x(static_cast<long long>(__builtin_bswap64(uint64_t{job.text_length} * 8)),
                        static_cast<long long>(__builtin_bswap64(uint64_t{job.aad_length} * 8)));
}

// salt ‖ IV ‖ counter 0.
CYGNET_INLINE __m128i Nonce(const CryptoJob& job) {
  return _mm_blend_epi16(LoadBlock(reinterpret_cast<const uint8_t*>(&job.nonce)),
                         _mm_setzero_si128(), 0xc0);
}

}  // namespace
}  // namespace cygnet::vaes_gcm
