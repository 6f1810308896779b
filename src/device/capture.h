// Capture points: copies of the frames that pass the host side or the wire side of a device. Off,
// one relaxed load per batch; on, frames are copied into a bounded queue and what does not fit is
// counted. What the guard at the wire stops is kept even when nobody looks.
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
  DropReason reason = DropReason::kNone;  // why it went no further; kNone: it passed
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
  // A frame of which `bytes` were kept.
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
  static constexpr uint32_t kKeptBytes = 256;  // of each frame that is kept

  // `keep`: how many of the last frames of OfferStopped are kept for readers that come later.
  CapturePoint() = default;
  explicit CapturePoint(uint32_t keep) : kept_(keep) {}
  // What was kept may be plaintext: wiped.
  ~CapturePoint();

  // Data path.
  void Offer(std::span<Packet* const> packets, CaptureDirection direction) {
    if (active_.load(std::memory_order_relaxed) != 0) Copy(packets, direction);
  }
  // A frame on its way out that goes no further. Rare: takes a lock, reader or not.
  void OfferStopped(const Packet& packet, DropReason reason);

  // Control thread. First of all the reader gets what was kept, which stays for the next.
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
  uint64_t stopped_ = 0;    // frames that were offered to it
  std::vector<std::shared_ptr<CaptureQueue>> queues_;
};

// The two sides of one device, and what the guard at its wire has stopped.
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
