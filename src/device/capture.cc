#include "device/capture.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace cygnet {

std::deque<CapturedFrame> CaptureQueue::Drain() {
  const std::lock_guard lock(mutex_);
  bytes_ = 0;
  return std::exchange(frames_, {});
}

void CaptureQueue::Add(const Packet& packet, CaptureDirection direction, uint64_t now_ns) {
  const uint32_t n = std::min(packet.length, snap_length_);
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (bytes_ + n > max_bytes_) {
      missed_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    first = frames_.empty();
    bytes_ += n;
    frames_.push_back({.time_ns = now_ns,
                       .direction = direction,
                       .original_length = packet.length,
                       .bytes = {packet.data(), packet.data() + n}});
  }
  if (first && event_fd_ >= 0) (void)eventfd_write(event_fd_, 1);
}

void CapturePoint::Copy(std::span<Packet* const> packets, CaptureDirection direction) {
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  const uint64_t now =
      static_cast<uint64_t>(ts.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(ts.tv_nsec);
  const std::lock_guard lock(mutex_);
  for (const auto& queue : queues_) {
    for (const Packet* packet : packets) queue->Add(*packet, direction, now);
  }
}

void CapturePoint::Attach(std::shared_ptr<CaptureQueue> queue) {
  const std::lock_guard lock(mutex_);
  queues_.push_back(std::move(queue));
  active_.store(static_cast<uint32_t>(queues_.size()), std::memory_order_relaxed);
}

void CapturePoint::Detach(const std::shared_ptr<CaptureQueue>& queue) {
  const std::lock_guard lock(mutex_);
  std::erase(queues_, queue);
  active_.store(static_cast<uint32_t>(queues_.size()), std::memory_order_relaxed);
}

}  // namespace cygnet
