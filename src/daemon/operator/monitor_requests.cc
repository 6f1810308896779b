// The reply that ends only on request: events, as they happen.
#include <fmt/format.h>
#include <sys/eventfd.h>

#include <memory>
#include <set>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/operator/event_feed.h"
#include "daemon/operator/list_reply.h"

namespace cygnet {
namespace {

class MonitorReply final : public OperatorReply {
 public:
  MonitorReply(EventFeed* feed, std::set<std::string> kinds)
      : feed_(feed),
        event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        queue_(std::move(kinds), event_fd_.get()) {
    feed_->Attach(&queue_);
  }
  ~MonitorReply() override { feed_->Detach(&queue_); }

  bool valid() const { return event_fd_.valid(); }
  int wait_fd() const override { return event_fd_.get(); }
  // A watcher that reads leaves nothing behind for long.
  std::size_t held_bytes() const override { return queue_.full() ? queue_.bytes() : 0; }

  void OnWaitReady() override {
    eventfd_t count;
    // EAGAIN: already read.
    (void)eventfd_read(event_fd_.get(), &count);
  }

  void Stop() override { stopped_ = true; }

  Next MakeNext(std::string* datagram) override {
    if (!std::exchange(answered_, true)) {
      *datagram = R"({"ok":true})";
      return Next::kDatagram;
    }
    auto event = queue_.Take();
    if (!event) return stopped_ ? Next::kClose : Next::kWait;
    *datagram = *std::move(event);
    return Next::kDatagram;
  }

 private:
  EventFeed* const feed_;
  const UniqueFd event_fd_;
  EventQueue queue_;
  bool answered_ = false;
  bool stopped_ = false;
};

std::set<std::string> ReadKinds(const RequestReader& request) {
  std::set<std::string> kinds;
  for (std::string& kind : request.Texts("events")) {
    if (std::find(EventFeed::kKinds.begin(), EventFeed::kKinds.end(), kind) ==
        EventFeed::kKinds.end()) {
      throw RequestError{
          fmt::format("events: \"{}\" is not one of {}", kind, fmt::join(EventFeed::kKinds, ", "))};
    }
    kinds.insert(std::move(kind));
  }
  return kinds;
}

}  // namespace

std::unique_ptr<OperatorReply> MakeMonitorReply(EventFeed* feed, const RequestReader& request) {
  request.AllowOnly({"events"});
  auto reply = std::make_unique<MonitorReply>(feed, ReadKinds(request));
  if (reply->valid()) return reply;
  return MakeErrorReply(
      "cygnetd has no file descriptor left for events; try again later or raise LimitNOFILE");
}

}  // namespace cygnet
