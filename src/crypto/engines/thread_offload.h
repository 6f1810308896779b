// Look-aside crypto device made of threads. Jobs go in through a bounded ring per queue, the
// device's own threads do them with OpenSSL, and results come back later. It stands in for a
// QAT-like card: it really works, and it fails on command.
//
// An SA belongs to one device thread. Jobs of one SA finish in order; jobs of different SAs finish
// in any order.
#pragma once

#include <memory>

#include "crypto/crypto_engine.h"

namespace cygnet {

namespace thread_offload {
class Device;
}

class ThreadOffloadEngine final : public CryptoEngine {
 public:
  // Uses these EngineOptions: `threads` of the device (1 … kMaxCryptoQueues), `queue_depth` jobs in
  // flight per queue (1 … 65536), `session_limit`.
  explicit ThreadOffloadEngine(const EngineOptions& options);
  // Stops the device; jobs in flight are lost. Queues and sessions may outlive it but do nothing.
  ~ThreadOffloadEngine() override;

  std::string_view name() const override { return "thread_offload"; }
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override;
  // REQUIRES: a session has no job in flight when it is destroyed.
  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override;
  // Any thread. If a queue is destroyed with jobs in flight, their packets must stay until the
  // engine is gone: a device thread may be working on them.
  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override;
  // The version also names the inner module, because it does the work.
  ModuleIdentity identity() const override;
  EngineStats stats() const override;

  // --- Faults on command; any thread ---

  // A device that is down accepts no jobs and no sessions, and returns the jobs it holds as
  // kNotDone, untouched. A job that a thread is working on still finishes.
  void SetDown(bool down);
  // A stalled device accepts jobs until its queues are full and finishes none. Down overrides
  // stalled.
  void Stall(bool stalled);

 private:
  std::shared_ptr<thread_offload::Device> device_;
};

}  // namespace cygnet
