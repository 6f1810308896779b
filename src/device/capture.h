// Capture points: copies of the frames that pass the host side or the wire side of a device.
// Switched off, a point costs one relaxed load per batch. Switched on, frames are copied into a
// bounded queue, and those that do not fit are counted. Frames that the seal guard stops are kept
// even without a reader.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "packet/drop_reason.h"
#include "packet/packet.h"

namespace cygnet {

enum class CaptureSide : uint8_t { kHost, kWire, kGuard };
enum class CaptureDirection : uint8_t { kInbound, kOutbound };

struct CapturedFrame {
  uint64_t time_ns = 0;  // CLOCK_REALTIME
  CaptureDirection direction = CaptureDirection::kInbound;
  uint32_t original_length = 0;
  DropReason reason = DropReason::kNone;  // why it was dropped; kNone: it passed
  std::vector<uint8_t> bytes;
};

// A reader's queue, drained by the control thread.
class CaptureQueue {
 public:
  CaptureQueue(uint32_t snap_length, std::size_t max_bytes, int event_fd)
      : snap_length_(snap_length), max_bytes_(max_bytes), event_fd_(event_fd) {}

  std::deque<CapturedFrame> Drain();
  uint64_t missed() const { return missed_.load(std::memory_order_relaxed); }

 private:
  friend class CapturePoint;
  // One captured frame. `bytes` are stored of it.
  struct Seen {
    uint64_t time_ns;
    CaptureDirection direction;
    uint32_t original_length;
    DropReason reason;
    std::span<const uint8_t> bytes;
  };
  void Add(const Seen& seen);

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
  static constexpr uint32_t kKeptBytes = 256;  // stored of each kept frame

  // `keep`: the number of last frames of OfferStopped that are kept for later readers.
  CapturePoint() = default;
  explicit CapturePoint(uint32_t keep) : kept_(keep) {}
  // Wipes the kept frames: they may be plaintext.
  ~CapturePoint();

  // Data path.
  void Offer(std::span<Packet* const> packets, CaptureDirection direction) {
    if (active_.load(std::memory_order_relaxed) != 0) Copy(packets, direction);
  }
  // For a frame that is dropped on its way out. Rare: takes a lock even without a reader.
  void OfferStopped(const Packet& packet, DropReason reason);

  // Control thread. The reader first gets the kept frames; they also stay for the next reader.
  void Attach(std::shared_ptr<CaptureQueue> queue);
  void Detach(const std::shared_ptr<CaptureQueue>& queue);

 private:
  struct Kept {
    uint64_t time_ns = 0;
    uint32_t original_length = 0;
    uint32_t length = 0;
    DropReason reason = DropReason::kNone;
    std::array<uint8_t, kKeptBytes> bytes{};
  };
  void Copy(std::span<Packet* const> packets, CaptureDirection direction);
  void Keep(const Packet& packet, DropReason reason, uint64_t now_ns);

  std::atomic<uint32_t> active_{0};
  std::mutex mutex_;
  std::vector<Kept> kept_;  // a ring
  uint64_t stopped_ = 0;    // frames offered to it
  std::vector<std::shared_ptr<CaptureQueue>> queues_;
};

// The two sides of one device, and the frames that the seal guard of its wire stopped.
struct CapturePoints {
  static constexpr uint32_t kKeptFrames = 64;
  CapturePoint host;
  CapturePoint wire;
  CapturePoint guard{kKeptFrames};
  CapturePoint& at(CaptureSide side) {
    return side == CaptureSide::kHost ? host : side == CaptureSide::kWire ? wire : guard;
  }
};

}  // namespace cygnet
