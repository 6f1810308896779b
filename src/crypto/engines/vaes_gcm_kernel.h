// AES-GCM over vectors of several blocks, the same text for every width: S is Ymm or Zmm. Included
// by one file of each instruction set; everything is in the unnamed namespace, because a function
// that two files share would be taken from either of them and may not run on this CPU.
//
// A packet is a row of blocks. The AES row is J0, text; the GHASH row is AAD, text, lengths. So
// lane 0 of the first vector is J0 and AAD, and text block i is in both rows at place i + 1.
//
// GHASH (NIST SP 800-38D) is computed on byte-reversed blocks with powers of H that are shifted
// left by one bit: the product of a carry-less multiplication then needs no shift. Karatsuba: three
// multiplications a vector, as one costs two cycles on AMD, whatever its width, and two
// rounds of AES one. Chunks are 16 blocks with one reduction. Between chunks the sum stays in as
// many lanes as a vector has: lane i is what is to be added to the next block of lane i, so a
// chunk's vector v is multiplied by the same power in every lane. A row's end is multiplied by
// consecutive powers down to H^1, and its lanes are added up.
//
// Branches and addresses depend on lengths and pointers alone.
#pragma once

#include <string.h>

#include "crypto/crypto_job.h"
#include "crypto/engines/vaes_gcm_key.h"

