// InFlight: packets of one worker and direction that wait for a look-aside engine. They come out in
// the order they went in, so that no flow is reordered by an engine that finishes out of order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/check.h"
#include "base/quiescence.h"
#include "crypto/crypto_job.h"

namespace cygnet {

// One thread's. `Item`: what the pipeline must remember of a packet.
template <typename Item>
class InFlight {
 public:
  static constexpr uint32_t kCapacity = 1024;  // power of two

  InFlight() : slots_(std::make_unique<Slot[]>(kCapacity)) {}

  bool empty() const { return head_ == tail_; }
  uint32_t room() const { return kCapacity - (tail_ - head_); }

  // The place that the n-th Park from now will use (n from 0).
  uint32_t tag_after(uint32_t n) const { return (tail_ + n) % kCapacity; }
  // REQUIRES: room() > 0. `epoch`: of the batch at hand (Quiescence::Reader::current).
  // `status`: kOk for a packet that is done and only waits for its turn.
  void Park(const Item& item, uint64_t epoch, CryptoStatus status = CryptoStatus::kPending) {
    CYGNET_DCHECK(room() > 0);
    slots_[tail_++ % kCapacity] = {item, epoch, status};
  }
  void Finish(uint32_t tag, CryptoStatus status) {
    CYGNET_CHECK(tag < kCapacity && slots_[tag].status == CryptoStatus::kPending);
    slots_[tag].status = status;
  }
  // The oldest packet, once its job is finished.
  bool Pop(Item* item, CryptoStatus* status) {
    if (empty()) return false;
    const Slot& slot = slots_[head_ % kCapacity];
    if (slot.status == CryptoStatus::kPending) return false;
    *item = slot.item;
    *status = slot.status;
    ++head_;
    return true;
  }
  // Epoch of the oldest packet: what it names must not be freed before it is out.
  uint64_t oldest_epoch() const {
    return empty() ? Quiescence::Reader::kNothingHeld : slots_[head_ % kCapacity].epoch;
  }

 private:
  struct Slot {
    Item item;
    uint64_t epoch = 0;
    CryptoStatus status = CryptoStatus::kPending;
  };
  std::unique_ptr<Slot[]> slots_;
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
};

}  // namespace cygnet
