// Departures: the runs of one batch, and the order in which they may leave. Workers that share an
// SA reserve sequence numbers in order but may finish out of order. A receiver with a replay window
// of 32 drops packets that are more than 32 numbers late. So a run waits until all earlier numbers
// of its SA have gone to the port or will never be sent (dropped, parked or refused).
//
// Workers reserve and leave in the same order, so the oldest run never waits and there is no
// deadlock. Waits are bounded nevertheless, because the scheduler may keep a worker from running.
#pragma once

#include <array>
#include <cstdint>

#include "packet/packet_batch.h"
#include "sa/sequence_counter.h"

namespace cygnet {

// Belongs to one worker.
class Departures {
 public:
  static constexpr uint64_t kLongestWaitNs = 250'000'000;  // in which the waiting worker runs

  bool empty() const { return size_ == 0; }
  // Adds a run that reserved `range`. Returns the run's number, from 1. `counter` must live until
  // Clear. REQUIRES: range.count > 0.
  uint8_t Add(SequenceCounter* counter, const SequenceRange& range, uint8_t egress) {
    CYGNET_CHECK(size_ < rows_.size());
    rows_[size_] = {counter, range.first, range.first + range.count - 1, egress, false};
    return ++size_;
  }

  // Then, for each interface: Begin, Reach for each packet of a run in order, End. `send` transmits
  // the packets gathered so far.
  void Begin(uint8_t egress) {
    egress_ = egress;
    next_ = 0;
    left_ = 0;
  }
  // Call before gathering packets of run `number`. Waits until this run and the runs before it may
  // leave.
  template <typename Fn>
  void Reach(uint8_t number, Fn send) {
    for (; next_ < number; ++next_) {
      Row& row = rows_[next_];
      if (row.egress != egress_) continue;
      if (!MayLeave(next_)) {
        send();
        Leave(next_);
        Wait(row);
      }
      row.gathered = true;
    }
  }
  template <typename Fn>
  void End(Fn send) {
    Reach(size_, send);
    send();
    Leave(size_);
  }
  void Clear() { size_ = 0; }

 private:
  struct Row {
    SequenceCounter* counter = nullptr;
    uint64_t first = 0;
    uint64_t last = 0;
    uint8_t egress = 0;
    bool gathered = false;  // its packets leave with the next send
  };

  bool MayLeave(uint8_t index) const;
  void Leave(uint8_t before);
  static void Wait(const Row& row);

  std::array<Row, kMaxBatch> rows_;
  uint8_t size_ = 0;
  uint8_t egress_ = 0;
  uint8_t next_ = 0;  // the first run not reached yet
  uint8_t left_ = 0;  // runs before this one have left
};

}  // namespace cygnet
