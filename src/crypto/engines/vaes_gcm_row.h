// The end of a sealed packet: GHASH of it is computed beside the AES of the next packet. Part of
// vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_borders.h"

namespace cygnet::vaes_gcm {
namespace {

// `sum`: GHASH, in all lanes together. `pad`: AES(J0).
template <class S, bool kSeal>
CYGNET_INLINE void FinishPacket(const Work& work, const typename Ghash<S>::Sum& sum, __m128i pad) {
  alignas(16) uint8_t icv[16];
  const __m128i hash = S::XorOfLanes(Ghash<S>::Reduce(sum));
  StoreBlock(icv, _mm_xor_si128(ReverseBlock(hash), pad));
  FinishJob<kSeal>(work, icv);
}

// Up to sixteen lanes of the packet sealed last, which are multiplied by consecutive powers.
template <class S>
class Ending {
  using V = typename S::V;
  using G = Ghash<S>;
  static constexpr unsigned kVectorBytes = 16 * S::kLanes;
  static constexpr int kVectors = 16 / S::kLanes;
  static constexpr int kPairs = kVectors / 2;

 public:
  Ending() = default;
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  CYGNET_INLINE ~Ending() {
    for (V& block : blocks) block = S::Zero();
    spread_ = S::Zero();
    sum_ = {};
    pad_ = _mm_setzero_si128();
    __asm__ volatile("" : : "r"(this) : "memory");  // the wipe stays
  }

  // A packet's text ends with `lanes` lanes, in `blocks`. `spread`: added to the first vector.
  // `sum`: added to the products. `pad`: AES(J0).
  CYGNET_INLINE void Begin(const Work& work, unsigned lanes, V spread, const typename G::Sum& sum,
                           __m128i pad, const uint8_t* powers_end) {
    work_ = &work;
    pairs_ = static_cast<int>((lanes + 2 * S::kLanes - 1) / (2 * S::kLanes));
    spread_ = spread;
    sum_ = sum;
    powers_ = G::Row(powers_end, lanes + 1);
    pad_ = pad;
  }
  // Step kStep of kSteps, nine or eighteen; nothing to do if there is no packet. `sum` is kept from
  // step to step.
  template <int kStep, int kSteps>
  CYGNET_INLINE void Step(typename G::Sum* sum) {
    constexpr int kEvery = (kSteps - 1) / kPairs;
    constexpr int kPair = (kStep - 1) / kEvery;
    if constexpr (kStep == 1) *sum = sum_;
    if constexpr ((kStep - 1) % kEvery == 0 && kPair < kPairs) {
      if (kPair < pairs_) Add<kPair>(sum);
    }
    if constexpr (kStep == kSteps) {
      if (work_ == nullptr) return;
      FinishPacket<S, true>(*work_, *sum, pad_);
      work_ = nullptr;
      pairs_ = 0;
    }
  }
  CYGNET_INLINE void AllSteps() {
    typename G::Sum sum;
    Each<1, 10>([&](auto r) __attribute__((always_inline)) { Step<r.value, 9>(&sum); });
  }

  V blocks[kVectors];

 private:
  template <int kPair>
  CYGNET_INLINE void Add(typename G::Sum* sum) {
    const uint8_t* powers = powers_ + 2 * kVectorBytes * kPair;
    V first = G::Reversed(blocks[2 * kPair]);
    if constexpr (kPair == 0) first = S::Xor(first, spread_);
    G::AddInLoop(first, G::Reversed(blocks[2 * kPair + 1]), S::Load(powers),
                 S::Load(powers + kVectorBytes), S::Load(powers + KeyTables<S>::kHalvesFromPower),
                 sum);
  }

  const Work* work_ = nullptr;
  int pairs_ = 0;
  const uint8_t* powers_ = nullptr;
  V spread_ = S::Zero();
  typename G::Sum sum_;
  __m128i pad_ = _mm_setzero_si128();
};

}  // namespace
}  // namespace cygnet::vaes_gcm
