// SequenceCounter: outbound sequence numbers, always 64 bits wide. One atomic step per run of
// packets. Gaps are legal; reuse is not, because the number also makes the nonce.
//
// Where numbers outlive the process (control/numbers), the control thread allows them block by
// block, and the edge is the end of the last one. Otherwise the edge is the SA's own limit.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "sa/number_block.h"

namespace cygnet {

struct SequenceRange {
  uint64_t first = 0;
  uint32_t count = 0;  // less than requested at the edge
  bool low = false;    // ask for the next block; true once for each block
};

class SequenceCounter {
 public:
  // `last_sent`: the first number handed out is the next one. `limit`: the last usable number
  // (2^32-1 without ESN, RFC 4303 section 3.3.3; 2^64-1 with it).
  SequenceCounter(uint64_t last_sent, uint64_t limit)
      : last_(last_sent), edge_(limit), limit_(limit), departed_(last_sent) {}

  // Any worker thread. Fewer than `n`: see exhausted().
  SequenceRange Reserve(uint32_t n) {
    uint64_t last = last_.load(std::memory_order_relaxed);
    for (;;) {
      // Acquire: who sees the edge of a block sees the step over the gap before it, too (Allow).
      const uint64_t edge = edge_.load(std::memory_order_acquire);
      const uint64_t left = edge > last ? edge - last : 0;
      const uint32_t count = left < n ? static_cast<uint32_t>(left) : n;
      if (count == 0) return {.low = n != 0 && TakeLow(last)};
      if (last_.compare_exchange_weak(last, last + count, std::memory_order_relaxed)) {
        return {last + 1, count, TakeLow(last + count)};
      }
    }
  }
  // Any thread: true if no number comes any more; false: the next block does.
  bool exhausted() const { return edge() >= limit_ || last_sent() >= limit_; }

  // Control thread: from here on only blocks that Allow gives. REQUIRES: no worker uses it yet.
  void RequireBlocks() {
    edge_.store(last_sent(), std::memory_order_relaxed);
    low_.store(kNever, std::memory_order_relaxed);
  }
  // Control thread: the numbers of `block` may be used, too. Numbers between the edge and the block
  // are skipped, with what is left before the edge. Reserve tells that numbers are low once it has
  // passed `low`. REQUIRES: all of the block is above the edge, and nobody else has got it.
  void Allow(const NumberBlock& block, uint64_t low) {
    if (block.first != edge() + 1) AdvanceTo(block.first - 1);
    edge_.store(std::min(block.last, limit_), std::memory_order_release);
    low_.store(low, std::memory_order_relaxed);
  }
  // Control thread: workers get no more numbers until the next Allow. Returns the last one handed
  // out: exact, whatever workers do meanwhile. The rest of the block counts as used here, and may
  // be given to somebody else. The first try tells that numbers are low.
  uint64_t Pause() {
    const uint64_t rest = edge();
    uint64_t used = last_sent();
    while (used < rest && !last_.compare_exchange_weak(used, rest, std::memory_order_relaxed)) {
    }
    Depart(rest);
    low_.store(0, std::memory_order_relaxed);
    return used;
  }
  // Control thread: ends RequireBlocks.
  void AllowAll() {
    low_.store(kNever, std::memory_order_relaxed);
    edge_.store(limit_, std::memory_order_release);
  }
  // The last number that is allowed.
  uint64_t edge() const { return edge_.load(std::memory_order_relaxed); }
  uint64_t limit() const { return limit_; }

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
  static constexpr uint64_t kNever = ~uint64_t{0};

  bool TakeLow(uint64_t last) {
    return last >= low_.load(std::memory_order_relaxed) &&
           low_.exchange(kNever, std::memory_order_relaxed) != kNever;
  }

  std::atomic<uint64_t> last_;
  std::atomic<uint64_t> edge_;  // never above limit_
  std::atomic<uint64_t> low_{kNever};
  const uint64_t limit_;
  std::atomic<uint64_t> departed_;  // order of departure: datapath/departures.h
};

}  // namespace cygnet
