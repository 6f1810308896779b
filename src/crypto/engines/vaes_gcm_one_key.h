// Many packets of one key, one after the other. The end of each packet is hashed beside the AES of
// the next packet. Part of vaes_gcm_kernel.h, which describes the method.
#pragma once

#include "crypto/engines/vaes_gcm_chunks.h"
#include "crypto/engines/vaes_gcm_row.h"

namespace cygnet::vaes_gcm {
namespace {

template <class S, bool kSeal>
class OneKeyPacket : Chunks<S, kSeal, true> {
  using Base = Chunks<S, kSeal, true>;
  using V = typename S::V;
  using G = Ghash<S>;
  static constexpr auto kChunkBytes = Base::kChunkBytes;
  static constexpr auto kChunkVectors = Base::kChunkVectors;
  static constexpr auto kPartVectors = Base::kPartVectors;
  static constexpr auto kTailBytes = Base::kTailBytes;
  static constexpr auto kVectorBytes = Base::kVectorBytes;
  static constexpr int kHalf = kChunkVectors / 2;
  static constexpr int kParts = kChunkVectors / kPartVectors;
  static constexpr unsigned kMaxTailBytes = S::kLanes == 2 ? 6 * kVectorBytes : kChunkBytes;

 public:
  // REQUIRES: `tables` serves the packet, which is packet `i` of `borders`. `ending`: of the
  // previous packet, which is finished, then of this one.
  static CYGNET_INLINE void Run(const Work& work, const KeyTables<S>& tables,
                                const Borders<S>& borders, unsigned i, Ending<S, kSeal>* ending) {
    OneKeyPacket packet(work, tables, borders, i, ending);
    const unsigned lanes = packet.RunText();
    ending->Begin(work, lanes, packet.spread_, packet.sum_, borders.Pad(i), tables.powers_end());
  }

 private:
  CYGNET_INLINE OneKeyPacket(const Work& work, const KeyTables<S>& tables,
                             const Borders<S>& borders, unsigned i, Ending<S, kSeal>* ending)
      : Base(work, tables.powers_end(), tables.first_rounds(), S::Repeat(borders.Counter(i))),
        chunk_powers_(tables.last_chunk_power()),
        ending_(*ending) {}

  // ---- GHASH -----------------------------------------------------------------------------------

  // After chunks, lane i of their sum is multiplied by H^(lanes + 1 - i). For few lanes that may be
  // no power of H. Then the end begins with an empty vector, and the chunks' powers are lower.
  static CYGNET_INLINE unsigned EmptyVectors(unsigned lanes) {
    return S::kLanes == 4 && lanes < S::kLanes - 1 ? 1 : 0;
  }
  // Begins GHASH of `chunks` chunks with the AAD, in the lane before the text. `lanes`: of the end.
  CYGNET_INLINE void BeginChunks(size_t chunks, unsigned lanes) {
    chunk_powers_ -= 16 * (kChunkVectors * chunks - EmptyVectors(lanes));
    const uint8_t* p = chunk_powers_ - 16;
    BeginSum(S::InLastLane(Aad<S>(this->work_)), S::Repeat(LoadBlock(p)),
             S::Repeat(LoadBlock(p + KeyTables<S>::kHalvesFromChunkPower)));
  }
  // Begins GHASH of a packet without chunks with the AAD and the length block.
  CYGNET_INLINE void BeginWithoutChunks(unsigned lanes) {
    const uint8_t* p = G::Row(this->powers_, lanes + 2);
    const uint8_t* last = G::Row(this->powers_, 1);
    constexpr auto kToHalves = KeyTables<S>::kHalvesFromPower;
    BeginSum(S::InLanes01(Aad<S>(this->work_), Lengths(*this->work_.job)),
             S::InLanes01(LoadBlock(p), LoadBlock(last)),
             S::InLanes01(LoadBlock(p + kToHalves), LoadBlock(last + kToHalves)));
  }
  CYGNET_INLINE void BeginSum(V blocks, V power, V halves) {
    sum_.low = S::template Multiply<0x00>(blocks, power);
    sum_.high = S::template Multiply<0x11>(blocks, power);
    sum_.middle = S::template Multiply<0x00>(S::Xor(blocks, S::SwapHalves(blocks)), halves);
  }

