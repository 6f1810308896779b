// The reply that ends only on request: frames of a capture point as pcapng.
#include <fmt/format.h>
#include <sys/eventfd.h>

#include <ctime>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/operator/capture_comment.h"
#include "daemon/operator/pcapng.h"
#include "daemon/operator/reply.h"

namespace cygnet {
namespace {

// The bytes that the queue holds for a slow client; the reply may hold as many again.
constexpr std::size_t kMaxQueuedBytes = 8u << 20;
// Blocks share a datagram up to this size; a single block may be longer.
constexpr std::size_t kDatagramBytes = 48u << 10;
constexpr uint64_t kStatisticsInterval = 1'000'000'000;  // ns

struct Place {
  const char* suffix;
  std::string_view description;
};
constexpr Place kPlaces[] = {
    // in the order of CaptureSide
    {"-host", "between cygnetd and the device: ESP with plaintext inside where the device seals"},
    {"-wire", "between the device and the wire: what the network sees"},
    {"-guard", "stopped at the wire: protected by policy and not sealed; may be plaintext"},
};

uint64_t WallClock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

class CaptureReply final : public OperatorReply {
 public:
  CaptureReply(const OperatorControl* control, CapturePoints* points, const std::string& device,
               CaptureSide side, uint32_t snap_length)
      : control_(*control),
        point_(points->at(side)),
        event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        queue_(std::make_shared<CaptureQueue>(snap_length, kMaxQueuedBytes, event_fd_.get())) {
    pcapng::AppendSectionHeader("cygnetd " CYGNET_VERSION, &header_);
    const Place& place = kPlaces[static_cast<std::size_t>(side)];
    pcapng::AppendInterface(device + place.suffix, place.description, snap_length, &header_);
    point_.Attach(queue_);
  }
  // After Detach no worker adds to the queue, so that the descriptor may be closed.
  ~CaptureReply() override { point_.Detach(queue_); }

  bool valid() const { return event_fd_.valid(); }
  int wait_fd() const override { return event_fd_.get(); }

  void OnWaitReady() override {
    eventfd_t count;
    // EAGAIN: already read.
    (void)eventfd_read(event_fd_.get(), &count);
  }

  void Stop() override {
    point_.Detach(queue_);
    stopped_ = true;
  }

  Next MakeNext(std::string* datagram) override {
    if (!answered_) {
      answered_ = true;
      *datagram = R"({"ok":true})";
      return Next::kDatagram;
    }
    *datagram = std::exchange(header_, {});
    AppendFrames(datagram);
    AppendStatistics(datagram);
    if (!datagram->empty()) return Next::kDatagram;
    return stopped_ ? Next::kClose : Next::kWait;
  }

 private:
  void AppendFrames(std::string* datagram) {
    // Leaves the queue alone, so that it overflows, until the client has read the earlier frames.
    if (frames_.empty()) frames_ = queue_->Drain();
    while (
        !frames_.empty() && datagram->size() < kDatagramBytes &&
        (datagram->empty() || datagram->size() + frames_.front().bytes.size() <= kDatagramBytes)) {
      pcapng::AppendPacket(0, frames_.front(), PlacementComment(control_, frames_.front()),
                           datagram);
      frames_.pop_front();
      ++delivered_;
    }
  }

  // Appended at the end, and from time to time if more frames were missed.
  void AppendStatistics(std::string* datagram) {
    const uint64_t missed = queue_->missed();
    const uint64_t now = WallClock();
    const bool last = stopped_ && datagram->empty() && !ended_;
    const bool more_missed = missed != reported_ && now - reported_at_ >= kStatisticsInterval;
    if (!last && (stopped_ || !more_missed)) return;
    pcapng::AppendStatistics(0, now, {.received = delivered_ + missed, .dropped = missed},
                             datagram);
    ended_ = last;
    reported_ = missed;
    reported_at_ = now;
  }

  const OperatorControl& control_;
  CapturePoint& point_;
  const UniqueFd event_fd_;
  const std::shared_ptr<CaptureQueue> queue_;
  std::string header_;
  std::deque<CapturedFrame> frames_;  // taken from the queue, not yet in a datagram
  uint64_t delivered_ = 0;
  uint64_t reported_ = 0;  // missed frames, at reported_at_
  uint64_t reported_at_ = 0;
  bool answered_ = false;
  bool stopped_ = false;
  bool ended_ = false;  // the last statistics are written
};

}  // namespace

std::unique_ptr<OperatorReply> MakeCaptureReply(const OperatorControl* control,
                                                CapturePoints* points, const std::string& device,
                                                CaptureSide side, uint32_t snap_length) {
  auto reply = std::make_unique<CaptureReply>(control, points, device, side, snap_length);
  if (!reply->valid())
    return MakeErrorReply(
        "cygnetd has no file descriptor left for a capture; try again later or raise LimitNOFILE");
  return reply;
}

}  // namespace cygnet
