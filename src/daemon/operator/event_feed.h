// EventFeed: what happens in the daemon, as it happens, for operators who watch (`cygnet monitor`).
// Each of them has a queue with a limit: one who does not read loses events, is told how many, and
// holds up nobody. Never has keys. Control thread.
//
// An event is a JSON object, report_json.h lists its fields.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "control/ledger.h"
#include "daemon/audit/audit.h"
#include "daemon/operator/report_json.h"
#include "requests/control_event.h"

namespace cygnet {

// The events of one watcher that it has not read.
class EventQueue {
 public:
  static constexpr std::size_t kMostBytes = 512u << 10;

  // `kinds`: that it wants; empty: all. `event_fd` becomes readable with each event; the caller
  // closes it.
  EventQueue(std::set<std::string> kinds, int event_fd)
      : kinds_(std::move(kinds)), event_fd_(event_fd) {}

  bool Wants(std::string_view kind) const {
    return kinds_.empty() || kinds_.count(std::string(kind)) != 0;
  }
  bool full() const { return bytes_ >= kMostBytes; }
  std::size_t bytes() const { return bytes_; }

  // REQUIRES: !full().
  void Push(const std::shared_ptr<const std::string>& text);
  void Lose(uint64_t time_ms) { lost_ = {.count = lost_.count + 1, .time_ms = time_ms}; }
  // The oldest event; where events were lost, one that says how many. nullopt: none.
  std::optional<std::string> Take();

 private:
  struct Lost {
    uint64_t count = 0;
    uint64_t time_ms = 0;  // of the last one
  };
  struct Entry {
    Lost lost_before{};
    std::shared_ptr<const std::string> text;
  };

  const std::set<std::string> kinds_;
  const int event_fd_;
  std::deque<Entry> entries_;
  std::size_t bytes_ = 0;
  Lost lost_;  // after the last entry
};

class EventFeed final : public LedgerSink, public ControlListener {
 public:
  // What a watcher may ask for.
  static constexpr std::array<std::string_view, 12> kKinds = {
      "sa",    "policy", "placement",  "key",        "device",  "guard",
      "order", "fips",   "protection", "keys-shown", "cluster", "ledger"};

  // REQUIRES: `clock` outlives the feed.
  explicit EventFeed(const Clock* clock) : clock_(clock) {}
  EventFeed(const EventFeed&) = delete;
  EventFeed& operator=(const EventFeed&) = delete;

  // The listener that gets the control plane's events after this one. It must outlive the feed's
  // use as a listener.
  void PassOnTo(ControlListener* next) { next_ = next; }

  // REQUIRES: the queue is detached before it is destroyed.
  void Attach(EventQueue* queue) { queues_.push_back(queue); }
  void Detach(EventQueue* queue) { std::erase(queues_, queue); }
  bool has_watchers() const { return !queues_.empty(); }

  void OnPlacement(const PlacementEntry& entry) override;
  Status OnKeyGiven(uint64_t number, const KeyEntry& entry) override;
  void OnKeyEnded(uint64_t number, const KeyEntry& entry) override;
  // All that is audited besides placements and keys, before the audit's own limits.
  void OnRecord(const AuditRecord& record);
  void OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) override;
  bool WantsAcquire() const override { return next_ != nullptr && next_->WantsAcquire(); }
  bool WantsAevents() const override { return next_ != nullptr && next_->WantsAevents(); }

 private:
  void OnKey(const KeyEntry& entry);
  // `make` is called at most once, and only if somebody has room for the event.
  void Publish(std::string_view kind, const std::function<Json()>& make);

  const Clock* const clock_;
  ControlListener* next_ = nullptr;
  std::vector<EventQueue*> queues_;
};

}  // namespace cygnet