  // Step kR of nine of part kPart of the GHASH of the chunk at `blocks`. A part is two pairs.
  template <int kPart, int kR, bool kSpread = kSeal>
  CYGNET_INLINE void HashStep(const uint8_t* blocks) {
    // Sealing is faster with a product or two after each round, opening with all of a pair.
    constexpr int kStep = (kR - 1) % 3;
    if constexpr (kR < 7 && (kSpread || kStep == 0)) {
      constexpr int kPair = 2 * kPart + (kR < 4 ? 0 : 1);
      const uint8_t* text = blocks + 2 * kVectorBytes * kPair;
      const uint8_t* p = chunk_powers_ + 32 * kPair;
      const V power_a = S::Repeat(LoadBlock(p));
      const V power_b = S::Repeat(LoadBlock(p + 16));
      const V halves = S::Repeat(LoadBlock(p + KeyTables<S>::kHalvesFromChunkPower));
      if constexpr (kStep == 0) {
        pair_ = {G::Reversed(S::Load(text)), G::Reversed(S::Load(text + kVectorBytes))};
      }
      if constexpr (kSpread) {
        G::template AddStep<kStep>(pair_.a, pair_.b, power_a, power_b, halves, &sum_);
      } else {
        G::AddInLoop(pair_.a, pair_.b, power_a, power_b, halves, &sum_);
      }
    }
  }

  // ---- Whole chunks ----------------------------------------------------------------------------

  // The packet's first chunk: also steps of the end that is pending.
  CYGNET_INLINE void FirstChunk() {
    typename G::Sum sum;
    const uint8_t* blocks = this->text_;
    this->template Crypt<false, kChunkVectors>([&](auto part,
                                                   auto r) __attribute__((always_inline)) {
      if constexpr (!kSeal) HashStep<part.value, r.value>(blocks);
      ending_.template Step<9 * part.value + r.value, 9 * kParts>(&sum);
    });
    if constexpr (!kSeal) chunk_powers_ += 16 * kChunkVectors;
  }
  // AES of a chunk interleaved with GHASH, while sealing that of the previous chunk.
  CYGNET_INLINE void NextChunk() {
    const uint8_t* blocks = this->text_ - (kSeal ? kChunkBytes : 0);
    // Otherwise the compiler would keep copies of the text on the stack.
    if constexpr (S::kLanes == 2) __asm__("" : "+r"(blocks));
    this->template Crypt<false, kChunkVectors>([&](auto part, auto r) __attribute__((
        always_inline)) { HashStep<part.value, r.value>(blocks); });
    chunk_powers_ += 16 * kChunkVectors;
  }

  // While sealing, GHASH of the last chunk is left.
  CYGNET_INLINE void WholeChunks(size_t count, unsigned lanes) {
    if constexpr (!kSeal) BeginChunks(count, lanes);
    FirstChunk();
    if constexpr (kSeal) BeginChunks(count, lanes);
    for (; count > 1; --count) NextChunk();
  }

  // ---- The end of a packet -------------------------------------------------------------------

