#include "daemon/operator/event_feed.h"

#include <sys/eventfd.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace cygnet {

void EventQueue::Push(const std::shared_ptr<const std::string>& text) {
  entries_.push_back({.lost_before = std::exchange(lost_, {}), .text = text});
  bytes_ += text->size();
  // A counter that is full is readable, too.
  (void)eventfd_write(event_fd_, 1);
}

std::optional<std::string> EventQueue::Take() {
  Lost& lost = entries_.empty() ? lost_ : entries_.front().lost_before;
  if (lost.count != 0) {
    const Lost told = std::exchange(lost, {});
    return ToText(LostJson(told.count, told.time_ms));
  }
  if (entries_.empty()) return std::nullopt;
  const std::shared_ptr<const std::string> text = std::move(entries_.front().text);
  entries_.pop_front();
  bytes_ -= text->size();
  return *text;
}

void EventFeed::Publish(std::string_view kind, const std::function<Json()>& make) {
  if (queues_.empty()) return;
  const uint64_t now_ms = clock_->WallMs();
  std::shared_ptr<const std::string> text;
  for (EventQueue* queue : queues_) {
    if (!queue->Wants(kind)) continue;
    if (queue->full()) {
      queue->Lose(now_ms);
      continue;
    }
    if (text == nullptr) {
      Json event = {{"event", kind}, {"time_ms", now_ms}};
      event.update(make());
      text = std::make_shared<const std::string>(ToText(event));
    }
    queue->Push(text);
  }
}

void EventFeed::OnPlacement(const PlacementEntry& entry) {
  Publish("placement", [&entry] { return EventJson(entry, Describe(entry)); });
}

void EventFeed::OnKey(const KeyEntry& entry) {
  Publish("key", [&entry] { return EventJson(entry, Describe(entry)); });
}

Status EventFeed::OnKeyGiven(uint64_t, const KeyEntry& entry) {
  OnKey(entry);
  return {};
}

void EventFeed::OnKeyEnded(uint64_t, const KeyEntry& entry) { OnKey(entry); }

void EventFeed::OnRecord(const AuditRecord& record) {
  // Operators give orders; the audit trail calls them commands.
  const std::string_view kind =
      record.kind == AuditKind::kCommand ? std::string_view("order") : Name(record.kind);
  Publish(kind, [&record] { return EventJson(record); });
}

void EventFeed::OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) {
  if (IsAboutSas(event)) Publish("sa", [&event] { return EventJson(event); });
  if (next_ != nullptr) next_->OnControlEvent(event, origin);
}

}  // namespace cygnet