namespace cygnet::vaes_gcm {
namespace {

template <int kValue>
struct Int {
  static constexpr int value = kValue;
};

// f(Int<kFrom>) … f(Int<kTo - 1>), unrolled whatever the compiler thinks of it.
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
CYGNET_INLINE __m128i ReversedBytes() {
  return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
// x^128 + x^127 + x^126 + x^121 + 1, reflected; also what 1 is when shifted left by a bit.
CYGNET_INLINE __m128i Polynomial() {
  return _mm_set_epi64x(static_cast<long long>(0xc200000000000000), 1);
}

// Where the powers are in GcmKey::powers. Ymm: H^16 H^14 H^12 H^10, then consecutive H^8 … H^1,
// then high ⊕ low half of each even power from H^16. Zmm: consecutive H^16 … H^1.
template <class S>
struct Powers {
  // Consecutive powers that end with H^1, from H^n on.
  static CYGNET_INLINE const uint8_t* Row(const GcmKey& key, unsigned n) {
    constexpr int kEnd = S::kLanes == 2 ? 192 : 256;
    return key.powers + kEnd - 16 * n;
  }
};

template <class S>
class Gcm {
  using V = typename S::V;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr int kChunkVectors = S::kChunkVectors;
  static constexpr unsigned kChunkBytes = kVectorBytes * kChunkVectors;
  static constexpr int kTailVectors = S::kTailLanes / S::kLanes;
  static constexpr unsigned kTailBytes = 16 * S::kTailLanes;

 public:
  template <bool kSeal>
  static void Run(const Work* works, size_t count) {
    for (size_t i = 0; i < count; ++i) Gcm(works[i]).template RunPacket<kSeal>();
  }

 private:
  explicit CYGNET_INLINE Gcm(const Work& work) : key_(*work.key), job_(*work.job) {
    text_ = job_.text;
    // salt ‖ IV ‖ counter; the counter is kept as a number
    const __m128i nonce = _mm_blend_epi16(LoadBlock(reinterpret_cast<const uint8_t*>(&job_.nonce)),
                                          _mm_set_epi32(1, 0, 0, 0), 0xc0);
    counter_ = S::Add32(S::Repeat(nonce), S::LaneNumbers());
    sum_ = S::InLane0(Aad());
  }

  // ---- AES in counter mode --------------------------------------------------------------------

  template <int kN>
  CYGNET_INLINE void Counters(V (&x)[kN]) {
    const V order = S::Repeat(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    const V step = S::Repeat(_mm_set_epi32(S::kLanes, 0, 0, 0));
    const V whitening = S::Repeat(LoadBlock(key_.round_keys));
    Each<0, kN>([&](auto i) __attribute__((always_inline)) {
      x[i.value] = S::Xor(S::Shuffle(counter_, order), whitening);
      counter_ = S::Add32(counter_, step);
    });
  }

  template <int kN>
  CYGNET_INLINE void Round(V (&x)[kN], const uint8_t* round_key) {
    const V k = S::Repeat(LoadBlock(round_key));
    Each<0, kN>([&](auto i) __attribute__((always_inline)) { x[i.value] = S::Aes(x[i.value], k); });
  }

  // All rounds but the last, whose key is returned. between(Int<1>) … between(Int<9>) is other work
  // to be done meanwhile.
  template <int kN, class F>
  CYGNET_INLINE V Rounds(V (&x)[kN], F between) {
    const uint8_t* keys = key_.round_keys;
    Each<1, 10>([&](auto r) __attribute__((always_inline)) {
      Round(x, keys + 16 * r.value);
      between(r);
    });
    const uint8_t* last = keys + 160;
    if (key_.rounds > 10) {
      Round(x, last);
      Round(x, last + 16);
      last += 32;
      if (key_.rounds > 12) {
        Round(x, last);
        Round(x, last + 16);
        last += 32;
      }
    }
    return S::Repeat(LoadBlock(last));
  }

  // ---- GHASH -----------------------------------------------------------------------------------

  struct Sum {
    V low = S::Zero();
    V middle = S::Zero();
    V high = S::Zero();
  };

  static CYGNET_INLINE V Reversed(V v) { return S::Shuffle(v, S::Repeat(ReversedBytes())); }

  // Two vectors at once, so that their halves for Karatsuba come from common shuffles: `halves`
  // has those of a's power low and of b's power high in each lane.
  static CYGNET_INLINE void Add(V a, V b, V power_a, V power_b, V halves, Sum* sum) {
    const V x = S::Xor(S::LowHalves(a, b), S::HighHalves(a, b));
    sum->low = S::Xor3(sum->low, S::template Multiply<0x00>(a, power_a),
                       S::template Multiply<0x00>(b, power_b));
    sum->high = S::Xor3(sum->high, S::template Multiply<0x11>(a, power_a),
                        S::template Multiply<0x11>(b, power_b));
    sum->middle = S::Xor3(sum->middle, S::template Multiply<0x00>(x, halves),
                          S::template Multiply<0x11>(x, halves));
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

  // What the two vectors of a pair are multiplied by.
  struct PairPowers {
    V a, b, halves;
  };
  // Consecutive ones; the lanes of the products are then to be added up.
  static CYGNET_INLINE PairPowers RowPowers(const uint8_t* row) {
    const V a = S::Load(row);
    const V b = S::Load(row + kVectorBytes);
    return {a, b, Halves(a, b)};
  }
  // Those of a chunk of kN vectors. Registers hold four of 64 bytes, but not eight of 32.
  template <int kN>
  struct ChunkPowers {
    const GcmKey& key;
    PairPowers kept[S::kLanes == 2 ? 1 : kN / 2];

    explicit CYGNET_INLINE ChunkPowers(const GcmKey& of) : key(of) {
      if constexpr (S::kLanes == 4) {
        Each<0, kN / 2>([&](auto pair) __attribute__((always_inline)) {
          const V a = S::Repeat(LoadBlock(key.powers + 128 * pair.value));
          const V b = S::Repeat(LoadBlock(key.powers + 128 * pair.value + 64));
          kept[pair.value] = {a, b, Halves(a, b)};
        });
      }
    }
    CYGNET_INLINE void BecomeRow() {
      Each<0, kN / 2>([&](auto pair) __attribute__((always_inline)) {
        kept[pair.value] = RowPowers(key.powers + 2 * kVectorBytes * pair.value);
      });
    }
    template <int kPair>
    CYGNET_INLINE PairPowers At() const {
      if constexpr (S::kLanes == 4) return kept[kPair];
      constexpr int kSkip = kChunkVectors - kN + 2 * kPair;  // even powers from H^16
      constexpr int kStep = kSkip < 4 ? 16 : 32;
      const uint8_t* p = key.powers + (kSkip < 4 ? 16 * kSkip : 64 + 32 * (kSkip - 4));
      return {S::Repeat(LoadBlock(p)), S::Repeat(LoadBlock(p + kStep)),
              S::Repeat(LoadBlock(key.powers + 192 + 8 * kSkip))};
    }
  };

  // Step kR of nine of the GHASH of kN vectors: `front`, and the others that begin at `others`.
  // The first pair comes last, as it waits for the chunk before.
  template <int kN, int kR>
  CYGNET_INLINE void HashStep(V front, const uint8_t* others, const ChunkPowers<kN>& powers,
                              Sum* sum) {
    constexpr int kPairs = kN / 2;
    constexpr int kSpread = kPairs == 4 ? 2 : 3;
    if constexpr (kR % kSpread == 1 && kR / kSpread < kPairs) {
      constexpr int kPair = (kR / kSpread + 1) % kPairs;
      const PairPowers p = powers.template At<kPair>();
      const V b = Reversed(S::Load(others + kVectorBytes * (2 * kPair)));
      if constexpr (kPair == 0) {
        Add(S::Xor(Reversed(front), sum_), b, p.a, p.b, p.halves, sum);
      } else {
        const V a = Reversed(S::Load(others + kVectorBytes * (2 * kPair - 1)));
        Add(a, b, p.a, p.b, p.halves, sum);
      }
    }
    if constexpr (kR == 9) sum_ = Reduce(*sum);
  }
  template <int kN>
  CYGNET_INLINE void Hash(V front, const uint8_t* others, const ChunkPowers<kN>& powers) {
    Sum sum;
    Each<1, 10>([&](auto r) __attribute__((always_inline)) {
      HashStep<kN, r.value>(front, others, powers, &sum);
    });
  }

  // ---- Whole chunks ----------------------------------------------------------------------------

  // From text_ to vector i: in the row's first chunk lane 0 is no text.
  template <bool kFirst>
  static constexpr unsigned Offset(int i) {
    return kVectorBytes * static_cast<unsigned>(i) - (kFirst && i > 0 ? 16 : 0);
  }
  template <bool kFirst>
  CYGNET_INLINE V LoadText(int i) const {
    if (kFirst && i == 0) return S::LoadFirst(text_);
    return S::Load(text_ + Offset<kFirst>(i));
  }

  // Seals or opens the kN vectors at text_, and goes on. The first vector of the result.
  template <bool kFirst, int kN, class F>
  CYGNET_INLINE V Crypt(F between) {
    V x[kN];
    Counters(x);
    const V last = Rounds(x, between);
    V front;
    Each<0, kN>([&](auto i) __attribute__((always_inline)) {
      const V out = S::AesLast(x[i.value], S::Xor(LoadText<kFirst>(i.value), last));
      if constexpr (i.value == 0) front = out;
      if constexpr (kFirst && i.value == 0) {
        pad_ = S::Lane0(out);
        front = S::WithoutLane0(out);
        S::StoreFirst(text_, out);
      } else {
        S::Store(text_ + Offset<kFirst>(i.value), out);
      }
    });
    text_ += Offset<kFirst>(kN);
    return front;
  }

  template <bool kFirst, int kN>
  CYGNET_INLINE void OpenChunk(const ChunkPowers<kN>& powers) {
    Sum sum;
    const V front = LoadText<kFirst>(0);
    const uint8_t* others = text_ + Offset<kFirst>(1);
    Crypt<kFirst, kN>([&](auto r) __attribute__((always_inline)) {
      HashStep<kN, r.value>(front, others, powers, &sum);
    });
  }

  // AES of a chunk beside GHASH of the chunk before.
  template <bool kSeal>
  CYGNET_INLINE void Chunks(size_t count) {
    ChunkPowers<kChunkVectors> powers(key_);
    if constexpr (kSeal) {
      constexpr unsigned kOthers = kChunkBytes - kVectorBytes;
      V front = Crypt<true, kChunkVectors>([](auto) __attribute__((always_inline)){});
      for (; count > 1; --count) {
        Sum sum;
        const uint8_t* others = text_ - kOthers;
        front = Crypt<false, kChunkVectors>([&](auto r) __attribute__((always_inline)) {
          HashStep<kChunkVectors, r.value>(front, others, powers, &sum);
        });
      }
      if constexpr (S::kLanes == 4) powers.BecomeRow();
      Hash(front, text_ - kOthers, powers);
    } else {
      if constexpr (S::kLanes == 4) {
        if (count == 1) powers.BecomeRow();
      }
      OpenChunk<true>(powers);
      for (; count > 1; --count) {
        if constexpr (S::kLanes == 4) {
          if (count == 2) powers.BecomeRow();
        }
        OpenChunk<false>(powers);
      }
    }
    if constexpr (S::kLanes == 4) sum_ = S::InLane0(S::XorOfLanes(sum_));
  }

  // Half a chunk, where consecutive powers do not reach far enough for the rest.
  template <bool kSeal, bool kFirst>
  CYGNET_INLINE void HalfChunk() {
    constexpr int kHalf = kChunkVectors / 2;
    const ChunkPowers<kHalf> powers(key_);
    if constexpr (kSeal) {
      const V front = Crypt<kFirst, kHalf>([](auto) __attribute__((always_inline)){});
      Hash(front, text_ - kVectorBytes * (kHalf - 1), powers);
    } else {
      OpenChunk<kFirst>(powers);
    }
  }

  // ---- The end of a row ----------------------------------------------------------------------

  CYGNET_INLINE __m128i Lengths() const {
    return _mm_set_epi64x(static_cast<long long>(job_.aad_length) * 8,
                          static_cast<long long>(job_.text_length) * 8);
  }

  // What is left of the row, in kN vectors, with the block of lengths behind it if there is a lane
  // for it. `bytes` counts lane 0 when it is the row's first.
  template <bool kSeal, bool kFirst, int kN>
  CYGNET_INLINE void Tail(unsigned bytes) {
    V x[kN];
    Counters(x);
    const V last = Rounds(x, [](auto) __attribute__((always_inline)){});
    const unsigned lanes = (bytes + 15) / 16;
    V blocks[kN];
    Each<0, kN>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      constexpr bool kLane0 = kFirst && i == 0;
      constexpr unsigned kBegin = kVectorBytes * i;
      if constexpr (i < kN - 2) {
        const V text = LoadText<kFirst>(i);
        const V out = S::AesLast(x[i], S::Xor(text, last));
        if constexpr (kLane0) pad_ = S::Lane0(out);
        kLane0 ? S::StoreFirst(text_, out) : S::Store(text_ + Offset<kFirst>(i), out);
        blocks[i] = kSeal ? out : text;
        if constexpr (kLane0 && kSeal) blocks[i] = S::WithoutLane0(out);
      } else {
        unsigned here = bytes < kBegin ? 0 : bytes - kBegin;
        if (here > kVectorBytes) here = kVectorBytes;
        uint8_t* p = text_ + Offset<kFirst>(i);
        const V text = kLane0 ? S::LoadBytesFirst(p, here - 16) : S::LoadBytes(p, here);
        const V out = S::AesLast(x[i], S::Xor(text, last));
        if constexpr (kLane0) pad_ = S::Lane0(out);
        kLane0 ? S::StoreBytesFirst(p, out, here - 16) : S::StoreBytes(p, out, here);
        blocks[i] = kSeal ? S::KeepBytes(out, here) : text;
        if constexpr (kLane0 && kSeal) blocks[i] = S::WithoutLane0(blocks[i]);
      }
      blocks[i] = Reversed(blocks[i]);
      if constexpr (i == 0) blocks[i] = S::Xor(blocks[i], sum_);
    });
    const bool room = lanes < S::kTailLanes;
    if (room) {
      blocks[kN - 1] = S::Xor(blocks[kN - 1], S::InLane(Lengths(), lanes % S::kLanes));
    }
    HashRow(blocks, lanes + (room ? 1 : 0));
    sum_ = S::InLane0(S::XorOfLanes(sum_));
    if (!room) LengthsAlone();
  }

  // Consecutive powers down to H^1 in lane `lanes` - 1.
  template <int kN>
  CYGNET_INLINE void HashRow(const V (&blocks)[kN], unsigned lanes) {
    const uint8_t* row = Row(lanes);
    Sum sum;
    Each<0, kN>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      constexpr unsigned kBegin = kVectorBytes * i;
      if constexpr (i % 2 == 1) {
        const V a = S::Load(row + kBegin - kVectorBytes);
        const V b =
            i == kN - 1 ? S::LoadPowers(row + kBegin, 16 * lanes - kBegin) : S::Load(row + kBegin);
        Add(blocks[i - 1], blocks[i], a, b, Halves(a, b), &sum);
      } else if constexpr (i == kN - 1) {
        AddOne(blocks[i], S::LoadPowers(row + kBegin, 16 * lanes - kBegin), &sum);
      }
    });
    sum_ = Reduce(sum);
  }

