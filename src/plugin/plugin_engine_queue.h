// A queue of a plug-in. It keeps each job at a place of its own until the completion, and checks
// every completion against the jobs that are in flight.
#pragma once

#include <memory>
#include <vector>

#include "plugin/plugin_engine_module.h"

namespace cygnet::plugin_engine {

class Session final : public CryptoSession {
 public:
  Session(std::shared_ptr<Module> module, void* handle)
      : module_(std::move(module)), handle_(handle) {}
  ~Session() override { module_->DestroySession(handle_); }

  void* handle() const { return handle_; }

 private:
  const std::shared_ptr<Module> module_;
  void* const handle_;
};

class Queue final : public CryptoQueue {
 public:
  Queue(std::shared_ptr<Module> module, uint32_t number);
  ~Queue() override;

  std::size_t Submit(std::span<CryptoJob> jobs) override;
  std::size_t Poll(std::span<CryptoJob> done) override;
  int wait_fd() const override;
  bool PrepareWait() override;
  void FinishWait() override;

 private:
  static constexpr std::size_t kBurst = 64;
  // A job that is in flight at more looks than this, a quarter of the patience apart, is lost.
  static constexpr uint8_t kLooks = 4;

  struct Slot {
    cygnet_crypto_job job{};
    CryptoSession* session = nullptr;
    uint32_t generation = 0;  // a cookie of an earlier job in this slot is not valid
    uint32_t tag = 0;
    uint16_t index = 0;
    bool in_flight = false;
    uint8_t looks = 0;
  };

  uint32_t Burst(std::span<CryptoJob> jobs);
  void Fill(uint32_t place, const CryptoJob& job);
  // False: the completion breaks the contract.
  bool Accept(const cygnet_completion& completion, CryptoJob* done);
  void Return(Slot* slot, CryptoStatus status, CryptoJob* done);
  bool SomeJobIsLost();
  void Check(std::size_t completed, std::size_t room);
  void Break(const std::string& why);
  void Close();
  std::size_t HandBack(std::span<CryptoJob> done);

  const std::shared_ptr<Module> module_;
  const cygnet_engine& calls_;
  const uint32_t depth_;
  const std::unique_ptr<Slot[]> slots_;
  std::vector<uint32_t> free_;  // slots without a job; the last is the next
  void* queue_;                 // nullptr: refused, or destroyed after a failure
  uint32_t hand_back_ = 0;      // slots that HandBack has passed
  uint64_t next_look_ns_ = 0;
};

}  // namespace cygnet::plugin_engine
