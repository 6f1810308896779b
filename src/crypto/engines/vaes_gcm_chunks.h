// What every packet needs: AES in counter mode of whole chunks, and GHASH of chunks of a packet
// that is alone with its key. Part of vaes_gcm_kernel.h, which describes the method.
#pragma once

#include "crypto/engines/vaes_gcm_key_tables.h"
#include "crypto/engines/vaes_gcm_powers.h"

namespace cygnet::vaes_gcm {
namespace {

// kOneKey: one of many packets of one key, with KeyTables.
template <class S, bool kSeal, bool kOneKey>
class Chunks {
 protected:
  using V = typename S::V;
  using G = Ghash<S>;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr int kChunkVectors = S::kChunkVectors;
  static constexpr unsigned kChunkBytes = kVectorBytes * kChunkVectors;
  static constexpr int kPartVectors = 4;  // of a chunk: as many are encrypted at a time
  static constexpr unsigned kTailBytes = 16 * S::kTailLanes;
  struct Sum : G::Sum {
    typename G::Pair pair;  // between its steps
  };

  // `powers`: the end of a row. The row begins with J0 and the AAD.
  CYGNET_INLINE Chunks(const Work& work, const uint8_t* powers)
      : work_(work),
        key_(*work.key),
        powers_(powers),
        first_rounds_(nullptr),
        text_(work.job->text),
        number_(S::Repeat(Nonce(*work.job))),
        base_(CounterOf(number_)),
        sum_(S::InLane0(Aad<S>(work))) {}
  // For kOneKey: the row begins with the text. `first_rounds`: of its counters. `counter`: 0, after
  // the first round.
  CYGNET_INLINE Chunks(const Work& work, const uint8_t* powers, const uint8_t* first_rounds,
                       V counter)
      : work_(work),
        key_(*work.key),
        powers_(powers),
        first_rounds_(first_rounds),
        text_(work.job->text),
        base_(counter) {}

  // ---- AES in counter mode --------------------------------------------------------------------