  // With two lanes in use before, the other one has come to its end and is not to be multiplied:
  // its power is H^0.
  CYGNET_INLINE void LengthsAlone() {
    Sum sum;
    const V power = S::PowersOneAndZero(LoadBlock(Row(1)), Polynomial());
    AddOne(S::Xor(S::InLane0(Lengths()), sum_), power, &sum);
    sum_ = S::InLane0(S::XorOfLanes(Reduce(sum)));
  }

  const uint8_t* Row(unsigned n) const { return Powers<S>::Row(key_, n); }

  // ---- A packet ------------------------------------------------------------------------------

  template <bool kSeal, bool kFirst>
  CYGNET_INLINE void End(unsigned bytes) {
    const unsigned lanes = (bytes + 15) / 16;
    if (!kFirst && lanes == 0) return LengthsAlone();
    switch (lanes / S::kLanes) {
      case 0:
        return Tail<kSeal, kFirst, 1>(bytes);
      case 1:
        return Tail<kSeal, kFirst, 2>(bytes);
      case 2:
        return Tail<kSeal, kFirst, 3>(bytes);
      default:
        return Tail<kSeal, kFirst, 4>(bytes);
    }
  }

  template <bool kSeal>
  CYGNET_INLINE void RunPacket() {
    const size_t row = size_t{job_.text_length} + 16;
    unsigned rest = static_cast<unsigned>(row % kChunkBytes);
    bool first = row < kChunkBytes;
    if (!first) Chunks<kSeal>(row / kChunkBytes);
    if constexpr (S::kLanes == 2) {
      if (rest >= kTailBytes) {
        rest -= kTailBytes;
        if (first) {
          HalfChunk<kSeal, true>();
        } else {
          HalfChunk<kSeal, false>();
        }
        first = false;
      }
    }
    if (first) {
      End<kSeal, true>(rest);
    } else {
      End<kSeal, false>(rest);
    }
    const __m128i icv = _mm_xor_si128(_mm_shuffle_epi8(S::Lane0(sum_), ReversedBytes()), pad_);
    kSeal ? WriteIcv(icv) : CheckIcv(icv);
  }

