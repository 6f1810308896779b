// Short packets of several keys or lengths, in groups of as many as a vector has lanes. Eight
// rows of AES keep the units busy where one packet would stall on its own results, and one
// reduction serves all packets, one lane each. GHASH of a group is interleaved with the AES rounds
// of the next. Part of vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_powers.h"

namespace cygnet::vaes_gcm {
namespace {

template <class S, bool kSeal>
class Group {
  using V = typename S::V;
  using G = Ghash<S>;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr int kVectors = 8 / S::kLanes;  // per packet: a row of up to eight blocks

 public:
  explicit CYGNET_INLINE Group(const GcmKey& any) {
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      rows_[g.value] = any.powers;
      pads_[g.value] = _mm_setzero_si128();
      Each<0, kVectors>([&](auto i) __attribute__((always_inline)) {
        blocks_[g.value][i.value] = S::Zero();
      });
    });
  }

  static constexpr unsigned kPackets = S::kLanes;

  // Whether the next packets form a group.
  static CYGNET_INLINE bool Takes(const Work* works, size_t count) {
    if (count < kPackets) return false;
    unsigned unfit = 0;
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      const unsigned length = works[g.value].job->text_length;
      unfit |= (length > kMaxText) | (length % 4) |
               static_cast<unsigned>(works[g.value].key->rounds ^ works[0].key->rounds);
    });
    return unfit == 0;
  }

  // REQUIRES: Takes returned true. Also finishes the previous group.
  CYGNET_INLINE void Run(const Work* works) {
    // If there is no previous group, zeros are hashed: a branch would cost more than this first
    // time.
    alignas(64) uint8_t icvs[kVectorBytes];
    V low[kPackets];
    V middle[kPackets];
    V high[kPackets];
    Crypt(
        works, [&](auto r)
                   __attribute__((always_inline)) { HashStep<r.value>(low, middle, high, icvs); });
    if (works_ != nullptr) WriteIcvs(works_, icvs);
    works_ = works;
  }

  // Finishes the last group.
  CYGNET_INLINE void Finish() {
    if (works_ == nullptr) return;
    alignas(64) uint8_t icvs[kVectorBytes];
    V low[kPackets];
    V middle[kPackets];
    V high[kPackets];
    Each<1, 10>([&](auto r)
                    __attribute__((always_inline)) { HashStep<r.value>(low, middle, high, icvs); });
    WriteIcvs(works_, icvs);
    works_ = nullptr;
  }

 private:
  // Offset of vector i in the text; lane 0 of the row is not text.
  static constexpr unsigned Offset(int i) {
    return i == 0 ? 0 : kVectorBytes * static_cast<unsigned>(i) - 16;
  }

  template <class F>
  CYGNET_INLINE void Crypt(const Work* works, F between) {
    V x[kPackets][kVectors];
    Each<0, kPackets>([&](auto g)
                          __attribute__((always_inline)) { Counters(works[g.value], x[g.value]); });
    const auto round = [&](unsigned r) __attribute__((always_inline)) {
      Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
        const V k = S::Repeat(LoadBlock(RoundKeys(*works[g.value].key) + 16 * r));
        Each<0, kVectors>([&](auto i) __attribute__((always_inline)) {
          x[g.value][i.value] = S::Aes(x[g.value][i.value], k);
        });
      });
    };
    Each<1, 10>([&](auto r) __attribute__((always_inline)) {
      round(r.value);
      between(r);
    });
    const unsigned rounds = works[0].key->rounds;
    RoundsOfLongerKeys(rounds, round);
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      const V last = S::Repeat(LoadBlock(RoundKeys(*works[g.value].key) + 16 * rounds));
      Prepare<g.value>(works[g.value], x[g.value], last);
    });
  }

  static CYGNET_INLINE void Counters(const Work& work, V (&x)[kVectors]) {
    const V base = S::Repeat(_mm_xor_si128(Nonce(*work.job), LoadBlock(RoundKeys(*work.key))));
    Each<0, kVectors>([&](auto i) __attribute__((always_inline)) {
      x[i.value] = S::Xor(base, S::template CountersFrom<1 + i.value * S::kLanes, 256>());
    });
  }

  // The last AES round, the text, and the blocks for GHASH.
  template <int kG>
  CYGNET_INLINE void Prepare(const Work& work, const V (&x)[kVectors], V last) {
    const CryptoJob& job = *work.job;
    const unsigned bytes = job.text_length + 16;
    const unsigned lanes = (bytes + 15) / 16;
    rows_[kG] = G::Row(G::EndOf(*work.key), lanes + 1);
    const __m128i aad = Aad<S>(work);
    const V lengths = S::Repeat(Lengths(job));
    Each<0, kVectors>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = index.value;
      V block = S::Zero();
      if (bytes >= kVectorBytes * (i + 1)) {  // full; most vectors are, and this is less work
        const V text = i == 0 ? S::LoadFirst(job.text) : S::Load(job.text + Offset(i));
        const V out = S::AesLast(x[i], S::Xor(text, last));
        block = kSeal ? out : text;
        if constexpr (i == 0) {
          pads_[kG] = S::Lane0(out);
          S::StoreFirst(job.text, out);
          if constexpr (kSeal) block = S::WithoutLane0(block);
        } else {
          S::Store(job.text + Offset(i), out);
        }
      } else if (i == 0 || bytes > kVectorBytes * i) {
        const unsigned here = bytes - kVectorBytes * i;
        const V text = i == 0 ? S::LoadBytesFirst(job.text, here - 16)
                              : S::LoadBytes(job.text + Offset(i), here);
        const V out = S::AesLast(x[i], S::Xor(text, last));
        block = kSeal ? S::KeepBytes(out, here) : text;
        if constexpr (i == 0) {
          pads_[kG] = S::Lane0(out);
          S::StoreBytesFirst(job.text, out, here - 16);
          if constexpr (kSeal) block = S::WithoutLane0(block);
        } else {
          S::StoreBytes(job.text + Offset(i), out, here);
        }
      }
      block = S::Xor(G::Reversed(block), S::OnlyLane(lengths, lanes, i));
      if constexpr (i == 0) block = S::Xor(block, S::InLane0(aad));
      blocks_[kG][i] = block;
    });
  }

  // GHASH step kR of nine.
  template <int kR>
  CYGNET_INLINE void HashStep(V (&low)[kPackets], V (&middle)[kPackets], V (&high)[kPackets],
                              uint8_t* icvs) {
    constexpr int kPairs = kVectors / 2;  // pairs of vectors in a packet
    if constexpr (kR <= 4) {
      constexpr int kG = (kR - 1) / kPairs;
      constexpr int kPair = (kR - 1) % kPairs;
      const uint8_t* row = rows_[kG] + 2 * kVectorBytes * kPair;
      typename G::Sum sum;
      if constexpr (kPair != 0) sum = {low[kG], middle[kG], high[kG]};
      const V a = S::Load(row);
      const V b = S::Load(row + kVectorBytes);
      G::Add(blocks_[kG][2 * kPair], blocks_[kG][2 * kPair + 1], a, b, G::Halves(a, b), &sum);
      low[kG] = sum.low;
      middle[kG] = sum.middle;
      high[kG] = sum.high;
    }
    if constexpr (kR == 6) {
      typename G::Sum sum;
      sum.low = S::XorOfLanesOf(low);
      sum.middle = S::XorOfLanesOf(middle);
      sum.high = S::XorOfLanesOf(high);
      const V icv = S::Xor(G::Reversed(G::Reduce(sum)), S::FromLanes(pads_));
      S::Store(icvs, icv);
    }
  }

  static CYGNET_INLINE void WriteIcvs(const Work* works, const uint8_t* icvs) {
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      FinishJob<kSeal>(works[g.value], icvs + 16 * g.value);
    });
  }

  // The group whose GHASH is pending; nullptr: none.
  const Work* works_ = nullptr;
  V blocks_[kPackets][kVectors];  // reversed
  __m128i pads_[kPackets];        // AES(J0)
  const uint8_t* rows_[kPackets];
};

}  // namespace
}  // namespace cygnet::vaes_gcm
