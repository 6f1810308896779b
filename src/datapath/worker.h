// Worker: one thread that moves the packets of all interfaces, batch by batch, run to completion.
#pragma once

#include <atomic>
#include <thread>

#include "base/random.h"
#include "datapath/inbound_pipeline.h"
#include "datapath/outbound_pipeline.h"
#include "datapath/spin_window.h"
#include "datapath/worker_load.h"

namespace cygnet {

class Worker {
 public:
  // `seed`: start value of identifications and hashes. Tests that compare wire bytes pass their
  // own.
  Worker(DataPath* path, uint32_t number, PacketPools* pools, const EngineSet* engines,
         const Clock* clock, uint64_t seed = RandomWord());
  ~Worker() { Stop(); }

  void Start();
  // Also finishes what paused ports hold (Port::Holds) and what engines have.
  void Stop();
  // Does one turn of the loop and returns the number of packets received. For tests and benchmarks
  // without a thread.
  uint32_t RunOnce() { return Turn(clock_->MonotonicNs()); }
  // Until then the worker takes nothing from wires, or from the host, and frames wait in the queues
  // where they are. What the host had sent before still passes. 0: no longer. Any thread.
  void HoldWires(uint64_t until_ms);
  void HoldHosts(uint64_t until_ms);
  // Monotonic milliseconds of the last turn. A worker does at least one turn a second. Any thread.
  uint64_t last_turn_ms() const { return last_turn_ms_.load(std::memory_order_relaxed); }
  // Any thread. Turns of RunOnce do not count.
  WorkerLoad::Sums load() const { return load_.sums(); }
  // True if packets wait for a look-aside engine.
  bool HasParked() const { return HeldEpoch() != Quiescence::Reader::kNothingHeld; }

 private:
  void Loop();
  uint32_t Turn(uint64_t now_ns);
  uint32_t PollEngines();
  uint32_t TakeInjected();
  uint32_t ReceiveFromWire(std::size_t interface);
  void EmptyDevices();
  uint32_t ReceiveFromTunnels();
  uint32_t ReceiveFromInside();
  uint32_t ReceiveFromHosts();
  void LookAtHolds();
  bool IsHeld(const Port* port, const Interface& interface) const;
  uint64_t HeldEpoch() const;
  int SleepMs() const;
  bool Sleep();

  WorkerContext context_;
  OutboundPipeline outbound_;
  InboundPipeline inbound_;
  const Clock* const clock_;
  std::atomic<bool> stop_{false};
  WorkerLoad load_;
  std::atomic<uint64_t> last_turn_ms_{0};
  std::atomic<uint64_t> hold_wires_ms_{0};
  std::atomic<uint64_t> hold_hosts_ms_{0};
  bool wires_held_ = false;
  bool hosts_wanted_ = false;  // to be held, as soon as their queues were empty once
  bool hosts_held_ = false;
  bool hosts_quiet_ = false;  // the last sleep ended, and the host had sent nothing by then
  static constexpr uint32_t kEmptyTurns = 64;
  SpinWindow spin_;
  uint32_t empty_turns_ = 0;  // consecutive turns that moved nothing although a port was ready
  std::thread thread_;
};

}  // namespace cygnet
