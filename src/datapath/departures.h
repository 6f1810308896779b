// Departures: the runs of sequence numbers of one batch, and in which order they may leave. Workers
// that share an SA reserve numbers one after the other, but may finish in another order; a receiver
// with a replay window of 32 drops packets that are later than that. So a run waits until all
// earlier numbers of its SA have gone to the wire, or will not come: dropped, parked, refused.
//
// Workers reserve and leave in one order, so the oldest run of all never waits: there is no circle.
// A wait is bounded all the same, because the system may not let a worker run.
#pragma once

#include <array>
#include <cstdint>

#include "packet/packet_batch.h"
#include "sa/sequence_counter.h"

namespace cygnet {

// One worker's.
class Departures {
 public:
  static constexpr uint64_t kLongestWaitNs = 250'000'000;

  bool empty() const { return size_ == 0; }
  // A run was reserved (range.count > 0). Returns its number, from 1. `counter` lives until Clear.
  uint8_t Add(SequenceCounter* counter, const SequenceRange& range, uint8_t egress) {
    CYGNET_CHECK(size_ < rows_.size());
    rows_[size_] = {counter, range.first, range.first + range.count - 1, egress, false};
    return ++size_;
  }

  // Then, for each interface: Begin; Reach for each packet of a run, in their order; End. `send`
  // has the wire take what was gathered so far.
  void Begin(uint8_t egress) {
    egress_ = egress;
    next_ = 0;
    left_ = 0;
  }
  // Packets of run `number` come next: waits until it, and the runs before it, may leave.
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
    bool gathered = false;  // it may leave with what is sent next
  };

  bool MayLeave(uint8_t index) const;
  void Leave(uint8_t before);
  static void Wait(const Row& row);

  std::array<Row, kMaxBatch> rows_;
  uint8_t size_ = 0;
  uint8_t egress_ = 0;
  uint8_t next_ = 0;  // not reached yet
  uint8_t left_ = 0;  // those before it have left
};

}  // namespace cygnet
