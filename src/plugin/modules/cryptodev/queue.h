// A queue of the engine: a queue pair of the device, and an operation for each job in flight.
#pragma once

#include <memory>
#include <vector>

#include "plugin/modules/cryptodev/device.h"

namespace cygnet::cryptodev {

class Queue {
 public:
  // nullptr: no queue pair or no memory is left.
  static std::unique_ptr<Queue> Make(Device* device);
  // Waits until the device has returned every operation, at most the patience of the host.
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  uint32_t Submit(cygnet_crypto_job* const* jobs, uint32_t count);
  uint32_t Poll(cygnet_completion* done, uint32_t room);

 private:
  static constexpr uint32_t kBurst = 64;

  // A job that was finished without the device. It completes after the `after`-th operation, so
  // that the jobs of its session keep their order.
  struct Early {
    uint64_t after;
    cygnet_completion completion;
  };

  Queue(Device* device, uint16_t pair) : device_(*device), pair_(pair) {}
  bool TakeMemory();
  // The status of a job that the device need not see; 0: it must.
  static uint32_t StatusWithoutDevice(const cygnet_crypto_job& job);
  void Prepare(rte_crypto_op* op, const cygnet_crypto_job& job);
  void PointToPacket(rte_mbuf* packet, const uint8_t* bytes, uint32_t length);
  void Undo(rte_crypto_op* op);
  cygnet_completion Finish(rte_crypto_op* op);
  uint32_t Enqueue(rte_crypto_op** ops, uint32_t count);
  void Collect();
  void Push(const cygnet_completion& completion) {
    done_[done_tail_++ & (done_.size() - 1)] = completion;
  }
  void PushEarly();

  Device& device_;
  const uint16_t pair_;
  rte_mempool* op_pool_ = nullptr;
  rte_mempool* packet_pool_ = nullptr;
  std::vector<rte_crypto_op*> free_;
  std::vector<Early> early_;             // a ring, as done_
  std::vector<cygnet_completion> done_;  // in the order of completion
  uint32_t early_head_ = 0, early_tail_ = 0;
  uint32_t done_head_ = 0, done_tail_ = 0;
  uint64_t enqueued_ = 0, dequeued_ = 0;
};

}  // namespace cygnet::cryptodev
