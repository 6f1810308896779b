// InFlight: packets of one worker and direction that wait for a look-aside engine. They come out in
// the order in which they went in, so that an engine that finishes out of order does not reorder a
// flow.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "base/check.h"
#include "base/quiescence.h"
#include "crypto/crypto_job.h"

namespace cygnet {

// Belongs to one thread. `Item`: the pipeline's state of a packet; has a member `held_since`.
template <typename Item>
class InFlight {
 public:
  static constexpr uint32_t kCapacity = 1024;  // power of two

  InFlight() : slots_(std::make_unique<Slot[]>(kCapacity)) {}

  bool empty() const { return head_ == tail_; }
  uint32_t room() const { return kCapacity - (tail_ - head_); }

  // The tag of the n-th future Park() (n from 0).
  uint32_t tag_after(uint32_t n) const { return (tail_ + n) % kCapacity; }
  // REQUIRES: room() > 0. `epoch`: of the current batch (Quiescence::Reader::current). `status`:
  // kOk for a packet that is done and only waits for earlier ones. A packet with several transforms
  // may be parked several times; it keeps the epoch of the first.
  void Park(const Item& item, uint64_t epoch, CryptoStatus status = CryptoStatus::kPending) {
    CYGNET_DCHECK(room() > 0);
    Slot& slot = slots_[tail_++ % kCapacity];
    slot = {item, status};
    if (slot.item.held_since == 0) {
      slot.item.held_since = epoch;
    } else {
      ++again_;
    }
    slot.again = item.held_since != 0;
  }
  void Finish(uint32_t tag, CryptoStatus status) {
    CYGNET_CHECK(tag < kCapacity && slots_[tag].status == CryptoStatus::kPending);
    slots_[tag].status = status;
  }
  // Takes out the oldest packet. False if there is none or its job is not finished.
  bool Pop(Item* item, CryptoStatus* status) {
    if (empty()) return false;
    const Slot& slot = slots_[head_ % kCapacity];
    if (slot.status == CryptoStatus::kPending) return false;
    *item = slot.item;
    *status = slot.status;
    again_ -= slot.again ? 1u : 0u;
    ++head_;
    return true;
  }
  // The earliest epoch among the packets. SAs that a packet refers to must not be freed before it
  // is out.
  uint64_t oldest_epoch() const {
    if (empty()) return Quiescence::Reader::kNothingHeld;
    uint64_t oldest = slots_[head_ % kCapacity].item.held_since;
    if (again_ == 0) return oldest;  // then the front has the earliest epoch
    for (uint32_t i = head_; i != tail_; ++i) {
      oldest = std::min(oldest, slots_[i % kCapacity].item.held_since);
    }
    return oldest;
  }

 private:
  struct Slot {
    Item item;
    CryptoStatus status = CryptoStatus::kPending;
    bool again = false;  // parked before
  };
  std::unique_ptr<Slot[]> slots_;
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
  uint32_t again_ = 0;  // parked items that were parked before
};

}  // namespace cygnet
