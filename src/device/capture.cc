#include "device/capture.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

namespace cygnet {
namespace {

uint64_t Now() {
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(ts.tv_nsec);
}

}  // namespace

std::deque<CapturedFrame> CaptureQueue::Drain() {
  const std::lock_guard lock(mutex_);
  bytes_ = 0;
  return std::exchange(frames_, {});
}

void CaptureQueue::Add(const Seen& seen) {
  const std::size_t n = std::min<std::size_t>(seen.bytes.size(), snap_length_);
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (bytes_ + n > max_bytes_) {
      missed_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    first = frames_.empty();
    bytes_ += n;
    frames_.push_back({.time_ns = seen.time_ns,
                       .direction = seen.direction,
                       .original_length = seen.original_length,
                       .reason = seen.reason,
                       .bytes = {seen.bytes.data(), seen.bytes.data() + n}});
  }
  if (first && event_fd_ >= 0) (void)eventfd_write(event_fd_, 1);
}

CapturePoint::~CapturePoint() {
  if (!kept_.empty()) explicit_bzero(kept_.data(), kept_.size() * sizeof(Kept));
}

void CapturePoint::Copy(std::span<Packet* const> packets, CaptureDirection direction) {
  const uint64_t now = Now();
  const std::lock_guard lock(mutex_);
  for (const auto& queue : queues_) {
    for (const Packet* packet : packets) {
      queue->Add({now, direction, packet->length, DropReason::kNone, packet->bytes()});
    }
  }
}

void CapturePoint::OfferStopped(const Packet& packet, DropReason reason) {
  const uint64_t now = Now();
  const std::lock_guard lock(mutex_);
  for (const auto& queue : queues_) {
    queue->Add({now, CaptureDirection::kOutbound, packet.length, reason, packet.bytes()});
  }
  if (!kept_.empty()) Keep(packet, reason, now);
}

void CapturePoint::Keep(const Packet& packet, DropReason reason, uint64_t now_ns) {
  Kept& slot = kept_[stopped_++ % kept_.size()];
  slot.time_ns = now_ns;
  slot.original_length = packet.length;
  slot.length = std::min(packet.length, kKeptBytes);
  slot.reason = reason;
  std::memcpy(slot.bytes.data(), packet.data(), slot.length);
}

void CapturePoint::Attach(std::shared_ptr<CaptureQueue> queue) {
  const std::lock_guard lock(mutex_);
  for (uint64_t i = stopped_ - std::min<uint64_t>(stopped_, kept_.size()); i < stopped_; ++i) {
    const Kept& kept = kept_[i % kept_.size()];
    queue->Add({kept.time_ns,
                CaptureDirection::kOutbound,
                kept.original_length,
                kept.reason,
                {kept.bytes.data(), kept.length}});
  }
  queues_.push_back(std::move(queue));
  active_.store(static_cast<uint32_t>(queues_.size()), std::memory_order_relaxed);
}

void CapturePoint::Detach(const std::shared_ptr<CaptureQueue>& queue) {
  const std::lock_guard lock(mutex_);
  std::erase(queues_, queue);
  active_.store(static_cast<uint32_t>(queues_.size()), std::memory_order_relaxed);
}

}  // namespace cygnet
