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
  using Sum = typename G::Sum;
  using ChunkPowers = typename Base::template ChunkPowers<S::kChunkVectors>;
  static constexpr auto kChunkBytes = Base::kChunkBytes;
  static constexpr auto kChunkVectors = Base::kChunkVectors;
  static constexpr auto kPartVectors = Base::kPartVectors;
  static constexpr auto kTailBytes = Base::kTailBytes;
  static constexpr auto kVectorBytes = Base::kVectorBytes;
  static constexpr int kHalf = kChunkVectors / 2;
  static constexpr unsigned kMaxTailBytes = S::kLanes == 2 ? 6 * kVectorBytes : kChunkBytes;

 public:
  // REQUIRES: `tables` serves the packet. `ending`: of the previous packet, which is finished, then
  // of this one.
  static CYGNET_INLINE void Run(const Work& work, const KeyTables<S>& tables,
                                Ending<S, kSeal>* ending) {
    OneKeyPacket(work, tables, ending).RunPacket();
  }

 private:
  CYGNET_INLINE OneKeyPacket(const Work& work, const KeyTables<S>& tables, Ending<S, kSeal>* ending)
      : Base(work, tables.powers_end(), tables.first_rounds()), ending_(*ending) {}

  // ---- Whole chunks ----------------------------------------------------------------------------

  // Also steps of the row that is pending, if the chunk is the packet's first.
  template <bool kFirst>
  CYGNET_INLINE void OpenChunk(const ChunkPowers& powers) {
    Sum sum;
    Sum row_sum;
    const V front = this->template LoadText<kFirst>(0);
    const uint8_t* others = this->text_ + Base::template Offset<kFirst>(1);
    this->template Crypt<kFirst, kChunkVectors>([&](auto part,
                                                    auto r) __attribute__((always_inline)) {
      this->template HashStep<kChunkVectors, part.value, r.value>(front, others, powers, &sum);
      if constexpr (kFirst) RowStep<part.value, r.value>(&row_sum);
    });
    if constexpr (kFirst) ending_.Finish();
  }
  template <int kPart, int kR>
  CYGNET_INLINE void RowStep(Sum* sum) {
    constexpr int kParts = kChunkVectors / kPartVectors;
    ending_.row.template Step<9 * kPart + kR, 9 * kParts>(sum);
  }

  // AES of a chunk interleaved with GHASH of the previous chunk.
  CYGNET_INLINE void SealChunks(size_t count, const ChunkPowers& powers) {
    constexpr unsigned kOthers = kChunkBytes - kVectorBytes;
    Sum row_sum;
    V front = this->template Crypt<true, kChunkVectors>([&](auto part, auto r) __attribute__((
        always_inline)) { RowStep<part.value, r.value>(&row_sum); });
    ending_.Finish();
    for (; count > 1; --count) {
      Sum sum;
      const uint8_t* others = this->text_ - kOthers;
      // Otherwise the compiler would keep copies of the text on the stack.
      if constexpr (S::kLanes == 2) __asm__("" : "+r"(others));
      front = this->template Crypt<false, kChunkVectors>([&](
          auto part, auto r) __attribute__((always_inline)) {
        this->template HashStep<kChunkVectors, part.value, r.value>(front, others, powers, &sum);
      });
    }
    ending_.row.Begin(front, this->text_ - kOthers, this->sum_, G::Row(this->powers_, 16),
                      Row<S>::kPairs);
  }

  CYGNET_INLINE void WholeChunks(size_t count) {
    ChunkPowers powers(this->powers_);
    if constexpr (kSeal) {
      SealChunks(count, powers);
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

  // kN vectors of the end of the row, `bytes` bytes: a multiple of the vector's size if kWhole.
  // `bytes` includes lane 0 if this is the start of the row. They are kept for GHASH in `blocks`.
  template <bool kFirst, int kN, bool kWhole>
  CYGNET_INLINE void Tail(unsigned bytes, V* blocks) {
    V x[kN];
    this->template Counters<S::kTailLanes, 0>(x);
    Sum sum;
    const V last = this->Rounds(
        x, [&](auto r)
               __attribute__((always_inline)) { ending_.row.template Step<r.value, 9>(&sum); });
    Hashed<kFirst>();
    Each<0, kN>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      constexpr bool kLane0 = kFirst && i == 0;
      V out, text;
      if constexpr (kWhole || i < kN - 1) {
        text = this->template LoadText<kFirst>(i);
        out = S::AesLast(x[i], S::Xor(text, last));
        kLane0 ? S::StoreFirst(this->text_, out)
               : S::Store(this->text_ + Base::template Offset<kFirst>(i), out);
      } else {
        const unsigned here = bytes - kVectorBytes * i;
        uint8_t* p = this->text_ + Base::template Offset<kFirst>(i);
        text = kLane0 ? S::LoadBytesFirst(p, here - 16) : S::LoadBytes(p, here);
        out = S::AesLast(x[i], S::Xor(text, last));
        kLane0 ? S::StoreBytesFirst(p, out, here - 16) : S::StoreBytes(p, out, here);
      }
      if constexpr (kLane0) this->pad_ = S::Lane0(out);
      V block = kSeal ? out : text;
      if constexpr (kSeal && !(kWhole || i < kN - 1)) {
        block = S::KeepBytes(block, bytes - kVectorBytes * i);
      }
      if constexpr (kLane0 && kSeal) block = S::WithoutLane0(block);
      if constexpr (i == kN - 1) {
        AddLengths<kN>(block, (bytes + 15) / 16, blocks);
      } else {
        blocks[i] = block;
      }
    });
    this->text_ += Base::template Offset<kFirst>(kN);
    this->first_rounds_ += kVectorBytes * kN;
  }

  // The length block follows the `lanes` lanes of kN vectors, of which `block` is the last.
  template <int kN>
  CYGNET_INLINE void AddLengths(V block, unsigned lanes, V* blocks) {
    const __m128i lengths = LengthsInOrder(*this->work_.job);
    const unsigned lane = lanes - S::kLanes * (kN - 1);
    blocks[kN - 1] = S::Xor(block, S::InLane(lengths, lane));  // nothing if no lane is free
    blocks[kN] = S::InLane(lengths, lane == S::kLanes ? 0 : S::kLanes);
    if constexpr (kN % 2 == 0) blocks[kN + 1] = S::Zero();
  }

  // The row that was pending is done: of the previous packet, or the last chunk of this one.
  template <bool kFirst>
  CYGNET_INLINE void Hashed() {
    if constexpr (kFirst) {
      ending_.Finish();
    } else {
      if (ending_.row.pending()) this->sum_ = S::InLane0(ending_.row.End());
    }
  }

  template <bool kFirst>
  CYGNET_INLINE void TailOf(unsigned bytes, V* blocks) {
    switch ((bytes - 1) / kVectorBytes) {
      case 0:
        return Tail<kFirst, 1, false>(bytes, blocks);
      case 1:
        return Tail<kFirst, 2, false>(bytes, blocks);
      case 2:
        return Tail<kFirst, 3, false>(bytes, blocks);
      case 3:
        return Tail<kFirst, 4, false>(bytes, blocks);
      default:
        if constexpr (S::kLanes == 2) {
          if (bytes <= 5 * kVectorBytes) return Tail<kFirst, 5, false>(bytes, blocks);
          Tail<kFirst, 6, false>(bytes, blocks);
        }
    }
  }

  // ---- A packet ------------------------------------------------------------------------------

  CYGNET_INLINE void RunPacket() {
    const size_t row = size_t{this->work_.job->text_length} + 16;
    const unsigned bytes = static_cast<unsigned>(row % kChunkBytes);
    unsigned rest = bytes;
    bool first = row < kChunkBytes;
    if (!first) WholeChunks(row / kChunkBytes);
    V* blocks = ending_.blocks;
    if constexpr (S::kLanes == 2) {
      if (rest > kMaxTailBytes) {
        first ? Tail<true, kHalf, true>(kTailBytes, blocks)
              : Tail<false, kHalf, true>(kTailBytes, blocks);
        first = false;
        blocks += kHalf;
        rest -= kTailBytes;
      }
    }
    if (first) {
      TailOf<true>(rest, blocks);
    } else if (rest != 0) {
      TailOf<false>(rest, blocks);
    } else {
      NoTail();
    }
    ending_.Begin(this->work_, (bytes + 15) / 16, this->sum_, this->pad_, this->powers_);
  }

  CYGNET_INLINE void NoTail() {
    if (ending_.row.pending()) ending_.row.AllSteps();
    Hashed<false>();
    ending_.blocks[0] = S::InLane0(LengthsInOrder(*this->work_.job));
    ending_.blocks[1] = S::Zero();
  }

  Ending<S, kSeal>& ending_;
};

}  // namespace
}  // namespace cygnet::vaes_gcm
