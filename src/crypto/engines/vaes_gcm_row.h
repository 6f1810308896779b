// The end of a row: GHASH of it is computed beside the AES of the next packet. Part of
// vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_key_tables.h"

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
  CYGNET_INLINE bool pending() const { return pairs_ != 0; }

  // Step kStep of kSteps, nine or eighteen; nothing to do if no row is pending.
  template <int kStep, int kSteps>
  CYGNET_INLINE void Step(typename G::Sum* sum) {
    constexpr int kEvery = (kSteps - 1) / kPairs;
    constexpr int kPair = (kStep - 1) / kEvery;
    if constexpr ((kStep - 1) % kEvery == 0) {
      if constexpr (kPair < kPairs) {
        if (kPair < pairs_) Add<kPair>(sum);
      } else if constexpr (kPair == kPairs) {
        if (pending()) hash_ = S::XorOfLanes(G::Reduce(*sum));
      }
    }
  }
  CYGNET_INLINE void AllSteps() {
    typename G::Sum sum;
    Each<1, 10>([&](auto r) __attribute__((always_inline)) { Step<r.value, 9>(&sum); });
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

// The row of the packet processed last, and what its ICV needs.
template <class S, bool kSeal>
class Ending {
  using V = typename S::V;
  using G = Ghash<S>;

 public:
  Ending() = default;
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  CYGNET_INLINE ~Ending() {
    pad_ = _mm_setzero_si128();
    row = Row<S>();
    __asm__ volatile("" : : "r"(this) : "memory");  // the wipe stays
  }

  // A packet ends with `lanes` lanes of the row, in `blocks`, then its length block.
  CYGNET_INLINE void Begin(const Work& work, unsigned lanes, V sum, __m128i pad,
                           const uint8_t* powers_end) {
    work_ = &work;
    pad_ = pad;
    powers_end_ = powers_end;
    lengths_alone_ = lanes == 16;  // for which there are too few powers
    const unsigned all = lanes + (lengths_alone_ ? 0 : 1);
    row.Begin(blocks[0], reinterpret_cast<const uint8_t*>(blocks + 1), sum, G::Row(powers_end, all),
              Row<S>::PairsOf(all));
  }
  // REQUIRES: every step of the row is done.
  CYGNET_INLINE void Finish() {
    if (work_ == nullptr) return;
    __m128i hash = row.End();
    if (__builtin_expect(lengths_alone_, 0)) hash = WithLengths(hash);
    alignas(16) uint8_t icv[16];
    StoreBlock(icv, _mm_xor_si128(ReverseBlock(hash), pad_));
    FinishJob<kSeal>(*work_, icv);
    work_ = nullptr;
  }
  CYGNET_INLINE void FinishAlone() {
    row.AllSteps();
    Finish();
  }

  Row<S> row;
  V blocks[Row<S>::kVectors + 2];

 private:
  __attribute__((noinline)) __m128i WithLengths(__m128i hash) const {
    const V block = S::InLane0(_mm_xor_si128(hash, Lengths(*work_->job)));
    return S::Lane0(G::Product(block, S::InLane0(LoadBlock(G::Row(powers_end_, 1)))));
  }

  const Work* work_ = nullptr;
  const uint8_t* powers_end_ = nullptr;
  bool lengths_alone_ = false;
  __m128i pad_ = _mm_setzero_si128();  // AES(J0)
};

}  // namespace
}  // namespace cygnet::vaes_gcm
