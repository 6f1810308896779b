// One packet of any length. Part of vaes_gcm_kernel.h, which describes the method.
#pragma once

#include "crypto/engines/vaes_gcm_powers.h"

namespace cygnet::vaes_gcm {
namespace {

template <class S, bool kSeal>
class Packet {
  using V = typename S::V;
  using G = Ghash<S>;
  using Sum = typename G::Sum;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr int kChunkVectors = S::kChunkVectors;
  static constexpr unsigned kChunkBytes = kVectorBytes * kChunkVectors;
  static constexpr int kPartVectors = 4;  // of a chunk: as many are encrypted at a time
  static constexpr unsigned kTailBytes = 16 * S::kTailLanes;

 public:
  // `powers`: the end of a row, of sixteen powers if the text is longer than kMaxText.
  static CYGNET_INLINE void Run(const Work& work, const uint8_t* powers) {
    Packet(work, powers).RunPacket();
  }

 private:
  CYGNET_INLINE Packet(const Work& work, const uint8_t* powers)
      : work_(work),
        key_(*work.key),
        powers_(powers),
        text_(work.job->text),
        number_(S::Repeat(Nonce(*work.job))),
        base_(CounterOf(number_)),
        sum_(S::InLane0(Aad<S>(work))) {}

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
      constexpr int kLane = (kBegin + i.value) * S::kLanes;
      const V low_bits = S::template CountersFrom<1 + kLane, kSpan>();
      if constexpr (kLane + S::kLanes < kSpan) {
        x[i.value] = S::Xor(base_, low_bits);
      } else {
        number_ = S::Add32(number_, S::Repeat(_mm_set_epi32(kSpan, 0, 0, 0)));
        const V next = CounterOf(number_);
        x[i.value] = S::Xor(S::WithLastLane(base_, next), low_bits);
        base_ = next;
      }
    });
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
      Round(x, keys + 16 * r.value);
      between(r);
    });
    RoundsOfLongerKeys(
        key_.rounds, [&](unsigned r) __attribute__((always_inline)) { Round(x, keys + 16 * r); });
    return S::Repeat(LoadBlock(keys + 16 * key_.rounds));
  }

  // ---- GHASH -----------------------------------------------------------------------------------
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
          const V a = S::Repeat(LoadBlock(first + 128 * pair.value));
          const V b = S::Repeat(LoadBlock(first + 128 * pair.value + 64));
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
  template <int kN, int kPart, int kR>
  CYGNET_INLINE void HashStep(V front, const uint8_t* others, const ChunkPowers<kN>& powers,
                              Sum* sum) {
    if constexpr (kR == 1 || kR == 4) {
      constexpr int kPair = 2 * kPart + (kR == 1 ? 1 : 0);
      const PairPowers p = powers.template At<kPair>();
      const V b = G::Reversed(S::Load(others + kVectorBytes * (2 * kPair)));
      if constexpr (kPair == 0) {
        G::Add(S::Xor(G::Reversed(front), sum_), b, p.a, p.b, p.halves, sum);
      } else {
        const V a = G::Reversed(S::Load(others + kVectorBytes * (2 * kPair - 1)));
        G::Add(a, b, p.a, p.b, p.halves, sum);
      }
    }
    if constexpr (kR == 9 && (kPart + 1) * kPartVectors == kN) sum_ = G::Reduce(*sum);
  }
  template <int kN>
  CYGNET_INLINE void Hash(V front, const uint8_t* others, const ChunkPowers<kN>& powers) {
    Sum sum;
    Each<0, kN / kPartVectors>([&](auto part) __attribute__((always_inline)) {
      Each<1, 10>([&](auto r) __attribute__((always_inline)) {
        HashStep<kN, part.value, r.value>(front, others, powers, &sum);
      });
    });
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
    text_ += Offset<kFirst>(kN);
    return front;
  }

  template <bool kFirst, int kN>
  CYGNET_INLINE void OpenChunk(const ChunkPowers<kN>& powers) {
    Sum sum;
    const V front = LoadText<kFirst>(0);
    const uint8_t* others = text_ + Offset<kFirst>(1);
    Crypt<kFirst, kN>([&](auto part, auto r) __attribute__((always_inline)) {
      HashStep<kN, part.value, r.value>(front, others, powers, &sum);
    });
  }

  // AES of a chunk interleaved with GHASH of the previous chunk.
  CYGNET_INLINE void Chunks(size_t count) {
    ChunkPowers<kChunkVectors> powers(powers_);
    if constexpr (kSeal) {
      constexpr unsigned kOthers = kChunkBytes - kVectorBytes;
      V front = Crypt<true, kChunkVectors>([](auto, auto) __attribute__((always_inline)){});
      for (; count > 1; --count) {
        Sum sum;
        const uint8_t* others = text_ - kOthers;
        front = Crypt<false, kChunkVectors>([&](auto part, auto r) __attribute__((always_inline)) {
          HashStep<kChunkVectors, part.value, r.value>(front, others, powers, &sum);
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

  // Half a chunk, for when there are too few consecutive powers for the rest.
  template <bool kFirst>
  CYGNET_INLINE void HalfChunk() {
    constexpr int kHalf = kChunkVectors / 2;
    const ChunkPowers<kHalf> powers(powers_);
    if constexpr (kSeal) {
      const V front = Crypt<kFirst, kHalf>([](auto, auto) __attribute__((always_inline)){});
      Hash(front, text_ - kVectorBytes * (kHalf - 1), powers);
    } else {
      OpenChunk<kFirst>(powers);
    }
  }

  // ---- The end of a row ----------------------------------------------------------------------

  // The rest of the row in kN vectors, followed by the length block if a lane is free for it.
  // `bytes` includes lane 0 if this is the start of the row.
  template <bool kFirst, int kN>
  CYGNET_INLINE void Tail(unsigned bytes) {
    V x[kN];
    Counters<S::kTailLanes, 0>(x);
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
      blocks[i] = G::Reversed(blocks[i]);
      if constexpr (i == 0) blocks[i] = S::Xor(blocks[i], sum_);
    });
    const bool room = lanes < S::kTailLanes;
    if (room) {
      blocks[kN - 1] = S::Xor(blocks[kN - 1], S::InLane(Lengths(*work_.job), lanes % S::kLanes));
    }
    HashRow(blocks, lanes + (room ? 1 : 0));
    sum_ = S::InLane0(S::XorOfLanes(sum_));
    if (!room) LengthsAlone();
  }

  // Multiplies by consecutive powers, with H^1 in lane `lanes` - 1.
  template <int kN>
  CYGNET_INLINE void HashRow(const V (&blocks)[kN], unsigned lanes) {
    const uint8_t* row = G::Row(powers_, lanes);
    Sum sum;
    Each<0, kN>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      constexpr unsigned kBegin = kVectorBytes * i;
      if constexpr (i % 2 == 1) {
        const V a = S::Load(row + kBegin - kVectorBytes);
        const V b = S::Load(row + kBegin);
        G::Add(blocks[i - 1], blocks[i], a, b, G::Halves(a, b), &sum);
      } else if constexpr (i == kN - 1) {
        G::AddOne(blocks[i], S::Load(row + kBegin), &sum);
      }
    });
    sum_ = G::Reduce(sum);
  }

  // If two lanes were in use before, the other one is complete and must not be multiplied: its
  // power is H^0.
  CYGNET_INLINE void LengthsAlone() {
    Sum sum;
    const V power = S::PowersOneAndZero(LoadBlock(G::Row(powers_, 1)), Polynomial());
    G::AddOne(S::Xor(S::InLane0(Lengths(*work_.job)), sum_), power, &sum);
    sum_ = S::InLane0(S::XorOfLanes(G::Reduce(sum)));
  }

  // ---- A packet ------------------------------------------------------------------------------

  template <bool kFirst>
  CYGNET_INLINE void End(unsigned bytes) {
    const unsigned lanes = (bytes + 15) / 16;
    if (!kFirst && lanes == 0) return LengthsAlone();
    switch (lanes / S::kLanes) {
      case 0:
        return Tail<kFirst, 1>(bytes);
      case 1:
        return Tail<kFirst, 2>(bytes);
      case 2:
        return Tail<kFirst, 3>(bytes);
      default:
        return Tail<kFirst, 4>(bytes);
    }
  }

  CYGNET_INLINE void RunPacket() {
    const size_t row = size_t{work_.job->text_length} + 16;
    unsigned rest = static_cast<unsigned>(row % kChunkBytes);
    bool first = row < kChunkBytes;
    if (!first) Chunks(row / kChunkBytes);
    if constexpr (S::kLanes == 2) {
      if (rest >= kTailBytes) {
        rest -= kTailBytes;
        if (first) {
          HalfChunk<true>();
        } else {
          HalfChunk<false>();
        }
        first = false;
      }
    }
    if (first) {
      End<true>(rest);
    } else {
      End<false>(rest);
    }
    alignas(16) uint8_t icv[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(icv),
                    _mm_xor_si128(ReverseBlock(S::Lane0(sum_)), pad_));
    FinishJob<kSeal>(work_, icv);
  }

  const Work& work_;
  const GcmKey& key_;
  const uint8_t* powers_;
  uint8_t* text_;  // of the next vector
  V number_;       // salt ‖ IV ‖ the counter before that vector, as a number
  V base_;         // same, ready for the first round
  V sum_;          // added to the next blocks
  __m128i pad_;    // AES(J0)
};

}  // namespace
}  // namespace cygnet::vaes_gcm
