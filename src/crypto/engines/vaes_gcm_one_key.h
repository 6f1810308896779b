// Many packets of one key, one after the other. The end of each row is hashed beside the AES of the
// next packet. Part of vaes_gcm_kernel.h, which describes the method.
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
  using Sum = typename Base::Sum;
  using ChunkPowers = typename Base::template ChunkPowers<S::kChunkVectors>;
  static constexpr auto kChunkBytes = Base::kChunkBytes;
  static constexpr auto kChunkVectors = Base::kChunkVectors;
  static constexpr auto kPartVectors = Base::kPartVectors;
  static constexpr auto kTailBytes = Base::kTailBytes;
  static constexpr auto kVectorBytes = Base::kVectorBytes;
  static constexpr int kHalf = kChunkVectors / 2;
  static constexpr unsigned kMaxTailBytes = S::kLanes == 2 ? 6 * kVectorBytes : kChunkBytes;

 public:
  // REQUIRES: `tables` serves the packet, which is packet `i` of `borders`. `ending`: of the
  // previous packet, which is finished, then of this one.
  static CYGNET_INLINE void Run(const Work& work, const KeyTables<S>& tables,
                                const Borders<S>& borders, unsigned i, Ending<S, kSeal>* ending) {
    OneKeyPacket packet(work, tables, borders, i, ending);
    const unsigned lanes = packet.RunText();
    ending->Begin(work, lanes, packet.sum_, borders.Pad(i), packet.powers_);
  }

 private:
  CYGNET_INLINE OneKeyPacket(const Work& work, const KeyTables<S>& tables,
                             const Borders<S>& borders, unsigned i, Ending<S, kSeal>* ending)
      : Base(work, tables.powers_end(), tables.first_rounds(), S::Repeat(borders.Counter(i)),
             S::InLane0(borders.Hash(i))),
        ending_(*ending) {}

  // ---- Whole chunks ----------------------------------------------------------------------------

  // Also steps of the row that is pending, if the chunk is the packet's first.
  template <bool kFirst>
  CYGNET_INLINE void OpenChunk(const ChunkPowers& powers) {
    Sum sum;
    Sum row_sum;
    const V front = this->template LoadText<false>(0);
    const uint8_t* others = this->text_ + kVectorBytes;
    this->template Crypt<false, kChunkVectors>([&](auto part,
                                                   auto r) __attribute__((always_inline)) {
      this->template HashStep<kChunkVectors, part.value, r.value>(front, others, powers, &sum);
      if constexpr (kFirst) RowStep<part.value, r.value>(&row_sum);
    });
  }
  template <int kPart, int kR>
  CYGNET_INLINE void RowStep(Sum* sum) {
    constexpr int kParts = kChunkVectors / kPartVectors;
    ending_.template Step<9 * kPart + kR, 9 * kParts>(sum);
  }

  // AES of a chunk interleaved with GHASH of the previous chunk.
  CYGNET_INLINE void SealChunks(size_t count, const ChunkPowers& powers) {
    Sum row_sum;
    const V front =
        this->template Crypt<false, kChunkVectors>([&](auto part, auto r) __attribute__((
            always_inline)) { RowStep<part.value, r.value>(&row_sum); });
    front_ = this->SealOthers(count, front, powers);
    others_ = this->text_ - Base::kOthers;
  }

  CYGNET_INLINE void WholeChunks(size_t count, ChunkPowers& powers) {
    if constexpr (kSeal) {
      SealChunks(count, powers);
      if constexpr (S::kLanes == 4) powers.BecomeRow();
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
      if constexpr (S::kLanes == 4) this->sum_ = S::InLane0(S::XorOfLanes(this->sum_));
    }
  }

  // ---- The end of a row ----------------------------------------------------------------------

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

  // The end of a row of `bytes` bytes.
  template <class F>
  CYGNET_INLINE void End(unsigned bytes, F between) {
    if constexpr (S::kLanes == 2) {
      if (bytes > kMaxTailBytes) {
        Tail<kHalf, true>(kTailBytes, ending_.blocks, between);
        const unsigned rest = bytes - kTailBytes;
        V* blocks = ending_.blocks + kHalf;
        const auto nothing = [](auto) __attribute__((always_inline)){};
        return rest <= 3 * kVectorBytes ? Tail<3, false>(rest, blocks, nothing)
                                        : Tail<4, false>(rest, blocks, nothing);
      }
    }
    TailOf(bytes, ending_.blocks, between);
  }

  // ---- A packet ------------------------------------------------------------------------------

  // Returns the lanes of the row's end, which has at least one.
  CYGNET_INLINE unsigned RunText() {
    const unsigned before = this->work_.job->text_length - 1;
    const unsigned bytes = before % kChunkBytes + 1;
    Sum sum;
    if (before < kChunkBytes) {
      End(
          bytes, [&](auto r)
                     __attribute__((always_inline)) { ending_.template Step<r.value, 9>(&sum); });
    } else {
      ChunkPowers powers(this->powers_);
      WholeChunks(before / kChunkBytes, powers);
      End(
          bytes, [&](auto r) __attribute__((always_inline)) {
            if constexpr (kSeal) LastChunkStep<r.value>(powers, &sum);
          });
    }
    return (bytes + 15) / 16;
  }

  // Step kR of nine of GHASH of the last chunk that was sealed.
  template <int kR>
  CYGNET_INLINE void LastChunkStep(const ChunkPowers& powers, Sum* sum) {
    Each<0, kChunkVectors / kPartVectors>([&](auto part) __attribute__((always_inline)) {
      this->template HashStep<kChunkVectors, part.value, kR, S::kLanes == 4>(front_, others_,
                                                                             powers, sum);
    });
    if constexpr (S::kLanes == 4 && kR == 9) this->sum_ = S::InLane0(S::XorOfLanes(this->sum_));
  }

  // Of the last chunk that was sealed: its first vector, and where the others are.
  V front_;
  const uint8_t* others_;
  Ending<S, kSeal>& ending_;
};

}  // namespace
}  // namespace cygnet::vaes_gcm
