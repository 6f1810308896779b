// Quiescent-state reclamation. The control thread unlinks an object while workers may still use it
// in their current batch, so its memory is freed only after every worker has been between two
// batches.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/ids.h"

namespace cygnet {

class Quiescence {
 public:
  // One per worker thread. A reader is either offline (holds no pointers; may sleep) or online.
  class Reader {
   public:
    // Call between two batches. Pointers read before are not used after it, except by parked
    // packets: `held` is the epoch that was current when the oldest of them was parked.
    void Quiescent(uint64_t held = kNothingHeld) {
      current_ = domain_->epoch_.load(std::memory_order_seq_cst);
      seen_.store(current_ < held ? current_ : held, std::memory_order_seq_cst);
    }
    // Reader's own thread: the epoch of the current batch.
    uint64_t current() const { return current_; }
    void Online() { Quiescent(); }
    void Offline() { seen_.store(kOffline, std::memory_order_seq_cst); }

    static constexpr uint64_t kNothingHeld = ~uint64_t{0};

   private:
    friend class Quiescence;
    static constexpr uint64_t kOffline = ~uint64_t{0};
    explicit Reader(Quiescence* domain) : domain_(domain) {}
    Quiescence* const domain_;
    uint64_t current_ = 0;
    alignas(kCacheLine) std::atomic<uint64_t> seen_{kOffline};
  };

  ~Quiescence() {
    for (auto& item : retired_) item.second();
  }

  // During set-up only. The reader lives as long as the domain.
  Reader* AddReader() {
    const std::lock_guard lock(mutex_);
    readers_.push_back(std::unique_ptr<Reader>(new Reader(this)));
    return readers_.back().get();
  }

  // Any control thread: runs `free` once no reader can hold what was unlinked before this call.
  void Retire(std::function<void()> free) {
    const std::lock_guard lock(mutex_);
    retired_.emplace_back(kNotYet, std::move(free));
  }

  // Control thread, from its timer: frees what is safe to free and returns how many objects still
  // wait. Waiting begins here, not in Retire: a reader must pass a quiescent point after the whole
  // change, including the bump of the generation, or it could still find the object in its own
  // cache.
  std::size_t Collect() {
    std::vector<std::function<void()>> ready;
    std::size_t waiting = 0;
    {
      const std::lock_guard lock(mutex_);
      const uint64_t epoch = epoch_.fetch_add(1, std::memory_order_seq_cst) + 1;
      for (auto& item : retired_) {
        if (item.first == kNotYet) item.first = epoch;
      }
      uint64_t oldest = ~uint64_t{0};
      for (const auto& reader : readers_) {
        const uint64_t seen = reader->seen_.load(std::memory_order_seq_cst);
        oldest = seen < oldest ? seen : oldest;
      }
      std::size_t kept = 0;
      for (auto& item : retired_) {
        if (item.first <= oldest) {
          ready.push_back(std::move(item.second));
        } else {
          retired_[kept++] = std::move(item);
        }
      }
      retired_.resize(kept);
      waiting = kept;
    }
    for (auto& free : ready) free();
    return waiting;
  }

 private:
  static constexpr uint64_t kNotYet = 0;
  std::atomic<uint64_t> epoch_{1};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::vector<std::pair<uint64_t, std::function<void()>>> retired_;
};

}  // namespace cygnet
