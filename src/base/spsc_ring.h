// Bounded single-producer single-consumer ring. Lock-free; neither side ever waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

#include "base/check.h"
#include "base/ids.h"

namespace cygnet {

template <typename T>
class SpscRing {
 public:
  // REQUIRES: capacity is a power of two.
  explicit SpscRing(std::size_t capacity)
      : mask_(capacity - 1), slots_(std::make_unique<T[]>(capacity)) {
    CYGNET_CHECK(capacity > 0 && (capacity & mask_) == 0);
  }

  // Producer: copies as many of `items` as fit, in order, and returns how many.
  std::size_t Push(std::span<const T> items) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    const std::size_t room = mask_ + 1 - (tail - head_.load(std::memory_order_acquire));
    const std::size_t n = items.size() < room ? items.size() : room;
    for (std::size_t i = 0; i < n; ++i) {
      slots_[(tail + i) & mask_] = items[i];
    }
    // seq_cst: the producer reads its consumer's doorbell after this, and the consumer reads tail_
    // after arming it. One of the two must see the other.
    tail_.store(tail + n, std::memory_order_seq_cst);
    return n;
  }

  // Producer: how many items fit at least; the consumer may make more room meanwhile.
  std::size_t Room() const {
    return mask_ + 1 -
           (tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_acquire));
  }

  // Consumer: moves up to out.size() items out, in order, and returns how many.
  std::size_t Pop(std::span<T> out) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    const std::size_t have = tail_.load(std::memory_order_acquire) - head;
    const std::size_t n = out.size() < have ? out.size() : have;
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = slots_[(head + i) & mask_];
    }
    head_.store(head + n, std::memory_order_release);
    return n;
  }

  bool Empty() const {
    return tail_.load(std::memory_order_seq_cst) == head_.load(std::memory_order_acquire);
  }

 private:
  alignas(kCacheLine) std::atomic<std::size_t> tail_{0};
  alignas(kCacheLine) std::atomic<std::size_t> head_{0};
  alignas(kCacheLine) const std::size_t mask_;
  std::unique_ptr<T[]> slots_;
};

}  // namespace cygnet