  // Both ends of an ICV of 8 to 16 bytes; they may overlap.
  struct Ends {
    uint64_t front, back;
  };
  static CYGNET_INLINE Ends EndsOf(const uint8_t* icv, unsigned bytes) {
    Ends ends;
    memcpy(&ends.front, icv, 8);
    memcpy(&ends.back, icv + bytes - 8, 8);
    return ends;
  }
  static CYGNET_INLINE Ends EndsOf(__m128i icv, unsigned bytes) {
    alignas(16) uint8_t all[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(all), icv);
    return EndsOf(all, bytes);
  }
  CYGNET_INLINE void WriteIcv(__m128i icv) {
    const Ends ends = EndsOf(icv, key_.icv_bytes);
    memcpy(job_.icv, &ends.front, 8);
    memcpy(job_.icv + key_.icv_bytes - 8, &ends.back, 8);
    job_.status = CryptoStatus::kOk;
  }
  CYGNET_INLINE void CheckIcv(__m128i icv) {
    const Ends ours = EndsOf(icv, key_.icv_bytes);
    const Ends theirs = EndsOf(job_.icv, key_.icv_bytes);
    const uint64_t difference = (ours.front ^ theirs.front) | (ours.back ^ theirs.back);
    if (__builtin_expect(difference == 0, 1)) {
      job_.status = CryptoStatus::kOk;
    } else {
      memset(job_.text, 0, job_.text_length);
      job_.status = CryptoStatus::kAuthFailed;
    }
  }

