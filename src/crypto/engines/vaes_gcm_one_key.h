// Many packets of one key, one after the other. The end of each packet is hashed beside AES: its
// own while opening, that of the next packet while sealing. Part of vaes_gcm_kernel.h, which
// describes the method.
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
  static CYGNET_INLINE void Seal(const Work& work, const KeyTables<S>& tables, Borders<S>* borders,
                                 unsigned i, Ending<S>* ending) {
    OneKeyPacket packet(work, tables, borders, i);
    const unsigned lanes = packet.SealText(ending);
    ending->Begin(work, lanes, packet.spread_, packet.sum_, borders->Pad(i), packet.powers_);
  }
  static CYGNET_INLINE void Open(const Work& work, const KeyTables<S>& tables, Borders<S>* borders,
                                 unsigned i) {
    OneKeyPacket packet(work, tables, borders, i);
    packet.OpenText();
    FinishPacket<S, false>(work, packet.sum_, borders->Pad(i));
  }

 private:
  CYGNET_INLINE OneKeyPacket(const Work& work, const KeyTables<S>& tables, Borders<S>* borders,
                             unsigned i)
      : Base(work, tables.powers_end(), tables.first_rounds(), S::Repeat(borders->Counter(i))),
        chunk_powers_(tables.last_chunk_power()),
        borders_(*borders) {}

  // ---- GHASH -----------------------------------------------------------------------------------

  // After chunks, lane i of their sum is multiplied by H^(lanes + 1 - i). For few lanes that may be
  // no power of H. Then the end begins with an empty vector, and the chunks' powers are lower.
  static CYGNET_INLINE unsigned EmptyVectors(unsigned lanes) {
    return S::kLanes == 4 && lanes <= S::kLanes ? 1 : 0;
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

  // Ends GHASH of chunks and begins that of the end.
  CYGNET_INLINE void EndChunks() {
    spread_ = G::Reduce(sum_);
    sum_ = borders_.LengthsTimesH(*this->work_.job);
  }

  // Step kR of nine of part kPart of the GHASH of the chunk at `blocks`. A part is two pairs.
  template <int kPart, int kR>
  CYGNET_INLINE void HashStep(const uint8_t* blocks) {
    // Sealing is faster with a product or two after each round, opening with all of a pair.
    constexpr int kStep = (kR - 1) % 3;
    constexpr int kPair = 2 * kPart + (kR < 4 ? 0 : 1);
    if constexpr (kSeal && kR < 7) {
      PairStep<kPair, kStep>(blocks);
    } else if constexpr (kR < 7 && kStep == 0) {
      Each<0, 3>([&](auto step)
                     __attribute__((always_inline)) { PairStep<kPair, step.value>(blocks); });
    }
  }
  // Step kStep of three of pair kPair.
  template <int kPair, int kStep>
  CYGNET_INLINE void PairStep(const uint8_t* blocks) {
    const uint8_t* text = blocks + 2 * kVectorBytes * kPair;
    const uint8_t* p = chunk_powers_ + 32 * kPair;
    const V power_a = S::Repeat(LoadBlock(p));
    const V power_b = S::Repeat(LoadBlock(p + 16));
    const V halves = S::Repeat(LoadBlock(p + KeyTables<S>::kHalvesFromChunkPower));
    if constexpr (kStep == 0) {
      pair_ = {G::Reversed(S::Load(text)), G::Reversed(S::Load(text + kVectorBytes))};
    }
    G::template AddStep<kStep>(pair_.a, pair_.b, power_a, power_b, halves, &sum_);
  }

  // ---- Whole chunks ----------------------------------------------------------------------------

  // AES of a chunk interleaved with GHASH, while sealing that of the previous chunk.
  CYGNET_INLINE void Chunk() {
    const uint8_t* blocks = this->text_ - (kSeal ? kChunkBytes : 0);
    // Otherwise the compiler would keep copies of the text on the stack.
    if constexpr (S::kLanes == 2) __asm__("" : "+r"(blocks));
    this->template Crypt<false, kChunkVectors>([&](auto part, auto r) __attribute__((
        always_inline)) { HashStep<part.value, r.value>(blocks); });
    chunk_powers_ += 16 * kChunkVectors;
  }

  // GHASH of the last chunk is left.
  CYGNET_INLINE void SealChunks(size_t count, unsigned lanes, Ending<S>* ending) {
    typename G::Sum sum;
    this->template Crypt<false, kChunkVectors>([&](auto part, auto r) __attribute__((
        always_inline)) { ending->template Step<9 * part.value + r.value, 9 * kParts>(&sum); });
    BeginChunks(count, lanes);
    for (; count > 1; --count) Chunk();
  }

  // ---- The end of a packet ---------------------------------------------------------------------

  // The next kN vectors of text, `bytes` bytes: all of them if kWhole. `between` is other work, as
  // in Rounds. The result is kept for GHASH in `blocks`.
  template <int kN, bool kWhole, class F>
  CYGNET_INLINE void SealTail(unsigned bytes, V* blocks, F between) {
    V x[kN];
    this->template Counters<S::kTailLanes, 0>(x);
    const V last = this->Rounds(x, between);
    Each<0, kN>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      uint8_t* p = this->text_ + kVectorBytes * i;
      if constexpr (kWhole || i < kN - 1) {
        const V out = S::AesLast(x[i], S::Xor(S::Load(p), last));
        S::Store(p, out);
        blocks[i] = out;
      } else {
        const unsigned here = bytes - kVectorBytes * i;
        const V out = S::AesLast(x[i], S::Xor(S::LoadBytes(p, here), last));
        S::StoreBytes(p, out, here);
        blocks[i] = S::KeepBytes(out, here);
      }
    });
    if constexpr (kN % 2 == 1) blocks[kN] = S::Zero();
  }

  // The same while opening, interleaved with GHASH by the powers at end_powers_.
  template <int kN, bool kWhole>
  CYGNET_INLINE void OpenTail(unsigned bytes) {
    V x[kN];
    this->template Counters<S::kTailLanes, 0>(x);
    uint8_t* const p = this->text_ + kVectorBytes * (kN - 1);
    const unsigned here = bytes - kVectorBytes * (kN - 1);
    const V end = kWhole ? S::Load(p) : S::LoadBytes(p, here);
    const V last = this->Rounds(
        x, [&](auto r) __attribute__((always_inline)) { EndStep<kN, r.value>(end); });
    Each<0, kN - 1>([&](auto i) __attribute__((always_inline)) {
      uint8_t* text = this->text_ + kVectorBytes * i.value;
      S::Store(text, S::AesLast(x[i.value], S::Xor(S::Load(text), last)));
    });
    const V out = S::AesLast(x[kN - 1], S::Xor(end, last));
    kWhole ? S::Store(p, out) : S::StoreBytes(p, out, here);
    end_powers_ += kVectorBytes * kN;
    spread_ = S::Zero();
  }
  // Step kR of nine of GHASH of the next kN vectors, the last of which is `end`.
  template <int kN, int kR>
  CYGNET_INLINE void EndStep(V end) {
    constexpr int kPair = (kR - 1) / 2;
    if constexpr (kR % 2 == 1 && 2 * kPair < kN) {
      const auto block = [&](auto i) __attribute__((always_inline)) {
        if constexpr (i.value == kN) return S::Zero();
        if constexpr (i.value == kN - 1) return G::Reversed(end);
        return G::Reversed(S::Load(this->text_ + kVectorBytes * i.value));
      };
      constexpr int kEmpty = S::kLanes == 4 && kN == 1 ? 1 : 0;  // EmptyVectors
      V first = spread_;
      if constexpr (kPair != 0) first = block(Int<2 * kPair>{});
      if constexpr (kPair == 0 && kEmpty == 0) first = S::Xor(block(Int<0>{}), spread_);
      const uint8_t* p = end_powers_ + 2 * kVectorBytes * kPair;
      G::AddInLoop(first, block(Int<2 * kPair + 1 - kEmpty>{}), S::Load(p),
                   S::Load(p + kVectorBytes), S::Load(p + KeyTables<S>::kHalvesFromPower), &sum_);
    }
  }

  template <int kN, bool kWhole, class F>
  CYGNET_INLINE void Tail(unsigned bytes, V* blocks, F between) {
    if constexpr (kSeal) {
      SealTail<kN, kWhole>(bytes, blocks, between);
    } else {
      OpenTail<kN, kWhole>(bytes);
    }
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

  // The end of the text, `bytes` bytes. `blocks`, `between`: see SealTail.
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

  // Returns the lanes of the end that GHASH is left for, at least one.
  CYGNET_INLINE unsigned SealText(Ending<S>* ending) {
    const unsigned before = this->work_.job->text_length - 1;
    const unsigned bytes = before % kChunkBytes + 1;
    const unsigned lanes = (bytes + 15) / 16;
    if (before < kChunkBytes) {
      typename G::Sum sum;
      End(
          bytes, ending->blocks, [&](auto r) __attribute__((always_inline)) {
            ending->template Step<r.value, 9>(&sum);
          });
      BeginWithoutChunks(lanes);
      return lanes;
    }
    SealChunks(before / kChunkBytes, lanes, ending);
    const unsigned empty = EmptyVectors(lanes);
    if (empty != 0) ending->blocks[0] = S::Zero();
    const uint8_t* chunk = this->text_ - kChunkBytes;
    End(
        bytes, ending->blocks + empty, [&](auto r) __attribute__((always_inline)) {
          constexpr int kSteps = 3 * kChunkVectors / 2;  // over eight rounds
          Each<(r.value - 1) * kSteps / 8, (r.value < 9 ? r.value * kSteps / 8 : kSteps)>([&](
              auto step) __attribute__((always_inline)) {
            PairStep<step.value / 3, step.value % 3>(chunk);
          });
        });
    EndChunks();
    return lanes + S::kLanes * empty;
  }

  CYGNET_INLINE void OpenText() {
    const unsigned before = this->work_.job->text_length - 1;
    const unsigned bytes = before % kChunkBytes + 1;
    const unsigned lanes = (bytes + 15) / 16;
    end_powers_ = G::Row(this->powers_, lanes + 1 + S::kLanes * EmptyVectors(lanes));
    if (before < kChunkBytes) {
      BeginWithoutChunks(lanes);
    } else {
      size_t count = before / kChunkBytes;
      BeginChunks(count, lanes);
      for (; count != 0; --count) Chunk();
      EndChunks();
    }
    End(bytes, nullptr, [](auto) __attribute__((always_inline)){});
  }

  const uint8_t* chunk_powers_;  // of the next chunk of GHASH
  const uint8_t* end_powers_;    // of the next vector of the end, while opening
  V spread_ = S::Zero();         // GHASH of the chunks, not yet multiplied by powers of the end
  typename G::Sum sum_;
  typename G::Pair pair_;  // between its steps
  Borders<S>& borders_;
};

}  // namespace
}  // namespace cygnet::vaes_gcm
