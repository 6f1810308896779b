// Look-aside crypto device made of threads: jobs go in by a bounded ring per queue, the device's
// own threads do them with OpenSSL, results come back later. A stand-in for a QAT-like card that
// really works and fails on command.
//
// An SA belongs to one device thread: its jobs finish in order, those of different SAs in any
// order.
#pragma once

#include <memory>

#include "crypto/crypto_engine.h"

namespace cygnet {

namespace thread_offload {
class Device;
}

class ThreadOffloadEngine final : public CryptoEngine {
 public:
  // EngineOptions: `threads` of the device (1 … kMaxCryptoQueues), `queue_depth` jobs in flight per
  // queue (1 … 65536), `session_limit`.
  explicit ThreadOffloadEngine(const EngineOptions& options);
  // Stops the device; jobs in flight are lost. Queues and sessions may live on and do nothing more.
  ~ThreadOffloadEngine() override;

  std::string_view name() const override { return "thread_offload"; }
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override;
  // Destroy a session only when no job of it is in flight.
  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override;
  // Any thread. Of a queue destroyed with jobs in flight the packets must stay until the engine is
  // gone: a device thread may be at work on them.
  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override;
  // The version names the module inside as well: it does the work.
  ModuleIdentity identity() const override;
  EngineStats stats() const override;

  // --- Faults on command; any thread ---

  // A device that is down takes no jobs and no sessions, and gives back what it holds as kNotDone,
  // untouched. What a thread is at work on when the device goes down still finishes.
  void SetDown(bool down);
  // A stalled device takes jobs as its queues allow and finishes none. Down comes before stalled.
  void Stall(bool stalled);

 private:
  std::shared_ptr<thread_offload::Device> device_;
};

}  // namespace cygnet