  // The last block of the AAD, reversed; what is in front of it is in the sum.
  CYGNET_INLINE __m128i Aad() const {
    const uint8_t* aad = reinterpret_cast<const uint8_t*>(&job_.aad);
    const unsigned length = job_.aad_length;
    if (__builtin_expect(length > 16, 0)) return LongAad(aad, length);
    const __m128i mask =
        _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(length)),
                       _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    return _mm_shuffle_epi8(_mm_and_si128(LoadBlock(aad), mask), ReversedBytes());
  }
  __attribute__((noinline)) __m128i LongAad(const uint8_t* aad, unsigned length) const {
    alignas(16) uint8_t rest[16] = {};
    memcpy(rest, aad + 16, length - 16);
    Sum sum;
    AddOne(S::InLane0(_mm_shuffle_epi8(LoadBlock(aad), ReversedBytes())),
           S::InLane0(LoadBlock(Row(1))), &sum);
    return _mm_xor_si128(S::Lane0(Reduce(sum)), _mm_shuffle_epi8(LoadBlock(rest), ReversedBytes()));
  }

  const GcmKey& key_;
  CryptoJob& job_;
  uint8_t* text_;
  V counter_;    // of the next vector; big-endian but for the counter itself
  V sum_;        // to be added to the next blocks
  __m128i pad_;  // AES(J0)
};

