// SequenceCounter: outbound sequence numbers, always 64 bits wide. One atomic step per run of
// packets. Gaps are legal; reuse is not, because the number also makes the nonce.
#pragma once

#include <atomic>
#include <cstdint>

namespace cygnet {

struct SequenceRange {
  uint64_t first = 0;
  uint32_t count = 0;  // less than requested if the counter is exhausted
};

class SequenceCounter {
 public:
  // `last_sent`: the first number handed out is the next one. `limit`: the last usable number
  // (2^32-1 without ESN, RFC 4303 section 3.3.3; 2^64-1 with it).
  SequenceCounter(uint64_t last_sent, uint64_t limit)
      : last_(last_sent), limit_(limit), departed_(last_sent) {}

  // Any worker thread. count == 0: exhausted permanently.
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

  // Control thread: numbers up to `last` count as used. Never moves back.
  void AdvanceTo(uint64_t last) {
    uint64_t now = last_.load(std::memory_order_relaxed);
    while (now < last && !last_.compare_exchange_weak(now, last, std::memory_order_relaxed)) {
    }
    Depart(last);
  }

  // Control thread: gives back the numbers after `used` of a block that ends with `last`, reserved
  // for a device that took none of them. If numbers were reserved since, they stay a gap. REQUIRES:
  // no packet with a number of the block is on its way to a worker's turn (TurnOf).
  void ReturnUnused(uint64_t used, uint64_t last) {
    uint64_t departed = last;
    departed_.compare_exchange_strong(departed, used, std::memory_order_relaxed);
    uint64_t now = last;
    if (!last_.compare_exchange_strong(now, used, std::memory_order_relaxed)) Depart(last);
  }

  // Any worker thread: true if all numbers before `first` have left or never will.
  bool TurnOf(uint64_t first) const {
    return departed_.load(std::memory_order_acquire) + 1 >= first;
  }
  // Numbers up to `last` were passed to the wire or never will be.
  void Depart(uint64_t last) {
    uint64_t now = departed_.load(std::memory_order_relaxed);
    while (now < last && !departed_.compare_exchange_weak(now, last, std::memory_order_release,
                                                          std::memory_order_relaxed)) {
    }
  }

  // Control thread: hands out no more numbers. Returns the last one handed out, where the next
  // counter continues. Both never hand out the same number, whatever workers do meanwhile.
  uint64_t Close() { return last_.exchange(limit_, std::memory_order_relaxed); }

  uint64_t last_sent() const { return last_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> last_;
  const uint64_t limit_;
  std::atomic<uint64_t> departed_;  // order of departure: datapath/departures.h
};

}  // namespace cygnet
