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
    Sum row_sum;
    const V front = this->template Crypt<true, kChunkVectors>([&](auto part, auto r) __attribute__((
        always_inline)) { RowStep<part.value, r.value>(&row_sum); });
    ending_.Finish();
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

  // `between` is other work, as in Rounds. kN vectors of the end of the row, `bytes` bytes: a
  // multiple of the vector's size if kWhole. `bytes` includes lane 0 if this is the start of the
  // row. They are kept for GHASH in `blocks`.
  template <bool kFirst, int kN, bool kWhole, class F>
  CYGNET_INLINE void Tail(unsigned bytes, V* blocks, F between) {
    V x[kN];
    this->template Counters<S::kTailLanes, 0>(x);
    const V last = this->Rounds(x, between);
    if constexpr (kFirst) ending_.Finish();
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

  template <bool kFirst, class F>
  CYGNET_INLINE void TailOf(unsigned bytes, V* blocks, F between) {
    switch ((bytes - 1) / kVectorBytes) {
      case 0:
        return Tail<kFirst, 1, false>(bytes, blocks, between);
      case 1:
        return Tail<kFirst, 2, false>(bytes, blocks, between);
      case 2:
        return Tail<kFirst, 3, false>(bytes, blocks, between);
      case 3:
        return Tail<kFirst, 4, false>(bytes, blocks, between);
      default:
        if constexpr (S::kLanes == 2) {
          if (bytes <= 5 * kVectorBytes) return Tail<kFirst, 5, false>(bytes, blocks, between);
          Tail<kFirst, 6, false>(bytes, blocks, between);
        }
    }
  }

  // The end of a row of `bytes` bytes.
  template <bool kFirst, class F>
  CYGNET_INLINE void End(unsigned bytes, F between) {
    if constexpr (S::kLanes == 2) {
      if (bytes > kMaxTailBytes) {
        Tail<kFirst, kHalf, true>(kTailBytes, ending_.blocks, between);
        const unsigned rest = bytes - kTailBytes;
        V* blocks = ending_.blocks + kHalf;
        const auto nothing = [](auto) __attribute__((always_inline)){};
        return rest <= 3 * kVectorBytes ? Tail<false, 3, false>(rest, blocks, nothing)
                                        : Tail<false, 4, false>(rest, blocks, nothing);
      }
    }
    TailOf<kFirst>(bytes, ending_.blocks, between);
  }

  // ---- A packet ------------------------------------------------------------------------------

  CYGNET_INLINE void RunPacket() {
    const size_t row = size_t{this->work_.job->text_length} + 16;
    const unsigned bytes = static_cast<unsigned>(row % kChunkBytes);
    Sum sum;
    if (row < kChunkBytes) {
      End<true>(
          bytes, [&](auto r) __attribute__((always_inline)) {
            ending_.row.template Step<r.value, 9>(&sum);
          });
    } else {
      ChunkPowers powers(this->powers_);
      WholeChunks(row / kChunkBytes, powers);
      const auto hash = [&](auto r) __attribute__((always_inline)) {
        if constexpr (kSeal) LastChunkStep<r.value>(powers, &sum);
      };
      if (bytes != 0) {
        End<false>(bytes, hash);
      } else {
        Each<1, 10>(hash);
        ending_.blocks[0] = S::InLane0(LengthsInOrder(*this->work_.job));
        ending_.blocks[1] = S::Zero();
      }
    }
    ending_.Begin(this->work_, (bytes + 15) / 16, this->sum_, this->pad_, this->powers_);
  }

  // Step kR of nine of GHASH of the last chunk that was sealed.
  template <int kR>
  CYGNET_INLINE void LastChunkStep(const ChunkPowers& powers, Sum* sum) {
    Each<0, kChunkVectors / kPartVectors>([&](auto part) __attribute__((always_inline)) {
      this->template HashStep<kChunkVectors, part.value, kR>(front_, others_, powers, sum);
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
