// Worker: one thread that moves packets of all interfaces, run to completion, batch by batch.
#pragma once

#include <atomic>
#include <thread>

#include "base/random.h"
#include "datapath/inbound_pipeline.h"
#include "datapath/outbound_pipeline.h"
#include "datapath/spin_window.h"

namespace cygnet {

class Worker {
 public:
  // `seed`: where identifications and hashes begin. Tests that compare wire bytes give their own.
  Worker(DataPath* path, uint32_t number, PacketPools* pools, const EngineSet* engines,
         const Clock* clock, uint64_t seed = RandomWord());
  ~Worker() { Stop(); }

  void Start();
  void Stop();
  // One turn of the loop; returns packets received. For tests and benchmarks without a thread.
  uint32_t RunOnce();
  // Any thread: monotonic milliseconds of the last turn. A worker turns at least once a second.
  uint64_t last_turn_ms() const { return last_turn_ms_.load(std::memory_order_relaxed); }
  // True while packets wait for a look-aside engine.
  bool HasParked() const { return HeldEpoch() != Quiescence::Reader::kNothingHeld; }

 private:
  void Loop();
  uint32_t PollEngines();
  uint32_t TakeInjected();
  uint64_t HeldEpoch() const;
  int SleepMs() const;
  bool Sleep();

  WorkerContext context_;
  OutboundPipeline outbound_;
  InboundPipeline inbound_;
  const Clock* const clock_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> last_turn_ms_{0};
  static constexpr uint32_t kEmptyTurns = 64;
  SpinWindow spin_;
  uint32_t empty_turns_ = 0;  // in a row that moved nothing although a port had something
  std::thread thread_;
};

}  // namespace cygnet
