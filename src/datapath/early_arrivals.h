// EarlyArrivals: ESP packets for an SPI whose SA key management is about to install. The responder
// of a rekeying may use the new SA before its answer has reached the initiator; libreswan does.
// Linux drops such packets. Here they wait, bounded in number and time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "packet/packet_batch.h"

namespace cygnet {

// Belongs to one worker. Owns the packets in it. Times are monotonic milliseconds.
class EarlyArrivals {
 public:
  static constexpr uint32_t kMaxPackets = 512;
  static constexpr uint64_t kWaitMs = 1000;
  static constexpr uint64_t kLookMs = 2;  // between two checks of the generation

  // `sink` outlives this.
  explicit EarlyArrivals(DropSink* sink) : sink_(sink) {}
  // Recycles the waiting packets without counting them as drops.
  ~EarlyArrivals() {
    for (uint32_t i = 0; i < size_; ++i) sink_->Recycle(waiting_[i].packet);
  }
  EarlyArrivals(const EarlyArrivals&) = delete;
  EarlyArrivals& operator=(const EarlyArrivals&) = delete;

  // Takes ownership. Returns false, without taking ownership, if the packet's time is up or there
  // is no room; the caller then drops the packet.
  bool Hold(Packet* packet, uint64_t now_ms) {
    const uint64_t until = trying_until_.value_or(now_ms + kWaitMs);
    if (size_ == kMaxPackets || now_ms >= until) return false;
    waiting_[size_++] = {packet, until};
    return true;
  }

  // If `generation` has changed since the last call, or the first packet's time is up, calls
  // fn(Packet*) for each packet, in order. fn takes ownership and may Hold() the packet again.
  template <typename Fn>
  void Retry(uint64_t now_ms, uint64_t generation, Fn fn) {
    const bool changed = generation != generation_;
    generation_ = generation;
    if (size_ == 0 || (!changed && now_ms < waiting_[0].until_ms)) return;
    std::array<Waiting, kMaxPackets> again;
    const uint32_t n = size_;
    for (uint32_t i = 0; i < n; ++i) again[i] = waiting_[i];
    size_ = 0;
    for (uint32_t i = 0; i < n; ++i) {
      trying_until_ = again[i].until_ms;
      fn(again[i].packet);
    }
    trying_until_.reset();
  }

  bool Idle() const { return size_ == 0; }
  // The latest time for the next call of Retry().
  std::optional<uint64_t> NextDueMs(uint64_t now_ms) const {
    return Idle() ? std::nullopt : std::optional(now_ms + kLookMs);
  }

 private:
  struct Waiting {
    Packet* packet = nullptr;
    uint64_t until_ms = 0;
  };

  DropSink* const sink_;
  uint64_t generation_ = 0;
  uint32_t size_ = 0;
  std::optional<uint64_t> trying_until_;  // deadline of the packet being retried
  std::array<Waiting, kMaxPackets> waiting_;
};

}  // namespace cygnet
