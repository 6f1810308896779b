// SimNicReorder: packets that the software NIC passes out of their order (fault `reorder`). Used by
// the NIC's thread.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "device/sim_nic/sim_nic_faults.h"
#include "packet/packet_batch.h"

namespace cygnet {

class SimNicReorder {
 public:
  // Packets that are mixed with each other, so a packet is overtaken by fewer than these.
  static constexpr std::size_t kMixed = 16;

  // Takes all packets of the batch: those for which the fault is due wait until kMixed do, or until
  // it is no longer due.
  void Take(FaultWay way, PacketBatch* batch, PendingFaults* faults) {
    for (Packet* packet : batch->packets()) {
      if (faults->NextReorders(way)) {
        waiting_.push_back(packet);
        if (waiting_.size() == kMixed) Mix(faults);
      } else {
        Mix(faults);
        ready_.push_back(packet);
      }
    }
    batch->ReleaseAll();
  }
  // Ends the waiting.
  void Mix(PendingFaults* faults) {
    for (std::size_t left = waiting_.size(); left > 0; --left) {
      std::swap(waiting_[faults->Throw(left)], waiting_[left - 1]);
      ready_.push_back(waiting_[left - 1]);
    }
    waiting_.clear();
  }
  // Fills the batch with packets that wait no longer. False: there is none.
  bool Give(PacketBatch* batch) {
    for (; !ready_.empty() && !batch->full(); ready_.pop_front()) batch->Push(ready_.front());
    return !batch->empty();
  }
  bool empty() const { return waiting_.empty() && ready_.empty(); }

 private:
  std::vector<Packet*> waiting_;
  std::deque<Packet*> ready_;
};

}  // namespace cygnet
