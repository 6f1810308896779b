// ItemBatch: the packets of one batch with a pipeline's state of each. ForEachRun and ResumeParked:
// the loops that both pipelines share.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "datapath/in_flight.h"
#include "datapath/worker_context.h"
#include "packet/packet_batch.h"

namespace cygnet {

// `Item`: OutboundItem or InboundItem.
template <typename Item>
class ItemBatch {
 public:
  bool empty() const { return size_ == 0; }
  bool full() const { return size_ == kMaxBatch; }
  uint32_t size() const { return size_; }
  std::span<Item> all() { return {items_.data(), size_}; }

  // Returns a free place. Commit() adds its item to the batch; without Commit(), the next Claim()
  // returns the same place. REQUIRES: !full().
  Item* Claim() {
    CYGNET_DCHECK(!full());
    return &items_[size_];
  }
  void Commit() { ++size_; }

  // Removes the items without a packet (parked elsewhere). The others keep their order.
  void Compact() {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < size_; ++i) {
      if (items_[i].packet == nullptr) continue;
      if (kept != i) items_[kept] = items_[i];
      ++kept;
    }
    size_ = kept;
  }
  void Clear() { size_ = 0; }

 private:
  uint32_t size_ = 0;
  std::array<Item, kMaxBatch> items_;
};

// Splits `items` into runs: consecutive items with the same key(&item). Calls fn(index of the first
// item, run) for each run. `key` may change its item.
template <typename Item, typename Key, typename Fn>
void ForEachRun(std::span<Item> items, Key key, Fn fn) {
  std::size_t end = 0;
  for (std::size_t begin = 0; begin < items.size(); begin = end) {
    const auto of_run = key(&items[begin]);
    end = begin + 1;
    while (end < items.size() && key(&items[end]) == of_run) ++end;
    fn(static_cast<uint16_t>(begin), items.subspan(begin, end - begin));
  }
}

// Continues with the packets that look-aside engines have finished, in the order in which they were
// parked, batch by batch. Returns their number. `tag` and `to_cpu`: as for WorkerContext::RunJobs.
// `complete()` does the steps after the cryptography and empties the batch. REQUIRES:
// items->empty().
template <typename Item, typename ToCpu, typename Complete>
uint32_t ResumeParked(WorkerContext* ctx, InFlight<Item>* flight, ItemBatch<Item>* items,
                      uint32_t tag, ToCpu to_cpu, Complete complete) {
  uint32_t resumed = 0;
  while (!flight->empty()) {
    ctx->ClearJobs();
    CryptoStatus status;
    while (!items->full() && flight->Pop(items->Claim(), &status)) {
      Item* item = items->Claim();
      if (status == CryptoStatus::kNotDone) {
        to_cpu(*item, static_cast<uint16_t>(items->size()), &ctx->jobs);
      } else {
        CompleteJob(status, item);
      }
      items->Commit();
    }
    if (items->empty()) break;
    resumed += items->size();
    ctx->RunJobs(items->all(), flight, tag, to_cpu);
    complete();
  }
  return resumed;
}

}  // namespace cygnet
