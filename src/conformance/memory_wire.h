// MemoryWire: a wire without an interface. What is fed arrives, what is sent is kept.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <vector>

#include "base/doorbell.h"
#include "device/port.h"

namespace cygnet::conformance {

using Bytes = std::vector<uint8_t>;

class MemoryWire final : public Port {
 public:
  explicit MemoryWire(uint32_t queues) : arriving_(queues), bells_(queues) {}

  // Any thread.
  void Feed(uint32_t queue, Bytes frame);
  std::vector<Bytes> TakeSent();
  uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }
  // From now on sent frames are counted and not kept.
  void Discard() { discard_.store(true); }

  std::string_view name() const override { return "memory"; }
  MacAddress mac() const override { return {2, 0, 0, 0, 0, 1}; }
  uint32_t mtu() const override { return 9000; }
  uint32_t queues() const override { return static_cast<uint32_t>(arriving_.size()); }
  PortStats stats() const override { return {}; }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override { return bells_[queue].fd(); }
  bool PrepareWait(uint32_t queue) override;
  void FinishWait(uint32_t queue) override { bells_[queue].Disarm(); }

 private:
  std::mutex mutex_;
  std::vector<std::deque<Bytes>> arriving_;
  std::deque<Doorbell> bells_;
  std::vector<Bytes> kept_;
  std::atomic<uint64_t> sent_{0};
  std::atomic<bool> discard_{false};
};

}  // namespace cygnet::conformance
