// Short packets of one key and one length, as many as a vector has lanes: packet g is lane g, and
// vector i has block i of each. No lane is idle, the ends of all packets are at the same place, and
// nothing must be added up across lanes. GHASH of a group is interleaved with the AES rounds of the
// next. Part of vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_powers.h"

namespace cygnet::vaes_gcm {
namespace {

// Controls of a byte shuffle. Reading from offset 16 + n moves bytes n places to the front, from
// 16 - n to the back; zeros follow.
alignas(16) constexpr uint8_t kSlide[48] = {
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
    0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,  15,
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128};

template <class S, bool kSeal>
class Columns {
  using V = typename S::V;
  using G = Ghash<S>;
  // The blocks of GHASH end at the same place whatever the length: AAD, text, lengths. So each
  // place has its power.
  static constexpr int kPlaces = 8;
  static constexpr int kPairs = kPlaces / 2;

 public:
  static constexpr unsigned kPackets = S::kLanes;

  Columns() = default;
  Columns(const Columns&) = delete;
  Columns& operator=(const Columns&) = delete;
  CYGNET_INLINE ~Columns() {
    if (key_ == nullptr) return;
    pads_ = S::Zero();
    Each<0, kPairs>([&](auto pair) __attribute__((always_inline)) {
      halves_[pair.value] = _mm_setzero_si128();
    });
    __asm__ volatile("" : : "r"(this) : "memory");  // the wipe stays
  }

  // Whether the next packets form a group.
  static CYGNET_INLINE bool Takes(const Work* works, size_t count) {
    if (count < kPackets) return false;
    const CryptoJob& first = *works[0].job;
    if (first.text_length - 16 > kMaxText - 16 || first.aad_length > 16) return false;
    bool differ = false;
    Each<1, kPackets>([&](auto g) __attribute__((always_inline)) {
      const CryptoJob& job = *works[g.value].job;
      differ |= (works[g.value].key != works[0].key) | (job.text_length != first.text_length) |
                (job.aad_length != first.aad_length);
    });
    return !differ;
  }

  // REQUIRES: Takes returned true. Also finishes the previous group.
  CYGNET_INLINE void Run(const Work* works) {
    if (works->key != key_) {
      Finish();
      Use(*works->key);
    }
    switch ((works->job->text_length + 15) / 16) {
      case 1:
        return RunBlocks<1>(works);
      case 2:
        return RunBlocks<2>(works);
      case 3:
        return RunBlocks<3>(works);
      case 4:
        return RunBlocks<4>(works);
      case 5:
        return RunBlocks<5>(works);
      default:
        return RunBlocks<6>(works);
    }
  }

  // Finishes the last group.
  CYGNET_INLINE void Finish() {
    if (works_ == nullptr) return;
    alignas(64) uint8_t icvs[16 * kPackets];
    typename G::Sum sum;
    Each<1, 10>([&](auto r) __attribute__((always_inline)) { HashStep<r.value>(&sum, icvs); });
    WriteIcvs(icvs);
    works_ = nullptr;
  }

 private:
  // Halves for Karatsuba of each pair of powers.
  CYGNET_INLINE void Use(const GcmKey& key) {
    key_ = &key;
    Each<0, kPairs>([&](auto pair) __attribute__((always_inline)) {
      const __m128i a = LoadBlock(key.powers + 32 * pair.value);
      const __m128i b = LoadBlock(key.powers + 32 * pair.value + 16);
      halves_[pair.value] = _mm_xor_si128(_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b));
    });
  }

  // kN: blocks of text.
  template <int kN>
  __attribute__((noinline)) void RunBlocks(const Work* works) {
    alignas(64) uint8_t icvs[16 * kPackets];
    typename G::Sum sum;
    V x[kN + 1];
    Counters(works, x);
    const uint8_t* round_keys = RoundKeys(*key_);
    const auto round = [&](unsigned r) __attribute__((always_inline)) {
      const V k = S::Repeat(LoadBlock(round_keys + 16 * r));
      Each<0, kN + 1>([&](auto i)
                          __attribute__((always_inline)) { x[i.value] = S::Aes(x[i.value], k); });
    };
    Each<1, 10>([&](auto r) __attribute__((always_inline)) {
      round(r.value);
      HashStep<r.value>(&sum, icvs);
    });
    const unsigned rounds = key_->rounds;
    RoundsOfLongerKeys(rounds, round);
    if (works_ != nullptr) WriteIcvs(icvs);
    works_ = works;
    Text(x, S::Repeat(LoadBlock(round_keys + 16 * rounds)));
  }

