// Capture points: copies of the frames that pass the host side or the wire side of a device, or the
// host-side interface. Switched off, a point costs one relaxed load per batch. Switched on, frames
// are copied into a bounded queue, and those that do not fit are counted. Frames that the seal
// guard stops are kept even without a reader.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "net/address.h"
#include "packet/drop_reason.h"
#include "packet/drop_watch.h"
#include "packet/packet.h"

namespace cygnet {

enum class CaptureSide : uint8_t { kHost, kWire, kGuard };
enum class CaptureDirection : uint8_t { kInbound, kOutbound };

// What sealed or opened a packet.
enum class CapturePlace : uint8_t {
  kUnknown,
  kClear,         // nothing: policy let it pass
  kEngine,        // of the CPU, or look-aside
  kDevice,        // crypto offload
  kPacketDevice,  // packet offload: the device numbers, so the number is unknown in clear
};

// The ESP packet that a packet in clear became or came by.
struct CaptureLink {
  uint32_t spi = 0;  // 0: none
  uint64_t seq = 0;  // including its high word; 0: unknown
  IpAddress daddr{};
  IpFamily family = IpFamily::kV4;
};

// What is known about a frame besides its bytes.
struct CaptureFacts {
  CaptureDirection direction = CaptureDirection::kInbound;
  DropReason reason = DropReason::kNone;  // why it was dropped; kNone: it passed
  CapturePlace place = CapturePlace::kUnknown;
  std::string_view device{};  // k…Device: its name, which outlives all captures; empty: the link's
  CaptureLink link{};
};

struct CapturedFrame {
  uint64_t time_ns = 0;    // CLOCK_REALTIME
  uint32_t interface = 0;  // the reader's number of the point
  uint32_t original_length = 0;
  CaptureFacts facts{};
  std::vector<uint8_t> bytes;
};

// The direction of a packet that was dropped, for sinks that serve both.
CaptureDirection DirectionOf(const Packet& packet, DropReason reason);

// A reader's queue, drained by the control thread. Frames of several points are in the order in
// which they were offered.
class CaptureQueue {
 public:
  static constexpr std::size_t kInterfaces = 2;

  CaptureQueue(uint32_t snap_length, std::size_t max_bytes, int event_fd)
      : snap_length_(snap_length), max_bytes_(max_bytes), event_fd_(event_fd) {}

  std::deque<CapturedFrame> Drain();
  uint64_t missed(uint32_t interface = 0) const {
    return missed_[interface].load(std::memory_order_relaxed);
  }

 private:
  friend class CapturePoint;
  // One captured frame. `bytes` are stored of it.
  struct Seen {
    uint64_t time_ns;
    uint32_t original_length;
    const CaptureFacts& facts;
    std::span<const uint8_t> bytes;
  };
  void Add(uint32_t interface, const Seen& seen);

  const uint32_t snap_length_;
  const std::size_t max_bytes_;
  const int event_fd_;  // written to when the queue becomes non-empty; -1 = none
  std::mutex mutex_;
  std::deque<CapturedFrame> frames_;
  std::size_t bytes_ = 0;
  std::array<std::atomic<uint64_t>, kInterfaces> missed_{};
};

class CapturePoint {
 public:
  static constexpr uint32_t kKeptBytes = 256;  // stored of each kept frame

  CapturePoint() = default;
  // `keep`: the number of last frames of OfferStopped that are kept for later readers.
  explicit CapturePoint(uint32_t keep) : kept_(keep) {}
  CapturePoint(const CapturePoint&) = delete;
  CapturePoint& operator=(const CapturePoint&) = delete;
  // Wipes the kept frames: they may be plaintext.
  ~CapturePoint();

  // Data path.
  void Offer(std::span<Packet* const> packets, CaptureDirection direction) {
    if (active_.load(std::memory_order_relaxed) != 0) Copy(packets, direction);
  }
  // For a frame that is dropped on its way out. Rare: takes a lock even without a reader.
  void OfferStopped(const Packet& packet, DropReason reason);
  // For a frame whose facts the caller knows. Worth a call only if readers() is not 0.
  void OfferKnown(std::span<const uint8_t> bytes, const CaptureFacts& facts);
  const std::atomic<uint32_t>& readers() const { return active_; }

  // Set-up only: counts this point's readers in `total` as well, which outlives them.
  void CountReadersIn(std::atomic<uint32_t>* total) { total_ = total; }

  // Control thread. The reader first gets the kept frames; they also stay for the next reader.
  // `interface`: CapturedFrame::interface of this point's frames, below CaptureQueue::kInterfaces.
  void Attach(std::shared_ptr<CaptureQueue> queue, uint32_t interface = 0);
  void Detach(const std::shared_ptr<CaptureQueue>& queue);

 private:
  struct Kept {
    uint64_t time_ns = 0;
    uint32_t original_length = 0;
    uint32_t length = 0;
    DropReason reason = DropReason::kNone;
    std::array<uint8_t, kKeptBytes> bytes{};
  };
  struct Reader {
    std::shared_ptr<CaptureQueue> queue;
    uint32_t interface;
  };
  void Copy(std::span<Packet* const> packets, CaptureDirection direction);
  void Keep(const Packet& packet, DropReason reason, uint64_t now_ns);

  std::atomic<uint32_t> active_{0};
  std::atomic<uint32_t>* total_ = nullptr;
  std::mutex mutex_;
  std::vector<Kept> kept_;  // a ring
  uint64_t stopped_ = 0;    // frames offered to it
  std::vector<Reader> readers_;
};

// The points of one link.
class CapturePoints {
 public:
  static constexpr uint32_t kKeptFrames = 64;

  CapturePoints() = default;

  CapturePoint host;  // between the stack and the device
  CapturePoint wire;
  CapturePoint guard{kKeptFrames};  // what the seal guard of the wire stopped
  // The host-side interface: packets in clear, and those that were dropped on the way.
  CapturePoint inner;
  // For sinks of this link alone: its drops go to `inner`.
  DropWatch* drops() { return &drops_; }

  CapturePoint& at(CaptureSide side) {
    return side == CaptureSide::kHost ? host : side == CaptureSide::kWire ? wire : guard;
  }

 private:
  class Drops final : public DropWatch {
   public:
    explicit Drops(CapturePoint* inner) : DropWatch(&inner->readers()), inner_(inner) {}

   private:
    void See(const Packet& packet, DropReason reason) override;
    CapturePoint* const inner_;
  };
  Drops drops_{&inner};
};

}  // namespace cygnet
