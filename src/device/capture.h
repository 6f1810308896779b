// Capture points: copies of the frames that pass the host side or the wire side of a device. Off,
// one relaxed load per burst; on, frames are copied into a bounded queue and what does not fit is
// counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "packet/packet.h"

namespace cygnet {

enum class CaptureSide : uint8_t { kHost, kWire };
enum class CaptureDirection : uint8_t { kInbound, kOutbound };

struct CapturedFrame {
  uint64_t time_ns = 0;  // CLOCK_REALTIME
  CaptureDirection direction = CaptureDirection::kInbound;
  uint32_t original_length = 0;
  std::vector<uint8_t> bytes;
};

// What a reader holds: drained by the control thread.
class CaptureQueue {
 public:
  CaptureQueue(uint32_t snap_length, std::size_t max_bytes, int event_fd)
      : snap_length_(snap_length), max_bytes_(max_bytes), event_fd_(event_fd) {}

  std::deque<CapturedFrame> Drain();
  uint64_t missed() const { return missed_.load(std::memory_order_relaxed); }

 private:
  friend class CapturePoint;
  void Add(const Packet& packet, CaptureDirection direction, uint64_t now_ns);

  const uint32_t snap_length_;
  const std::size_t max_bytes_;
  const int event_fd_;  // written to when the queue becomes non-empty; -1 = none
  std::mutex mutex_;
  std::deque<CapturedFrame> frames_;
  std::size_t bytes_ = 0;
  std::atomic<uint64_t> missed_{0};
};

class CapturePoint {
 public:
  // Data path.
  void Offer(std::span<Packet* const> packets, CaptureDirection direction) {
    if (active_.load(std::memory_order_relaxed) != 0) Copy(packets, direction);
  }

  // Control thread.
  void Attach(std::shared_ptr<CaptureQueue> queue);
  void Detach(const std::shared_ptr<CaptureQueue>& queue);

 private:
  void Copy(std::span<Packet* const> packets, CaptureDirection direction);

  std::atomic<uint32_t> active_{0};
  std::mutex mutex_;
  std::vector<std::shared_ptr<CaptureQueue>> queues_;
};

// The two sides of one device.
struct CapturePoints {
  CapturePoint host;
  CapturePoint wire;
  CapturePoint& at(CaptureSide side) { return side == CaptureSide::kHost ? host : wire; }
};

}  // namespace cygnet
