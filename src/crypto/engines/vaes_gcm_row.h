// The end of a row: GHASH of it is computed beside the AES of the next packet. Part of
// vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_borders.h"

namespace cygnet::vaes_gcm {
namespace {

// Up to sixteen lanes that are multiplied by consecutive powers.
template <class S>
class Row {
  using V = typename S::V;
  using G = Ghash<S>;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;

 public:
  static constexpr int kVectors = 16 / S::kLanes;
  static constexpr int kPairs = kVectors / 2;

  // Pairs of vectors that hold `lanes` lanes.
  static CYGNET_INLINE int PairsOf(unsigned lanes) {
    return static_cast<int>((lanes + 2 * S::kLanes - 1) / (2 * S::kLanes));
  }

  // `first`: the first vector; the others of `pairs` pairs follow each other from `others` on.
  // `sum`: added to the first vector. `powers`: of its lanes and the others.
  CYGNET_INLINE void Begin(V first, const uint8_t* others, V sum, const uint8_t* powers,
                           int pairs) {
    first_ = first;
    others_ = others;
    sum_ = sum;
    powers_ = powers;
    pairs_ = pairs;
  }

  // Step kStep of kSteps, nine or eighteen; nothing to do if no row is pending.
  template <int kStep, int kSteps>
  CYGNET_INLINE void Step(typename G::Sum* sum) {
    constexpr int kEvery = (kSteps - 1) / kPairs;
    constexpr int kPair = (kStep - 1) / kEvery;
    if constexpr ((kStep - 1) % kEvery == 0) {
      if constexpr (kPair < kPairs) {
        if (kPair < pairs_) Add<kPair>(sum);
      } else if constexpr (kPair == kPairs) {
        if (pairs_ != 0) hash_ = S::XorOfLanes(G::Reduce(*sum));
      }
    }
  }
  // REQUIRES: every step is done.
  CYGNET_INLINE __m128i End() {
    pairs_ = 0;
    return hash_;
  }

 private:
  template <int kPair>
  CYGNET_INLINE void Add(typename G::Sum* sum) {
    const uint8_t* powers = powers_ + 2 * kVectorBytes * kPair;
    const V power_a = S::Load(powers);
    const V power_b = S::Load(powers + kVectorBytes);
    const auto [a, b] = G::template PairOf<kPair>(first_, others_, sum_);
    const V halves = S::Load(powers + KeyTables<S>::kHalvesFromPower);
    G::AddInLoop(a, b, power_a, power_b, halves, sum);
  }

  int pairs_ = 0;
  const uint8_t* others_ = nullptr;
  const uint8_t* powers_ = nullptr;
  V first_ = S::Zero();
  V sum_ = S::Zero();
  __m128i hash_ = _mm_setzero_si128();
};

// The row of the packet processed last.
template <class S, bool kSeal>
class Ending {
  using V = typename S::V;

 public:
  Ending() = default;
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  CYGNET_INLINE ~Ending() {
    row_ = Row<S>();
    pad_ = _mm_setzero_si128();
    __asm__ volatile("" : : "r"(this) : "memory");  // the wipe stays
  }

  // A packet's text ends with `lanes` lanes, in `blocks`. `pad`: see Borders.
  CYGNET_INLINE void Begin(const Work& work, unsigned lanes, V sum, __m128i pad,
                           const uint8_t* powers_end) {
    work_ = &work;
    pad_ = pad;
    row_.Begin(blocks[0], reinterpret_cast<const uint8_t*>(blocks + 1), sum,
               Ghash<S>::Row(powers_end, lanes + 1), Row<S>::PairsOf(lanes));
  }
  // Step kStep of kSteps, nine or eighteen; nothing to do if there is no packet.
  template <int kStep, int kSteps>
  CYGNET_INLINE void Step(typename Ghash<S>::Sum* sum) {
    row_.template Step<kStep, kSteps>(sum);
    if constexpr (kStep == kSteps) {
      if (work_ == nullptr) return;
      alignas(16) uint8_t icv[16];
      StoreBlock(icv, _mm_xor_si128(ReverseBlock(row_.End()), pad_));
      FinishJob<kSeal>(*work_, icv);
      work_ = nullptr;
    }
  }
  CYGNET_INLINE void AllSteps() {
    typename Ghash<S>::Sum sum;
    Each<1, 10>([&](auto r) __attribute__((always_inline)) { Step<r.value, 9>(&sum); });
  }

  V blocks[Row<S>::kVectors];

 private:
  Row<S> row_;
  const Work* work_ = nullptr;
  __m128i pad_ = _mm_setzero_si128();
};

}  // namespace
}  // namespace cygnet::vaes_gcm
