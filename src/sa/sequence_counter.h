// SequenceCounter: outbound sequence numbers, 64 bits wide whatever the SA sends of them. One
// atomic step per run of packets. Gaps are legal, reuse is not: the number also makes the nonce.
#pragma once

#include <atomic>
#include <cstdint>

namespace cygnet {

struct SequenceRange {
  uint64_t first = 0;
  uint32_t count = 0;  // may be less than asked for: the rest are exhausted
};

class SequenceCounter {
 public:
  // `last_sent`: the first number handed out is one more. `limit`: the last that may be used
  // (2^32-1 without ESN, RFC 4303 section 3.3.3; 2^64-1 with it).
  SequenceCounter(uint64_t last_sent, uint64_t limit)
      : last_(last_sent), limit_(limit), departed_(last_sent) {}

  // Any worker thread. count == 0: exhausted for good.
  SequenceRange Reserve(uint32_t n) {
    uint64_t last = last_.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t left = limit_ > last ? limit_ - last : 0;
      const uint32_t count = left < n ? static_cast<uint32_t>(left) : n;
      if (count == 0) return {};
      if (last_.compare_exchange_weak(last, last + count, std::memory_order_relaxed)) {
        return {last + 1, count};
      }
    }
  }

  // Control thread: numbers up to `last` count as used. Never goes back.
  void AdvanceTo(uint64_t last) {
    uint64_t now = last_.load(std::memory_order_relaxed);
    while (now < last && !last_.compare_exchange_weak(now, last, std::memory_order_relaxed)) {
    }
    Depart(last);
  }

  // Any worker thread: all numbers before `first` have left, or never will.
  bool TurnOf(uint64_t first) const {
    return departed_.load(std::memory_order_acquire) + 1 >= first;
  }
  // Numbers up to `last` were handed to the wire, or never will be.
  void Depart(uint64_t last) {
    uint64_t now = departed_.load(std::memory_order_relaxed);
    while (now < last && !departed_.compare_exchange_weak(now, last, std::memory_order_release,
                                                          std::memory_order_relaxed)) {
    }
  }

  // Control thread: nothing more is handed out. Returns the last number that was, for the counter
  // that goes on from there: no number comes from both, whatever workers do meanwhile.
  uint64_t Close() { return last_.exchange(limit_, std::memory_order_relaxed); }

  uint64_t last_sent() const { return last_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> last_;
  const uint64_t limit_;
  std::atomic<uint64_t> departed_;  // the order of departure: datapath/departures.h
};

}  // namespace cygnet
