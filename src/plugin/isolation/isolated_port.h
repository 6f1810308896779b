// IsolatedPort: the frames of a driver in a child process. Workers give and take the frames of
// their queues; a thread of its own, the pump, does for the child what a driver in this process
// does by the host's services.
#pragma once

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "plugin/isolation/child_process.h"
#include "plugin/isolation/frame_slots.h"

namespace cygnet::isolation {

class IsolatedPort {
 public:
  // `services`: valid until this ends.
  static Result<std::unique_ptr<IsolatedPort>> Make(ChildProcess* child,
                                                    const cygnet_driver_host* services,
                                                    const DriverShape& shape);
  // The child must have ended its threads, or be dead. Gives all packets back.
  ~IsolatedPort();

  // Memory and bells for the child, in the order of SetUpPort.
  std::vector<int> ChildFds() const;
  // The child has them: closes the host's copies.
  void CloseChildEnds() { child_ends_.clear(); }
  // The child's threads of the queues run.
  void StartWatch();
  // They may end now.
  void EndWatch();

  // As the functions of cygnet_driver; worker of `queue`.
  uint32_t TxBurst(uint32_t queue, cygnet_packet* const* packets, uint32_t n);
  uint32_t RxBurst(uint32_t queue, cygnet_packet** packets, uint32_t room);
  // -1 when all is over: the bell of a dead child would ring forever.
  int wait_fd(uint32_t queue) const {
    return IsOver(queues_[queue]) ? -1 : queues_[queue].bell.get();
  }
  int32_t PrepareWait(uint32_t queue);
  void FinishWait(uint32_t queue);
  // The child has failed, and the worker of the queue has got all packets back.
  bool IsOver(uint32_t queue) const { return IsOver(queues_[queue]); }

  // Ends the pump, so that another port can use the wire.
  void EndPump();

 private:
  // What one worker uses.
  struct Queue {
    UniqueFd bell;
    RingEnd down, up;
    uint32_t recovered = 0;  // slots that were looked at after a failure
    // Packets that never went to the child, to be handed back.
    std::array<cygnet_packet*, CYGNET_BURST> returned{};
    uint32_t returned_count = 0;
  };
  struct Wire {
    UniqueFd bell;
    RingEnd ring;
  };

  IsolatedPort(ChildProcess* child, const cygnet_driver_host* services, SharedMemory memory,
               const DriverShape& shape);
  Status MakeBells();
  bool IsOver(const Queue& queue) const {
    return child_->failed() && queue.returned_count == 0 && queue.recovered == rings_.shape().slots;
  }
  bool KeepBack(Queue* queue, cygnet_packet* packet);
  uint32_t HandBack(Queue* queue, uint32_t number, cygnet_packet** packets, uint32_t room);
  void Breach(const FrameSlots::Returned& back);
  void Drop(cygnet_packet* packet, const char* reason);

  // The pump.
  void Pump();
  bool TakeOut();
  void TakeOne(const RingEntry& entry);
  void FlushSends();
  bool FillWire(uint32_t wire);
  bool FillStock();
  void RecoverRest();
  void SleepPump();

  ChildProcess* const child_;
  const cygnet_driver_host* const services_;
  void* const context_;
  const SharedMemory memory_;
  const DriverMemory rings_;
  FrameSlots slots_;
  std::vector<Queue> queues_;
  std::vector<Wire> wires_;
  std::vector<UniqueFd> child_ends_;

  // Used by the pump.
  UniqueFd bell_;
  UniqueFd stop_;
  RingEnd out_, stock_;
  std::array<cygnet_packet*, CYGNET_BURST> sends_{};
  uint32_t send_count_ = 0;
  uint32_t send_wire_ = 0;
  uint32_t recovered_ = 0;
  std::atomic<bool> ending_{false};
  std::thread pump_;
};

}  // namespace cygnet::isolation