  // J0 and the counters of kN blocks, with the first round key.
  template <int kVectors>
  CYGNET_INLINE void Counters(const Work* works, V (&x)[kVectors]) {
    const uint8_t* nonces[kPackets];
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      nonces[g.value] = reinterpret_cast<const uint8_t*>(&works[g.value].job->nonce);
    });
    const V without_counter = S::Repeat(LoadBlock(kFirstBytes + 32 - 12));
    const V base = S::Xor(S::And(S::LoadEach(nonces, 0), without_counter),
                          S::Repeat(LoadBlock(RoundKeys(*key_))));
    Each<0, kVectors>([&](auto i) __attribute__((always_inline)) {
      x[i.value] = S::Xor(base, S::Repeat(_mm_set_epi32((1 + i.value) << 24, 0, 0, 0)));
    });
  }

  // The last AES round, the text, and the blocks for GHASH.
  template <int kVectors>
  CYGNET_INLINE void Text(const V (&x)[kVectors], V last) {
    constexpr int kN = kVectors - 1;
    const unsigned length = works_->job->text_length;
    const unsigned rest = length - 16 * (kN - 1);  // bytes of the last block
    uint8_t* texts[kPackets];
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      texts[g.value] = works_[g.value].job->text;
    });
    // The last block is read, and written, as the last sixteen bytes of the text.
    const V end = S::Shuffle(S::LoadEach(texts, length - 16), Slide(32 - rest));
    pads_ = S::AesLast(x[0], last);
    V out = S::Zero();
    Each<0, kN - 1>([&](auto i) __attribute__((always_inline)) {
      const V text = S::LoadEach(texts, 16 * i.value);
      out = S::AesLast(x[i.value + 1], S::Xor(text, last));
      S::StoreEach(texts, 16 * i.value, out);
      blocks_[kPlaces - 1 - kN + i.value] = G::Reversed(kSeal ? out : text);
    });
    const V out_end = S::AesLast(x[kN], S::Xor(end, last));
    S::StoreEach(texts, length - 16,
                 S::Xor(S::Shuffle(out, Slide(16 + rest)), S::Shuffle(out_end, Slide(rest))));
    const V block_end = kSeal ? S::And(out_end, FirstBytes(rest)) : end;
    blocks_[kPlaces - 2] = G::Reversed(block_end);
    blocks_[kPlaces - 1] = S::Repeat(Lengths(*works_->job));
    AadBlocks<kPlaces - 2 - kN>();
  }

  static CYGNET_INLINE V Slide(unsigned from) { return S::Repeat(LoadBlock(kSlide + from)); }
  static CYGNET_INLINE V FirstBytes(unsigned bytes) {
    return S::Repeat(LoadBlock(kFirstBytes + 32 - bytes));
  }

  template <int kPlace>
  CYGNET_INLINE void AadBlocks() {
    const uint8_t* aads[kPackets];
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      aads[g.value] = reinterpret_cast<const uint8_t*>(&works_[g.value].job->aad);
    });
    blocks_[kPlace] =
        G::Reversed(S::And(S::LoadEach(aads, 0), FirstBytes(works_->job->aad_length)));
    if constexpr (kPlace % 2 == 1) blocks_[kPlace - 1] = S::Zero();
    first_pair_ = kPlace / 2;
  }

  // GHASH step kR of nine.
  template <int kR>
  CYGNET_INLINE void HashStep(typename G::Sum* sum, uint8_t* icvs) {
    if constexpr (kR <= kPairs) {
      constexpr int kPair = kR - 1;
      if (kPair >= first_pair_) {
        const uint8_t* powers = key_->powers + 32 * kPair;
        G::Add(blocks_[2 * kPair], blocks_[2 * kPair + 1], S::Repeat(LoadBlock(powers)),
               S::Repeat(LoadBlock(powers + 16)), S::Repeat(halves_[kPair]), sum);
      }
    }
    if constexpr (kR == kPairs + 2) S::Store(icvs, S::Xor(G::Reversed(G::Reduce(*sum)), pads_));
  }

  CYGNET_INLINE void WriteIcvs(const uint8_t* icvs) {
    Each<0, kPackets>([&](auto g) __attribute__((always_inline)) {
      FinishJob<kSeal>(works_[g.value], icvs + 16 * g.value);
    });
  }

  const GcmKey* key_ = nullptr;
  // The group whose GHASH is pending; nullptr: none.
  const Work* works_ = nullptr;
  int first_pair_ = kPairs;  // the pairs of places before are empty
  V blocks_[kPlaces];        // reversed
  V pads_ = S::Zero();       // AES(J0)
  __m128i halves_[kPairs];
};

}  // namespace
}  // namespace cygnet::vaes_gcm