  // Ready for the first round.
  CYGNET_INLINE V CounterOf(V number) const {
    const V order = S::Repeat(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    return S::Xor(S::Shuffle(number, order), S::Repeat(LoadBlock(RoundKeys(key_))));
  }

  // The counters of kN vectors from vector kBegin of a span of kSpan lanes on. The span begins
  // after `base_`, a multiple of kSpan, so all but its last counter differ from that in low bits
  // only.
  template <int kSpan, int kBegin, int kN>
  CYGNET_INLINE void Counters(V (&x)[kN]) {
    Each<0, kN>([&](auto i) __attribute__((always_inline)) {
      if constexpr (kOneKey) {
        x[i.value] = S::Xor(base_, S::Load(first_rounds_ + kVectorBytes * (kBegin + i.value)));
      } else if constexpr ((kBegin + i.value + 1) * S::kLanes < kSpan) {
        x[i.value] = S::Xor(base_, LowBits<kSpan, kBegin + i.value>());
      } else {
        number_ = S::Add32(number_, S::Repeat(_mm_set_epi32(kSpan, 0, 0, 0)));
        const V next = CounterOf(number_);
        x[i.value] = S::Xor(S::WithLastLane(base_, next), LowBits<kSpan, kBegin + i.value>());
        base_ = next;
      }
    });
  }

  template <int kSpan, int kVector>
  static CYGNET_INLINE V LowBits() {
    return S::template CountersFrom<1 + kVector * S::kLanes, kSpan>();
  }

  template <int kN>
  CYGNET_INLINE void Round(V (&x)[kN], const uint8_t* round_key) {
    const V k = S::Repeat(LoadBlock(round_key));
    Each<0, kN>([&](auto i) __attribute__((always_inline)) { x[i.value] = S::Aes(x[i.value], k); });
  }

  // All rounds except the last, whose key is returned. between(Int<1>) … between(Int<9>) is other
  // work to interleave.
  template <int kN, class F>
  CYGNET_INLINE V Rounds(V (&x)[kN], F between) {
    const uint8_t* keys = RoundKeys(key_);
    Each<1, 10>([&](auto r) __attribute__((always_inline)) {
      if constexpr (!kOneKey || r.value > 1) Round(x, keys + 16 * r.value);
      between(r);
    });
    RoundsOfLongerKeys(
        key_.rounds, [&](unsigned r) __attribute__((always_inline)) { Round(x, keys + 16 * r); });
    return S::Repeat(LoadBlock(keys + 16 * key_.rounds));
  }

  // ---- GHASH, not of kOneKey -------------------------------------------------------------------

  // Multipliers of the two vectors of a pair.
  struct PairPowers {
    V a, b, halves;
  };
  // Consecutive powers; the lanes of the products must be added up afterwards.
  static CYGNET_INLINE PairPowers RowPowers(const uint8_t* row) {
    const V a = S::Load(row);
    const V b = S::Load(row + kVectorBytes);
    return {a, b, G::Halves(a, b)};
  }
  // Powers for a chunk of kN vectors. Registers hold four of 64 bytes, but not eight of 32.
  template <int kN>
  struct ChunkPowers {
    const uint8_t* const first;  // H^16
    PairPowers kept[S::kLanes == 2 ? 1 : kN / 2];

    explicit CYGNET_INLINE ChunkPowers(const uint8_t* end) : first(G::Row(end, 16)) {
      if constexpr (S::kLanes == 4) {
        Each<0, kN / 2>([&](auto pair) __attribute__((always_inline)) {
          const uint8_t* p = first + 2 * kVectorBytes * pair.value;
          const V a = S::Repeat(LoadBlock(p));
          const V b = S::Repeat(LoadBlock(p + kVectorBytes));
          kept[pair.value] = {a, b, G::Halves(a, b)};
        });
      }
    }
    CYGNET_INLINE void BecomeRow() {
      Each<0, kN / 2>([&](auto pair) __attribute__((always_inline)) {
        kept[pair.value] = RowPowers(first + 2 * kVectorBytes * pair.value);
      });
    }
    template <int kPair>
    CYGNET_INLINE PairPowers At() const {
      if constexpr (S::kLanes == 4) return kept[kPair];
      constexpr int kSkip = kChunkVectors - kN + 2 * kPair;  // even powers from H^16
      constexpr int kStep = kSkip < 4 ? 16 : 32;
      const uint8_t* p = first + (kSkip < 4 ? 16 * kSkip : 128 + 32 * (kSkip - 4));
      return {S::Repeat(LoadBlock(p)), S::Repeat(LoadBlock(p + kStep)),
              S::Repeat(LoadBlock(first + 64 + 8 * kSkip))};
    }
  };

  // Step kR of nine of part kPart of the GHASH of kN vectors: `front`, and the others that begin at
  // `others`. A part is two pairs. The first pair comes second, because it waits for the previous
  // chunk.
  template <int kN, int kPart, int kR, bool kSpread = kSeal>
  CYGNET_INLINE void HashStep(V front, const uint8_t* others, const ChunkPowers<kN>& powers,
                              Sum* sum) {
    // Sealing is faster with a product or two after each round, opening with all of a pair.
    constexpr int kStep = (kR - 1) % 3;
    if constexpr (kR < 7 && (kSpread || kStep == 0)) {
      constexpr int kPair = 2 * kPart + (kR < 4 ? 1 : 0);
      const PairPowers p = powers.template At<kPair>();
      if constexpr (kSpread) {
        if constexpr (kStep == 0) sum->pair = G::template PairOf<kPair>(front, others, sum_);
        G::template AddStep<kStep>(sum->pair.a, sum->pair.b, p.a, p.b, p.halves, sum);
      } else {
        const auto [a, b] = G::template PairOf<kPair>(front, others, sum_);
        G::AddInLoop(a, b, p.a, p.b, p.halves, sum);
      }
    }
    if constexpr (kR == 9 && (kPart + 1) * kPartVectors == kN) sum_ = G::Reduce(*sum);
  }
  // ---- Whole chunks ----------------------------------------------------------------------------

  // Offset of vector i from text_; in the row's first chunk lane 0 is not text.
  template <bool kFirst>
  static constexpr unsigned Offset(int i) {
    return kVectorBytes * static_cast<unsigned>(i) - (kFirst && i > 0 ? 16 : 0);
  }
  template <bool kFirst>
  CYGNET_INLINE V LoadText(int i) const {
    if (kFirst && i == 0) return S::LoadFirst(text_);
    return S::Load(text_ + Offset<kFirst>(i));
  }

  // Seals or opens the kN vectors at text_ and advances. Returns the first vector of the result.
  // Four vectors at a time: with eight, sixteen registers are too few, and every round waits for
  // memory.
  template <bool kFirst, int kN, class F>
  CYGNET_INLINE V Crypt(F between) {
    V front;
    Each<0, kN / kPartVectors>([&](auto part) __attribute__((always_inline)) {
      constexpr int kBegin = kPartVectors * part.value;
      V x[kPartVectors];
      Counters<kN * S::kLanes, kBegin>(x);
      const V last = Rounds(
          x, [&](auto r) __attribute__((always_inline)) { between(part, r); });
      Each<kBegin, kBegin + kPartVectors>([&](auto i) __attribute__((always_inline)) {
        const V out = S::AesLast(x[i.value - kBegin], S::Xor(LoadText<kFirst>(i.value), last));
        if constexpr (i.value == 0) front = out;
        if constexpr (kFirst && i.value == 0) {
          pad_ = S::Lane0(out);
          front = S::WithoutLane0(out);
          S::StoreFirst(text_, out);
        } else {
          S::Store(text_ + Offset<kFirst>(i.value), out);
        }
      });
    });
    uint8_t* text = text_ + Offset<kFirst>(kN);  // a copy: see AddProduct
    __asm__("" : "+r"(text));
    text_ = text;
    if constexpr (kOneKey) {
      const uint8_t* rounds = first_rounds_ + kVectorBytes * kN;
      __asm__("" : "+r"(rounds));
      first_rounds_ = rounds;
    }
    return front;
  }

  // AES of the `count` - 1 chunks after the first, each interleaved with GHASH of the one before.
  // `front`: the first vector of the first chunk. Returns that of the last one, whose others begin
  // kOthers before text_.
  static constexpr unsigned kOthers = kChunkBytes - kVectorBytes;
  CYGNET_INLINE V SealOthers(size_t count, V front, const ChunkPowers<kChunkVectors>& powers) {
    for (; count > 1; --count) {
      Sum sum;
      const uint8_t* others = text_ - kOthers;
      // Otherwise the compiler would keep copies of the text on the stack.
      if constexpr (S::kLanes == 2) __asm__("" : "+r"(others));
      front = Crypt<false, kChunkVectors>([&](auto part, auto r) __attribute__((always_inline)) {
        HashStep<kChunkVectors, part.value, r.value>(front, others, powers, &sum);
      });
    }
    return front;
  }

  const Work& work_;
  const GcmKey& key_;
  const uint8_t* powers_;
  const uint8_t* first_rounds_;  // of the next vector
  uint8_t* text_;                // of the next vector
  V number_;                     // salt ‖ IV ‖ the counter before that vector, as a number
  V base_;                       // same, ready for the first round; kOneKey: for the second
  V sum_;                        // added to the next blocks; not of kOneKey
  __m128i pad_;                  // AES(J0)
};

}  // namespace
}  // namespace cygnet::vaes_gcm
