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

// The stack's own mark of an outbound packet, which the seal guard checks.
CapturePlace PlaceOf(const Packet& packet) {
  if (packet.protection == Protection::kProven) return CapturePlace::kEngine;
  if (packet.protection == Protection::kClear) return CapturePlace::kClear;
  if (packet.protection >= Protection::kOwedByDevice) return CapturePlace::kPacketDevice;
  return OwesSeal(packet.protection) ? CapturePlace::kDevice : CapturePlace::kUnknown;
}

}  // namespace

// The reasons of ports and pools say nothing about the direction. Only the outbound pipeline sets
// the protection.
CaptureDirection DirectionOf(const Packet& packet, DropReason reason) {
  if (reason >= DropReason::kPortFull) {
    return packet.protection == Protection::kNone ? CaptureDirection::kInbound
                                                  : CaptureDirection::kOutbound;
  }
  return reason >= DropReason::kOutBadPacket ? CaptureDirection::kOutbound
                                             : CaptureDirection::kInbound;
}

std::deque<CapturedFrame> CaptureQueue::Drain() {
  const std::lock_guard lock(mutex_);
  bytes_ = 0;
  return std::exchange(frames_, {});
}

void CaptureQueue::Add(uint32_t interface, const Seen& seen) {
  const std::size_t n = std::min<std::size_t>(seen.bytes.size(), snap_length_);
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (bytes_ + n > max_bytes_) {
      missed_[interface].fetch_add(1, std::memory_order_relaxed);
      return;
    }
    first = frames_.empty();
    bytes_ += n;
    frames_.push_back({.time_ns = seen.time_ns,
                       .interface = interface,
                       .original_length = seen.original_length,
                       .facts = seen.facts,
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
  for (const Reader& reader : readers_) {
    for (const Packet* packet : packets) {
      const CaptureFacts facts{.direction = direction, .place = PlaceOf(*packet)};
      reader.queue->Add(reader.interface, {now, packet->length, facts, packet->bytes()});
    }
  }
}

void CapturePoint::OfferStopped(const Packet& packet, DropReason reason) {
  const uint64_t now = Now();
  const CaptureFacts facts{.direction = CaptureDirection::kOutbound, .reason = reason};
  const std::lock_guard lock(mutex_);
  for (const Reader& reader : readers_) {
    reader.queue->Add(reader.interface, {now, packet.length, facts, packet.bytes()});
  }
  if (!kept_.empty()) Keep(packet, reason, now);
}

void CapturePoint::OfferKnown(std::span<const uint8_t> bytes, const CaptureFacts& facts) {
  const uint64_t now = Now();
  const std::lock_guard lock(mutex_);
  for (const Reader& reader : readers_) {
    reader.queue->Add(reader.interface, {now, static_cast<uint32_t>(bytes.size()), facts, bytes});
  }
}

void CapturePoint::Keep(const Packet& packet, DropReason reason, uint64_t now_ns) {
  Kept& slot = kept_[stopped_++ % kept_.size()];
  slot.time_ns = now_ns;
  slot.original_length = packet.length;
  slot.length = std::min(packet.length, kKeptBytes);
  slot.reason = reason;
  std::memcpy(slot.bytes.data(), packet.data(), slot.length);
}

void CapturePoint::Attach(std::shared_ptr<CaptureQueue> queue, uint32_t interface) {
  const std::lock_guard lock(mutex_);
  for (uint64_t i = stopped_ - std::min<uint64_t>(stopped_, kept_.size()); i < stopped_; ++i) {
    const Kept& kept = kept_[i % kept_.size()];
    const CaptureFacts facts{.direction = CaptureDirection::kOutbound, .reason = kept.reason};
    queue->Add(interface,
               {kept.time_ns, kept.original_length, facts, {kept.bytes.data(), kept.length}});
  }
  readers_.push_back({std::move(queue), interface});
  active_.store(static_cast<uint32_t>(readers_.size()), std::memory_order_relaxed);
  if (total_ != nullptr) total_->fetch_add(1, std::memory_order_relaxed);
}

void CapturePoint::Detach(const std::shared_ptr<CaptureQueue>& queue) {
  const std::lock_guard lock(mutex_);
  const auto gone = static_cast<uint32_t>(
      std::erase_if(readers_, [&](const Reader& reader) { return reader.queue == queue; }));
  active_.store(static_cast<uint32_t>(readers_.size()), std::memory_order_relaxed);
  if (total_ != nullptr) total_->fetch_sub(gone, std::memory_order_relaxed);
}

void CapturePoints::Drops::See(const Packet& packet, DropReason reason) {
  inner_->OfferKnown(packet.bytes(), {.direction = DirectionOf(packet, reason), .reason = reason});
}

}  // namespace cygnet
