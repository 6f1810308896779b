// SaDrops: how many packets an SA has dropped, by reason, in one cache line, which the first
// dropped packet makes. The reasons of XFRM's per-SA statistics are always counted; of the others
// the first kOthers that occur, more than an SA meets in practice. (The workers' DropCounters count
// all reasons of all SAs.)
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/huge_memory.h"
#include "base/ids.h"
#include "base/made_on_use.h"
#include "packet/drop_reason.h"

namespace cygnet {

class SaDrops {
 public:
  // Any thread.
  void Count(DropReason reason, uint32_t n = 1) {
    if (std::atomic<uint32_t>* count = counts_.Get().PlaceOf(reason)) {
      count->fetch_add(n, std::memory_order_relaxed);
    }
  }
  uint64_t Of(DropReason reason) const {
    const Counts* counts = counts_.get();
    return counts != nullptr ? counts->Of(reason) : 0;
  }

 private:
  static constexpr std::array kKnown = {DropReason::kInReplayOld, DropReason::kInReplayZero,
                                        DropReason::kInReplayDuplicate, DropReason::kInAuthFailed,
                                        DropReason::kInLateBeyondWindow};
  static constexpr std::size_t kOthers = 8;

  struct alignas(kCacheLine) Counts : FromSlab<Counts> {
    uint64_t Of(DropReason reason) const {
      for (std::size_t i = 0; i < kKnown.size(); ++i) {
        if (kKnown[i] == reason) return known[i].load(std::memory_order_relaxed);
      }
      for (std::size_t i = 0; i < kOthers; ++i) {
        if (reasons[i].load(std::memory_order_acquire) == reason) {
          return others[i].load(std::memory_order_relaxed);
        }
      }
      return 0;
    }
    // nullptr if there are too many reasons.
    std::atomic<uint32_t>* PlaceOf(DropReason reason) {
      for (std::size_t i = 0; i < kKnown.size(); ++i) {
        if (kKnown[i] == reason) return &known[i];
      }
      for (std::size_t i = 0; i < kOthers; ++i) {
        DropReason there = reasons[i].load(std::memory_order_acquire);
        if (there == DropReason::kNone) {
          if (reasons[i].compare_exchange_strong(there, reason, std::memory_order_acq_rel)) {
            return &others[i];
          }
        }
        if (there == reason) return &others[i];
      }
      return nullptr;
    }

    std::array<std::atomic<uint32_t>, kKnown.size()> known{};
    std::array<std::atomic<uint32_t>, kOthers> others{};
    std::array<std::atomic<DropReason>, kOthers> reasons{};
  };
  static_assert(sizeof(Counts) == kCacheLine);

  MadeOnUse<Counts> counts_;
};

}  // namespace cygnet
