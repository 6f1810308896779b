// JobSlots: the slots of an isolated engine's queue on the host's side. Each slot that the child
// has stands for one job of the host, whose bytes are not touched before the job has come back
// well.
#pragma once

#include <memory>
#include <vector>

#include "plugin/isolation/engine_ring.h"

namespace cygnet::isolation {

// What a job needs to know of its session.
struct IsolatedSession {
  uint64_t child;  // the plug-in's pointer; never followed here
  uint32_t icv_bytes;
  bool seal;
  bool pair;
};

class JobSlots {
 public:
  explicit JobSlots(const RingView& ring);

  uint32_t depth() const { return ring_.layout().depth; }
  bool full() const { return free_.empty(); }
  // False: the job is longer than a slot.
  static bool Fits(const cygnet_crypto_job& job);
  // Copies the job in. Returns its slot. REQUIRES: Fits, not full.
  uint32_t Give(cygnet_crypto_job* job);
  // The job that the child completed, with its result; the slot is free. nullptr: the completion is
  // not one of a job that the child has.
  cygnet_crypto_job* TakeBack(const Completion& completion);
  // Takes a job back unseen, as after a failure. nullptr: the slot has none. REQUIRES: slot <
  // depth.
  cygnet_crypto_job* Recover(uint32_t slot);

 private:
  struct Slot {
    cygnet_crypto_job* job = nullptr;  // nullptr: the slot is free
    uint32_t generation = 0;
  };
  void CopyOut(const cygnet_crypto_job& job, uint32_t slot);

  const RingView ring_;
  const std::unique_ptr<Slot[]> slots_;
  std::vector<uint32_t> free_;  // the last is the next, whose memory is warm
};

}  // namespace cygnet::isolation
