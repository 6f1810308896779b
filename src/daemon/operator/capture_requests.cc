// The reply that ends only on request: frames of one or two capture points as pcapng.
#include <fmt/format.h>
#include <sys/eventfd.h>

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/operator/capture_comment.h"
#include "daemon/operator/pcapng.h"
#include "daemon/operator/reply.h"
#include "daemon/operator/report_json.h"

namespace cygnet {
namespace {

// The bytes that the queue holds for a slow client; the reply may hold as many again.
constexpr std::size_t kMaxQueuedBytes = 8u << 20;
// Blocks share a datagram up to this size; a single block may be longer.
constexpr std::size_t kDatagramBytes = 48u << 10;
constexpr uint64_t kStatisticsInterval = 1'000'000'000;  // ns

// An interface of the file.
struct Place {
  const char* suffix;  // of its name, after the device's
  const char* description;
};
constexpr Place kPlaces[] = {
    // in the order of CaptureSide
    {"-host", "between cygnetd and the device: ESP with plaintext inside where the device seals"},
    {"-wire", "between the device and the wire: what the network sees"},
    {"-guard", "stopped at the wire: protected by policy and not sealed; may be plaintext"},
};
constexpr Place kInner = {"",
                          "the host-side interface: packets in clear, and those that were dropped"};

uint64_t WallClock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

class CaptureReply final : public OperatorReply {
 public:
  CaptureReply(const OperatorControl* control, CapturePoints* points, CaptureRequest request)
      : control_(*control),
        request_(std::move(request)),
        event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        queue_(std::make_shared<CaptureQueue>(request_.snap_length, kMaxQueuedBytes,
                                              event_fd_.get())) {
    pcapng::AppendSectionHeader("cygnetd " CYGNET_VERSION, &header_);
    if (request_.side) {
      Add(&points->at(*request_.side), kPlaces[static_cast<std::size_t>(*request_.side)]);
    } else {
      Add(&points->inner, kInner);
      Add(&points->wire, kPlaces[static_cast<std::size_t>(CaptureSide::kWire)]);
    }
  }
  // After Detach no worker adds to the queue, so that the descriptor may be closed.
  ~CaptureReply() override { Detach(); }

  bool valid() const { return event_fd_.valid(); }
  int wait_fd() const override { return event_fd_.get(); }

  void OnWaitReady() override {
    eventfd_t count;
    // EAGAIN: already read.
    (void)eventfd_read(event_fd_.get(), &count);
  }

  void Stop() override {
    Detach();
    stopped_ = true;
  }

  Next MakeNext(std::string* datagram) override {
    if (!answered_) {
      answered_ = true;
      *datagram = R"({"ok":true})";
      return Next::kDatagram;
    }
    *datagram = std::exchange(header_, {});
    if (datagram->empty() && TakeKeys(datagram)) return Next::kDatagram;
    AppendFrames(datagram);
    AppendStatistics(datagram);
    if (!datagram->empty()) return Next::kDatagram;
    return stopped_ ? Next::kClose : Next::kWait;
  }

 private:
  struct Source {
    CapturePoint* point;
    uint64_t delivered = 0;
  };

  void Add(CapturePoint* point, const Place& place) {
    pcapng::AppendInterface(request_.device + place.suffix, place.description, request_.snap_length,
                            &header_);
    point->Attach(queue_, static_cast<uint32_t>(sources_.size()));
    sources_.push_back({.point = point});
  }
  void Detach() {
    for (const Source& source : sources_) source.point->Detach(queue_);
  }

  // Leaves the queue alone, so that it overflows, until the client has read the earlier frames.
  void Refill() {
    if (frames_.empty()) frames_ = queue_->Drain();
  }

  // The SA of the next frame if its keys are wanted and have not been sent; else nullptr.
  ConstSaPtr NewSa() const {
    if (request_.keys == CaptureKeys::kNone || frames_.empty()) return nullptr;
    const CaptureLink link = LinkOf(control_, frames_.front());
    if (link.spi == 0) return nullptr;
    auto sa = control_.FindSa(Spi{link.spi}, link.daddr, link.family);
    return sa == nullptr || told_.contains(sa->number) ? nullptr : sa;
  }

  // Makes a datagram of the keys that the next frame needs. None if FIPS mode has begun meanwhile.
  bool TakeKeys(std::string* datagram) {
    Refill();
    const auto sa = NewSa();
    if (sa == nullptr) return false;
    told_.insert(sa->number);
    if (control_.ReportFips().enforced) return false;
    *datagram = ToText({{"sa", KeysOf(sa->spec())}});
    return true;
  }

  void AppendFrames(std::string* datagram) {
    Refill();
    while (
        !frames_.empty() && datagram->size() < kDatagramBytes &&
        (datagram->empty() || datagram->size() + frames_.front().bytes.size() <= kDatagramBytes)) {
      if (NewSa() != nullptr) return;  // its keys come first
      const CapturedFrame& frame = frames_.front();
      pcapng::AppendPacket(
          frame, NotesOf(control_, frame, LinkOf(control_, frame), request_.device), datagram);
      ++sources_[frame.interface].delivered;
      frames_.pop_front();
    }
  }

  uint64_t Missed() const {
    uint64_t missed = 0;
    for (uint32_t i = 0; i < sources_.size(); ++i) missed += queue_->missed(i);
    return missed;
  }

  // Appended at the end, and from time to time if more frames were missed.
  void AppendStatistics(std::string* datagram) {
    const uint64_t missed = Missed();
    const uint64_t now = WallClock();
    const bool last = stopped_ && datagram->empty() && !ended_;
    const bool more_missed = missed != reported_ && now - reported_at_ >= kStatisticsInterval;
    if (!last && (stopped_ || !more_missed)) return;
    for (uint32_t i = 0; i < sources_.size(); ++i) {
      const uint64_t dropped = queue_->missed(i);
      pcapng::AppendStatistics(
          i, now, {.received = sources_[i].delivered + dropped, .dropped = dropped}, datagram);
    }
    ended_ = last;
    reported_ = missed;
    reported_at_ = now;
  }

  const OperatorControl& control_;
  const CaptureRequest request_;
  const UniqueFd event_fd_;
  const std::shared_ptr<CaptureQueue> queue_;
  std::string header_;
  std::deque<CapturedFrame> frames_;  // taken from the queue, not yet in a datagram
  std::vector<Source> sources_;       // by the number of their interface
  std::set<uint64_t> told_;           // numbers of the SAs whose keys were sent
  uint64_t reported_ = 0;             // missed frames, at reported_at_
  uint64_t reported_at_ = 0;
  bool answered_ = false;
  bool stopped_ = false;
  bool ended_ = false;  // the last statistics are written
};

}  // namespace

std::unique_ptr<OperatorReply> MakeCaptureReply(const OperatorControl* control,
                                                CapturePoints* points, CaptureRequest request) {
  auto reply = std::make_unique<CaptureReply>(control, points, std::move(request));
  if (!reply->valid())
    return MakeErrorReply(
        "cygnetd has no file descriptor left for a capture; try again later or raise LimitNOFILE");
  return reply;
}

}  // namespace cygnet
