// FlowQueues: by which queue of its interface the host sends a flow. The kernel moves a flow to the
// queue by which the opposite direction was written last, and back when nothing was written for a
// few seconds. Packets in the two queues may then overtake each other. So the opposite direction is
// written to the queue by which the flow comes already. Any thread; without locks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/check.h"

namespace cygnet {

class FlowQueues {
 public:
  // REQUIRES: `places`, of 8 bytes each, is a power of two.
  explicit FlowQueues(std::size_t places) : entries_(places) {
    CYGNET_CHECK(places > 0 && (places & (places - 1)) == 0);
  }

  // The host has sent a packet of the flow by `queue`. A place in the table belongs to one flow
  // until it was silent for a while: two flows that took it from each other would change queues all
  // the time. `hash`: of the flow; `now`: monotonic seconds.
  void Note(uint64_t hash, uint32_t queue, uint64_t now) {
    std::atomic<uint64_t>& entry = entries_[hash & (entries_.size() - 1)];
    const uint64_t old = entry.load(std::memory_order_relaxed);
    const uint64_t fresh = (hash & kTag) | (now & kTime) << kTimeShift | (queue + 1u);
    const bool others = ((old ^ fresh) & kTag) != 0 && (old & kQueue) != 0;
    if (old == fresh || (others && ((now - (old >> kTimeShift)) & kTime) < kSilence)) return;
    entry.store(fresh, std::memory_order_relaxed);
  }
  std::optional<uint32_t> Find(uint64_t hash) const {
    const uint64_t entry = entries_[hash & (entries_.size() - 1)].load(std::memory_order_relaxed);
    if ((entry & kQueue) == 0 || ((entry ^ hash) & kTag) != 0) return std::nullopt;
    return static_cast<uint32_t>(entry & kQueue) - 1;
  }

  static constexpr uint64_t kSilence = 10;  // seconds; more than the kernel's 3

 private:
  static constexpr uint64_t kQueue = 0xff;  // number + 1; 0: the place is free
  static constexpr int kTimeShift = 8;
  static constexpr uint64_t kTime = 0xffff;
  static constexpr uint64_t kTag = ~uint64_t{0xff'ffff};  // of the hash; the rest is in the place

  std::vector<std::atomic<uint64_t>> entries_;
};

}  // namespace cygnet
