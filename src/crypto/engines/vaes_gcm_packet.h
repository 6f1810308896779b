// One packet of any length and any key. Part of vaes_gcm_kernel.h, which describes the method.
#pragma once

#include "crypto/engines/vaes_gcm_chunks.h"

namespace cygnet::vaes_gcm {
namespace {

template <class S, bool kSeal>
class Packet : Chunks<S, kSeal, false> {
  using Base = Chunks<S, kSeal, false>;
  using V = typename S::V;
  using G = Ghash<S>;
  using Sum = typename Base::Sum;
  template <int kN>
  using ChunkPowers = typename Base::template ChunkPowers<kN>;
  static constexpr auto kChunkBytes = Base::kChunkBytes;
  static constexpr auto kChunkVectors = Base::kChunkVectors;
  static constexpr auto kPartVectors = Base::kPartVectors;
  static constexpr auto kTailBytes = Base::kTailBytes;
  static constexpr auto kVectorBytes = Base::kVectorBytes;

 public:
  // `powers`: the end of a row, of sixteen powers if the text is longer than kMaxText.
  static CYGNET_INLINE void Run(const Work& work, const uint8_t* powers) {
    Packet(work, powers).RunPacket();
  }

 private:
  CYGNET_INLINE Packet(const Work& work, const uint8_t* powers) : Base(work, powers) {}

  // ---- Whole chunks ----------------------------------------------------------------------------

  template <int kN>
  CYGNET_INLINE void Hash(V front, const uint8_t* others, const ChunkPowers<kN>& powers) {
    Sum sum;
    Each<0, kN / kPartVectors>([&](auto part) __attribute__((always_inline)) {
      Each<1, 10>([&](auto r) __attribute__((always_inline)) {
        this->template HashStep<kN, part.value, r.value>(front, others, powers, &sum);
      });
    });
  }

  template <bool kFirst, int kN>
  CYGNET_INLINE void OpenChunk(const ChunkPowers<kN>& powers) {
    Sum sum;
    const V front = this->template LoadText<kFirst>(0);
    const uint8_t* others = this->text_ + Base::template Offset<kFirst>(1);
    this->template Crypt<kFirst, kN>([&](auto part, auto r) __attribute__((always_inline)) {
      this->template HashStep<kN, part.value, r.value>(front, others, powers, &sum);
    });
  }

  // AES of a chunk interleaved with GHASH of the previous chunk.
  CYGNET_INLINE void WholeChunks(size_t count) {
    ChunkPowers<kChunkVectors> powers(this->powers_);
    if constexpr (kSeal) {
      V front = this->template Crypt<true, kChunkVectors>([](auto, auto)
                                                              __attribute__((always_inline)){});
      front = this->SealOthers(count, front, powers);
      if constexpr (S::kLanes == 4) powers.BecomeRow();
      Hash(front, this->text_ - Base::kOthers, powers);
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
    if constexpr (S::kLanes == 4) this->sum_ = S::InLane0(S::XorOfLanes(this->sum_));
  }

  // Half a chunk, for when there are too few consecutive powers for the rest.
  template <bool kFirst>
  CYGNET_INLINE void HalfChunk() {
    constexpr int kHalf = kChunkVectors / 2;
    const ChunkPowers<kHalf> powers(this->powers_);
    if constexpr (kSeal) {
      const V front =
          this->template Crypt<kFirst, kHalf>([](auto, auto) __attribute__((always_inline)){});
      Hash(front, this->text_ - kVectorBytes * (kHalf - 1), powers);
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
    this->template Counters<S::kTailLanes, 0>(x);
    const V last = this->Rounds(x, [](auto) __attribute__((always_inline)){});
    const unsigned lanes = (bytes + 15) / 16;
    V blocks[kN];
    Each<0, kN>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      constexpr bool kLane0 = kFirst && i == 0;
      constexpr unsigned kBegin = kVectorBytes * i;
      if constexpr (i < kN - 2) {
        const V text = this->template LoadText<kFirst>(i);
        const V out = S::AesLast(x[i], S::Xor(text, last));
        if constexpr (kLane0) this->pad_ = S::Lane0(out);
        kLane0 ? S::StoreFirst(this->text_, out)
               : S::Store(this->text_ + Base::template Offset<kFirst>(i), out);
        blocks[i] = kSeal ? out : text;
        if constexpr (kLane0 && kSeal) blocks[i] = S::WithoutLane0(out);
      } else {
        unsigned here = bytes < kBegin ? 0 : bytes - kBegin;
        if (here > kVectorBytes) here = kVectorBytes;
        uint8_t* p = this->text_ + Base::template Offset<kFirst>(i);
        const V text = kLane0 ? S::LoadBytesFirst(p, here - 16) : S::LoadBytes(p, here);
        const V out = S::AesLast(x[i], S::Xor(text, last));
        if constexpr (kLane0) this->pad_ = S::Lane0(out);
        kLane0 ? S::StoreBytesFirst(p, out, here - 16) : S::StoreBytes(p, out, here);
        blocks[i] = kSeal ? S::KeepBytes(out, here) : text;
        if constexpr (kLane0 && kSeal) blocks[i] = S::WithoutLane0(blocks[i]);
      }
      blocks[i] = G::Reversed(blocks[i]);
      if constexpr (i == 0) blocks[i] = S::Xor(blocks[i], this->sum_);
    });
    const bool room = lanes < S::kTailLanes;
    if (room) {
      blocks[kN - 1] =
          S::Xor(blocks[kN - 1], S::InLane(Lengths(*this->work_.job), lanes % S::kLanes));
    }
    HashRow(blocks, lanes + (room ? 1 : 0));
    this->sum_ = S::InLane0(S::XorOfLanes(this->sum_));
    if (!room) LengthsAlone();
  }

  // Multiplies by consecutive powers, with H^1 in lane `lanes` - 1.
  template <int kN>
  CYGNET_INLINE void HashRow(const V (&blocks)[kN], unsigned lanes) {
    const uint8_t* row = G::Row(this->powers_, lanes);
    typename G::Sum sum;
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
    this->sum_ = G::Reduce(sum);
  }

  // If two lanes were in use before, the other one is complete and must not be multiplied: its
  // power is H^0.
  CYGNET_INLINE void LengthsAlone() {
    const V power = S::PowersOneAndZero(LoadBlock(G::Row(this->powers_, 1)), Polynomial());
    const V block = S::Xor(S::InLane0(Lengths(*this->work_.job)), this->sum_);
    this->sum_ = S::InLane0(S::XorOfLanes(G::Product(block, power)));
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
    const size_t row = size_t{this->work_.job->text_length} + 16;
    unsigned rest = static_cast<unsigned>(row % kChunkBytes);
    bool first = row < kChunkBytes;
    if (!first) WholeChunks(row / kChunkBytes);
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
                    _mm_xor_si128(ReverseBlock(S::Lane0(this->sum_)), this->pad_));
    FinishJob<kSeal>(this->work_, icv);
  }
};

}  // namespace
}  // namespace cygnet::vaes_gcm
