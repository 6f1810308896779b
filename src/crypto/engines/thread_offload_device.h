// Internals of the look-aside device: its threads and the state shared with queues and sessions.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/doorbell.h"
#include "base/spsc_ring.h"
#include "crypto/crypto_engine.h"

namespace cygnet::thread_offload {

// State that one queue shares with every device thread. The rings hold all jobs that may be in
// flight, so neither side ever waits for room.
struct Channel {
  struct Lane {
    explicit Lane(std::size_t capacity) : requests(capacity), done(capacity) {}
    SpscRing<CryptoJob> requests;  // queue → device thread
    SpscRing<CryptoJob> done;      // device thread → queue
  };

  Channel(uint32_t threads, uint32_t depth);

  std::vector<std::unique_ptr<Lane>> lanes;  // one per device thread
  Doorbell bell;                             // the queue's owner sleeps on it
};

class Device {
 public:
  // `inner` does the cryptography.
  Device(const EngineOptions& options, std::unique_ptr<CryptoEngine> inner);
  ~Device() { Stop(); }

  uint32_t threads() const { return static_cast<uint32_t>(threads_.size()); }
  uint32_t depth() const { return depth_; }
  CryptoEngine* inner() const { return inner_.get(); }
  bool down() const { return down_.load(std::memory_order_seq_cst); }

  void Start();
  // Idempotent. Must not be called from a device thread.
  void Stop();
  void SetDown(bool down);
  void Stall(bool stalled);

  void Attach(std::shared_ptr<Channel> channel);
  void Detach(const Channel* channel);
  void WakeThread(uint32_t thread) { threads_[thread]->bell.Ring(); }

  // The device thread for a new session. Errors: Errc::kNetworkDown, Errc::kNoSpace.
  Result<uint32_t> TakeSession();
  void GiveSession() { sessions_.fetch_sub(1, std::memory_order_relaxed); }

  void CountTaken(std::size_t n) { in_flight_.fetch_add(static_cast<uint32_t>(n), kRelaxed); }
  void CountReturned(std::size_t n) { in_flight_.fetch_sub(static_cast<uint32_t>(n), kRelaxed); }
  void CountRefused(std::size_t n) { refused_.fetch_add(n, kRelaxed); }
  EngineStats stats() const;

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;
  static constexpr std::size_t kRun = 32;  // jobs per visit to a queue

  struct Thread {
    Doorbell bell;
    std::thread thread;
  };
  using Channels = std::vector<std::shared_ptr<Channel>>;

  void Loop(uint32_t number);
  bool Serve(uint32_t number, Channel* channel, CryptoQueue* queue);
  void Work(std::span<CryptoJob> jobs, CryptoQueue* queue);
  bool HasWork(uint32_t number, const Channels& channels, uint64_t generation) const;
  void Sleep(uint32_t number, const Channels& channels, uint64_t generation);
  void WakeAll();

  const uint32_t depth_;
  const uint32_t session_limit_;
  const std::unique_ptr<CryptoEngine> inner_;
  std::vector<std::unique_ptr<Thread>> threads_;

  std::mutex mutex_;  // guards channels_; device threads take it only after generation_ changed
  Channels channels_;
  std::atomic<uint64_t> generation_{0};

  std::atomic<bool> stop_{false};
  std::atomic<bool> down_{false};
  std::atomic<bool> stalled_{false};

  std::atomic<uint32_t> next_thread_{0};
  std::atomic<uint32_t> sessions_{0};
  std::atomic<uint32_t> in_flight_{0};
  std::atomic<uint64_t> finished_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> not_done_{0};
};

class Session final : public CryptoSession {
 public:
  Session(std::shared_ptr<Device> device, std::unique_ptr<CryptoSession> inner, uint32_t thread)
      : device_(std::move(device)), inner_(std::move(inner)), thread_(thread) {}
  ~Session() override { device_->GiveSession(); }

  CryptoSession* inner() const { return inner_.get(); }
  uint32_t thread() const { return thread_; }

 private:
  const std::shared_ptr<Device> device_;
  const std::unique_ptr<CryptoSession> inner_;
  const uint32_t thread_;
};

}  // namespace cygnet::thread_offload
