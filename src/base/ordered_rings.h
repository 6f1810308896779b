// OrderedRings: several producers, each with a ring of its own, and one consumer, which gets the
// items in the order in which they were pushed. Of two pushes, one of which returned before the
// other began, the items of the first come first. Lock-free; no side ever waits.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/spsc_ring.h"

namespace cygnet {

template <typename T>
class OrderedRings {
 public:
  // `capacity`: of each ring. REQUIRES: it is a power of two.
  OrderedRings(uint32_t producers, std::size_t capacity) {
    for (uint32_t i = 0; i < producers; ++i) lanes_.push_back(std::make_unique<Lane>(i, capacity));
  }

  // Producer: copies as many of `items` as fit, in order, and returns how many.
  std::size_t Push(uint32_t producer, std::span<const T> items) {
    Lane& lane = *lanes_[producer];
    const std::size_t n = lane.items.Push(items);
    if (n == 0) return 0;
    // Relaxed: a producer that knows that this push has returned gets a later turn.
    const Burst burst{turn_.fetch_add(1, std::memory_order_relaxed), n};
    CYGNET_CHECK(lane.bursts.Push({&burst, 1}) == 1);  // each has an item in the other ring
    return n;
  }

  // Consumer: moves the next items out, all of one producer and at most out.size(). Returns how
  // many, and whose they are if there are any.
  std::size_t Pop(std::span<T> out, uint32_t* producer) {
    std::size_t n = 0;
    while (n < out.size()) {
      Lane* next = Next();
      if (next == nullptr || (n > 0 && next->number != *producer)) break;
      *producer = next->number;
      const std::size_t popped =
          next->items.Pop(out.subspan(n, std::min(out.size() - n, next->burst.left)));
      next->burst.left -= popped;
      n += popped;
    }
    return n;
  }

  // Consumer.
  bool Empty() const {
    return std::all_of(lanes_.begin(), lanes_.end(), [](const auto& lane) {
      return lane->burst.left == 0 && lane->bursts.Empty();
    });
  }

 private:
  // The items of one push.
  struct Burst {
    uint64_t turn = 0;
    std::size_t left = 0;
  };
  struct Lane {
    Lane(uint32_t n, std::size_t capacity) : number(n), items(capacity), bursts(capacity) {}
    const uint32_t number;
    SpscRing<T> items;
    SpscRing<Burst> bursts;
    Burst burst;  // the consumer's: the oldest of the lane; empty: not taken from the ring yet
  };

  // Takes the oldest burst of each lane. A push may become visible after its lane was looked at,
  // and a later push of another lane before that is. So all are looked at until none has more.
  void TakeBursts() {
    for (bool found = true; found;) {
      found = false;
      for (const auto& lane : lanes_) {
        if (lane->burst.left == 0 && lane->bursts.Pop({&lane->burst, 1}) == 1) found = true;
      }
    }
  }
  // The lane whose turn it is; nullptr: there is nothing.
  Lane* Next() {
    TakeBursts();
    Lane* next = nullptr;
    for (const auto& lane : lanes_) {
      if (lane->burst.left == 0) continue;
      if (next == nullptr || lane->burst.turn < next->burst.turn) next = lane.get();
    }
    return next;
  }

  std::vector<std::unique_ptr<Lane>> lanes_;
  alignas(kCacheLine) std::atomic<uint64_t> turn_{0};
};

}  // namespace cygnet