// ---- Keys ------------------------------------------------------------------------------------

// FIPS 197, section 5.2, word by word. The S-box is the CPU's.
CYGNET_INLINE void ExpandAes(const uint8_t* key, size_t key_bytes, GcmKey* out) {
  const unsigned words = static_cast<unsigned>(key_bytes / 4);
  out->rounds = static_cast<uint8_t>(words + 6);
  uint8_t* w = out->round_keys;
  memcpy(w, key, key_bytes);
  uint32_t rcon = 1;
  for (unsigned i = words; i < 4 * (out->rounds + 1u); ++i) {
    uint32_t previous, back;
    memcpy(&previous, w + 4 * (i - 1), 4);
    memcpy(&back, w + 4 * (i - words), 4);
    if (i % words == 0 || (words == 8 && i % words == 4)) {
      const __m128i substituted =
          _mm_aeskeygenassist_si128(_mm_set1_epi32(static_cast<int>(previous)), 0);
      const bool rotated = i % words == 0;
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
  }
}

CYGNET_INLINE __m128i HashKey(const GcmKey& key) {
  __m128i x = LoadBlock(key.round_keys);
  for (int r = 1; r < key.rounds; ++r) x = _mm_aesenc_si128(x, LoadBlock(key.round_keys + 16 * r));
  x = _mm_aesenclast_si128(x, LoadBlock(key.round_keys + 16 * key.rounds));
  x = _mm_shuffle_epi8(x, ReversedBytes());
  // One bit to the left; the carry out of the top comes back as the polynomial.
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
  for (unsigned n = 1; n <= 16; ++n) {
    uint8_t* place = out->powers + 16 * (16 - n);  // Zmm
    if (S::kLanes == 2) place = out->powers + (n <= 8 ? 192 - 16 * n : 8 * (16 - n));
    if (S::kLanes == 4 || n <= 8 || n % 2 == 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i_u*>(place), power);
    }
    if (S::kLanes == 2 && n % 2 == 0) {
      const __m128i both = _mm_xor_si128(power, _mm_shuffle_epi32(power, 0x4e));
      _mm_storel_epi64(reinterpret_cast<__m128i_u*>(out->powers + 192 + 4 * (16 - n)), both);
    }
    power = MultiplyPowers(power, h);
  }
}

template <class S>
constexpr Kernel kKernelOf = {
    .expand = Expand<S>, .seal = Gcm<S>::template Run<true>, .open = Gcm<S>::template Run<false>};

}  // namespace
}  // namespace cygnet::vaes_gcm