  // `between` is other work, as in Rounds. The next kN vectors of text, `bytes` bytes: all of them
  // if kWhole. They are kept for GHASH in `blocks`.
  template <int kN, bool kWhole, class F>
  CYGNET_INLINE void Tail(unsigned bytes, V* blocks, F between) {
    V x[kN];
    this->template Counters<S::kTailLanes, 0>(x);
    const V last = this->Rounds(x, between);
    Each<0, kN>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      uint8_t* p = this->text_ + kVectorBytes * i;
      if constexpr (kWhole || i < kN - 1) {
        const V text = S::Load(p);
        const V out = S::AesLast(x[i], S::Xor(text, last));
        S::Store(p, out);
        blocks[i] = kSeal ? out : text;
      } else {
        const unsigned here = bytes - kVectorBytes * i;
        const V text = S::LoadBytes(p, here);
        const V out = S::AesLast(x[i], S::Xor(text, last));
        S::StoreBytes(p, out, here);
        blocks[i] = kSeal ? S::KeepBytes(out, here) : text;
      }
    });
    if constexpr (kN % 2 == 1) blocks[kN] = S::Zero();
    this->text_ += kVectorBytes * kN;
    this->first_rounds_ += kVectorBytes * kN;
  }

  template <class F>
  CYGNET_INLINE void TailOf(unsigned bytes, V* blocks, F between) {
    switch ((bytes - 1) / kVectorBytes) {
      case 0:
        return Tail<1, false>(bytes, blocks, between);
      case 1:
        return Tail<2, false>(bytes, blocks, between);
      case 2:
        return Tail<3, false>(bytes, blocks, between);
      case 3:
        return Tail<4, false>(bytes, blocks, between);
      default:
        if constexpr (S::kLanes == 2) {
          if (bytes <= 5 * kVectorBytes) return Tail<5, false>(bytes, blocks, between);
          Tail<6, false>(bytes, blocks, between);
        }
    }
  }

  // The end of the text, `bytes` bytes.
  template <class F>
  CYGNET_INLINE void End(unsigned bytes, V* blocks, F between) {
    if constexpr (S::kLanes == 2) {
      if (bytes > kMaxTailBytes) {
        Tail<kHalf, true>(kTailBytes, blocks, between);
        const unsigned rest = bytes - kTailBytes;
        blocks += kHalf;
        const auto nothing = [](auto) __attribute__((always_inline)){};
        return rest <= 3 * kVectorBytes ? Tail<3, false>(rest, blocks, nothing)
                                        : Tail<4, false>(rest, blocks, nothing);
      }
    }
    TailOf(bytes, blocks, between);
  }

  // ---- A packet ------------------------------------------------------------------------------

  // Returns the lanes of the end, which has at least one.
  CYGNET_INLINE unsigned RunText() {
    const unsigned before = this->work_.job->text_length - 1;
    const unsigned bytes = before % kChunkBytes + 1;
    const unsigned lanes = (bytes + 15) / 16;
    unsigned empty = 0;
    if (before < kChunkBytes) {
      typename G::Sum sum;
      End(
          bytes, ending_.blocks, [&](auto r) __attribute__((always_inline)) {
            ending_.template Step<r.value, 9>(&sum);
          });
      spread_ = S::Zero();
      BeginWithoutChunks(lanes);
    } else {
      WholeChunks(before / kChunkBytes, lanes);
      const uint8_t* blocks = this->text_ - kChunkBytes;
      empty = EmptyVectors(lanes);
      if (empty != 0) ending_.blocks[0] = S::Zero();
      End(
          bytes, ending_.blocks + empty, [&](auto r) __attribute__((always_inline)) {
            if constexpr (kSeal) {
              Each<0, kParts>([&](auto part) __attribute__((always_inline)) {
                HashStep<part.value, r.value, S::kLanes == 4>(blocks);
              });
            }
          });
      spread_ = G::Reduce(sum_);
      sum_ = ending_.LengthsTimesH(*this->work_.job, this->powers_);
    }
    return lanes + S::kLanes * empty;
  }

  const uint8_t* chunk_powers_;  // of the next chunk of GHASH
  V spread_;                     // GHASH of the chunks, not yet multiplied by the powers of the end
  typename G::Sum sum_;
  typename G::Pair pair_;  // between its steps
  Ending<S, kSeal>& ending_;
};

}  // namespace
}  // namespace cygnet::vaes_gcm
