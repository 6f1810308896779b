// LatenessHistogram: how far behind the newest packet of an SA other packets arrived. It tells an
// operator which replay window the path needs.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/made_on_use.h"

namespace cygnet {

// Bucket 0: lateness 0; bucket k: 2^(k-1) … 2^k - 1; last bucket: 65,536 and more.
inline constexpr std::size_t kLatenessBuckets = 18;

// Bucket of a packet whose number is `late` below the highest authenticated one.
inline std::size_t LatenessBucket(uint64_t late) {
  const auto bucket = static_cast<std::size_t>(std::bit_width(late));
  return bucket < kLatenessBuckets ? bucket : kLatenessBuckets - 1;
}

// A snapshot: packets by lateness. `rejected` is not trustworthy: those packets were not
// authenticated, and anyone who can send to the host can raise it.
struct LatenessHistogram {
  std::array<uint64_t, kLatenessBuckets> accepted{};
  std::array<uint64_t, kLatenessBuckets> rejected{};

  // The smallest power of two that would have sufficed as a window for every late packet seen: 1 if
  // none was late; 2^17, more than any window can have, if one was later than 65,535.
  uint32_t WindowForAll() const {
    std::size_t k = kLatenessBuckets - 1;
    while (k > 0 && accepted[k] == 0 && rejected[k] == 0) --k;
    return uint32_t{1} << k;
  }
  bool operator==(const LatenessHistogram&) const = default;
};

// The live counts, which saturate at 2^32 - 1; the first late packet makes them. One writer at a
// time (ensured by the replay window's lock); any thread may read.
class LatenessCounts {
 public:
  void Accepted(uint64_t late) { Increment(&counts_.Get().accepted[LatenessBucket(late)]); }
  void Rejected(uint64_t late) { Increment(&counts_.Get().rejected[LatenessBucket(late)]); }

  LatenessHistogram Read() const {
    LatenessHistogram out;
    const Counts* counts = counts_.get();
    if (counts == nullptr) return out;
    for (std::size_t k = 0; k < kLatenessBuckets; ++k) {
      out.accepted[k] = counts->accepted[k].load(std::memory_order_relaxed);
      out.rejected[k] = counts->rejected[k].load(std::memory_order_relaxed);
    }
    return out;
  }

 private:
  static void Increment(std::atomic<uint32_t>* count) {
    const uint32_t now = count->load(std::memory_order_relaxed);
    if (now != ~uint32_t{0}) count->store(now + 1, std::memory_order_relaxed);
  }

  struct Counts {
    std::array<std::atomic<uint32_t>, kLatenessBuckets> accepted{};
    std::array<std::atomic<uint32_t>, kLatenessBuckets> rejected{};
  };
  MadeOnUse<Counts> counts_;
};

}  // namespace cygnet
