// SaDrops: how many packets an SA has dropped, by reason, in one cache line. The reasons of XFRM's
// per-SA statistics are always counted; of the others the first kOthers that occur, more than an SA
// meets in practice. (The workers' DropCounters count all reasons of all SAs.)
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "packet/drop_reason.h"

namespace cygnet {

class SaDrops {
 public:
  // Any thread.
  void Count(DropReason reason, uint32_t n = 1) {
    if (std::atomic<uint32_t>* count = PlaceOf(reason)) {
      count->fetch_add(n, std::memory_order_relaxed);
    }
  }
  uint64_t Of(DropReason reason) const {
    for (std::size_t i = 0; i < kKnown.size(); ++i) {
      if (kKnown[i] == reason) return known_[i].load(std::memory_order_relaxed);
    }
    for (std::size_t i = 0; i < kOthers; ++i) {
      if (reasons_[i].load(std::memory_order_acquire) == reason) {
        return others_[i].load(std::memory_order_relaxed);
      }
    }
    return 0;
  }

 private:
  static constexpr std::array kKnown = {DropReason::kInReplayOld, DropReason::kInReplayZero,
                                        DropReason::kInReplayDuplicate, DropReason::kInAuthFailed,
                                        DropReason::kInLateBeyondWindow};
  static constexpr std::size_t kOthers = 8;

  // nullptr if there are too many reasons.
  std::atomic<uint32_t>* PlaceOf(DropReason reason) {
    for (std::size_t i = 0; i < kKnown.size(); ++i) {
      if (kKnown[i] == reason) return &known_[i];
    }
    for (std::size_t i = 0; i < kOthers; ++i) {
      DropReason there = reasons_[i].load(std::memory_order_acquire);
      if (there == DropReason::kNone) {
        if (reasons_[i].compare_exchange_strong(there, reason, std::memory_order_acq_rel)) {
          return &others_[i];
        }
      }
      if (there == reason) return &others_[i];
    }
    return nullptr;
  }

  std::array<std::atomic<uint32_t>, kKnown.size()> known_{};
  std::array<std::atomic<uint32_t>, kOthers> others_{};
  std::array<std::atomic<DropReason>, kOthers> reasons_{};
};
static_assert(sizeof(SaDrops) <= 64);

}  // namespace cygnet
