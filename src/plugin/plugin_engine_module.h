// The opened plug-in behind a PluginEngine: shared by the engine, its sessions and its queues, so
// that it closes after the last of them.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "plugin/plugin_engine.h"

namespace cygnet::plugin_engine {

class Module {
 public:
  static Result<std::shared_ptr<Module>> Open(const cygnet_engine* table,
                                              const PluginEngineSettings& settings);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // The functions; those that the plug-in lacks are nullptr.
  const cygnet_engine& calls() const { return calls_; }
  void* engine() const { return engine_; }
  const EngineInfo& info() const { return info_; }
  std::chrono::milliseconds patience() const { return patience_; }
  uint32_t queue_depth() const { return queue_depth_; }
  uint32_t text_bytes() const { return text_bytes_; }
  bool can_wait() const { return calls_.wait_fd != nullptr; }

  // --- Failure; any thread ---
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  // The first reason stays.
  void Fail(const std::string& why);
  std::string failure() const;
  // True once after each ring of the plug-in.
  bool ClaimRing() { return rung_.load(kRelaxed) && rung_.exchange(false, kRelaxed); }
  // Asks the plug-in for its state. False: it is down, or has failed.
  bool IsUp();

  // --- Control; one thread at a time by a mutex ---
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const {
    return does_[Place(cipher, auth)];
  }
  Result<void*> CreateSession(const SessionParams& params);
  void DestroySession(void* session);
  // nullptr: refused.
  void* CreateQueue(uint32_t number);
  void DestroyQueue(void* queue);
  ModuleIdentity identity();
  EngineStats stats();

  void CountTaken(std::size_t n) { in_flight_.fetch_add(static_cast<uint32_t>(n), kRelaxed); }
  void CountReturned(std::size_t n) { in_flight_.fetch_sub(static_cast<uint32_t>(n), kRelaxed); }
  void CountDone(std::size_t done, std::size_t not_done) {
    done_.fetch_add(done, kRelaxed);
    if (not_done != 0) not_done_.fetch_add(not_done, kRelaxed);
  }
  void CountRefused(std::size_t n) { refused_.fetch_add(n, kRelaxed); }

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;

  explicit Module(const PluginEngineSettings& settings);
  Status TakeTable(const cygnet_engine* table);
  Status TakeTexts();
  Status Start(const PluginEngineSettings& settings);
  Status TakeLimits(const EngineOptions& options);
  void FindSuites();
  bool DoesSomeLength(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth);
  Error Refusal(int32_t answer, const cygnet_refusal& refusal) const;
  static std::size_t Place(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) {
    return static_cast<std::size_t>(cipher.id) * (kAlgorithmCount + 1) +
           (auth == nullptr ? kAlgorithmCount : static_cast<std::size_t>(auth->id));
  }

  const std::chrono::milliseconds patience_;
  cygnet_engine calls_{};
  cygnet_host host_{};
  void* engine_ = nullptr;
  std::string name_, help_, version_, vendor_;
  EngineInfo info_{};
  std::array<bool, kAlgorithmCount*(kAlgorithmCount + 1)> does_{};
  uint32_t session_limit_ = 0;  // 0: none
  uint32_t queue_depth_ = 0;
  uint32_t text_bytes_ = 0;

  mutable std::mutex control_;  // serializes control calls; guards sessions_ and queues_
  std::unordered_set<const void*> sessions_;
  std::unordered_set<const void*> queues_;

  mutable std::mutex failure_lock_;  // guards failure_
  std::string failure_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> rung_{false};
  std::atomic<uint64_t> done_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> not_done_{0};
  std::atomic<uint32_t> in_flight_{0};
};

}  // namespace cygnet::plugin_engine
