// IsolatedQueue: the host's end of a queue in a child process. Jobs are copied in, results out.
#pragma once

#include <cygnet/engine.h>

#include <memory>

#include "plugin/isolation/child_process.h"
#include "plugin/isolation/job_slots.h"
#include "plugin/isolation/shared_memory.h"

namespace cygnet::isolation {

class IsolatedQueue {
 public:
  // The error is a negative errno.
  static int32_t Make(ChildProcess* child, uint32_t number, uint32_t depth,
                      std::unique_ptr<IsolatedQueue>* queue);
  ~IsolatedQueue();

  // As the functions of cygnet_engine.
  uint32_t Submit(cygnet_crypto_job* const* jobs, uint32_t count);
  uint32_t Poll(cygnet_completion* done, uint32_t room);
  int32_t wait_fd() const { return bell_.get(); }
  int32_t PrepareWait();
  void FinishWait();

  // Any thread.
  uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

 private:
  IsolatedQueue(ChildProcess* child, SharedMemory memory, const RingLayout& layout, UniqueFd bell);
  uint32_t HandBack(cygnet_completion* done, uint32_t room);
  void WakeChild();

  ChildProcess* const child_;
  const SharedMemory memory_;
  const RingView ring_;
  const UniqueFd bell_;
  uint64_t number_in_child_ = 0;
  JobSlots slots_;
  uint32_t submitted_ = 0;
  uint32_t completed_ = 0;
  uint32_t hand_back_ = 0;  // slots that HandBack has passed
  std::atomic<uint32_t> in_flight_{0};
};

}  // namespace cygnet::isolation
