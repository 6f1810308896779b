// Policy: an installed policy with its state.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/huge_memory.h"
#include "base/ids.h"
#include "policy/policy.h"

namespace cygnet {

// `spec` never changes; replacing a policy makes a new object (NewPolicy). Fields that look-ups
// read come first, and the template after them.
struct Policy {
  uint64_t number = 0;  // order of installation
  // Policies with the same ask for the same SAs (AskedSas); 0: it was not compared with others.
  uint64_t asks = 0;
  std::atomic<uint64_t> use_time{0};  // last match, wall-clock seconds; 0 = never
  PolicySpec spec;
  uint64_t place = 0;     // order among policies of equal priority: the lowest is checked first
  uint64_t add_time = 0;  // wall-clock seconds
  uint64_t soft_signalled_at = 0;  // control thread

  // Worker: updates the time of last use, which IKE daemons read as their idle clock.
  void Touch(uint64_t now) {
    if (use_time.load(std::memory_order_relaxed) != now) {
      use_time.store(now, std::memory_order_relaxed);
    }
  }
};

// In one block with the counts of the shared pointers, which begins at a cache line.
inline std::shared_ptr<Policy> NewPolicy() {
  return std::allocate_shared<Policy>(SlabAllocator<Policy>());
}
static_assert(sizeof(Policy) + 2 * sizeof(void*) <= 4 * kCacheLine);
static_assert(offsetof(Policy, spec.templates) + 2 * sizeof(void*) == 2 * kCacheLine);

// The order of the policies of one direction and type: the first that matches decides.
inline bool Before(const Policy& a, const Policy& b) {
  if (a.spec.priority != b.spec.priority) return a.spec.priority < b.spec.priority;
  return a.place < b.place;
}

}  // namespace cygnet
