// HoldQueue: outbound packets that wait for control: for key management to create their SA
// (larval_drop = 0; the kernel's xfrm policy queue), for their SA to leave a device that handed
// them back, or for the next hop of their outer packet. The queue is bounded. It retries at growing
// intervals and after each change of SAD or SPD, and finally drops.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "packet/packet_batch.h"

namespace cygnet {

// Belongs to one worker. Owns the packets in it. Nothing is allocated after construction. Times are
// monotonic milliseconds.
//
// A worker calls Retry() before each batch of new packets, so that waiting packets leave before new
// ones. Each policy's packets keep their order.
class HoldQueue {
 public:
  static constexpr uint32_t kMaxPackets = 256;
  static constexpr uint32_t kMaxPerPolicy = 100;  // Linux: XFRM_MAX_QUEUE_LEN
  // A policy's first retry comes after the first interval. The interval then doubles with each
  // retry. When it reaches the last one, the policy's packets are dropped.
  static constexpr uint64_t kFirstIntervalMs = 100;
  static constexpr uint64_t kLastIntervalMs = 60'000;

  // How long packets wait, and how they are dropped after that.
  struct Terms {
    uint64_t first_interval_ms = kFirstIntervalMs;
    uint64_t last_interval_ms = kLastIntervalMs;
    DropReason too_late = DropReason::kOutHoldTimeout;
    uint32_t most_per_policy = kMaxPerPolicy;
  };
  // `sink` outlives this.
  explicit HoldQueue(DropSink* sink) : HoldQueue(sink, Terms()) {}
  HoldQueue(DropSink* sink, const Terms& terms) : sink_(sink), terms_(terms) {}
  // Recycles the held packets without counting them as drops.
  ~HoldQueue();
  HoldQueue(const HoldQueue&) = delete;
  HoldQueue& operator=(const HoldQueue&) = delete;

  // Takes ownership. Returns false, without taking ownership, if there is no room; the caller then
  // drops the packet (kOutHoldFull). `policy_number`: of the policy that needs the SA, or another
  // number that names what the packet waits for.
  bool Hold(Packet* packet, uint64_t policy_number, uint64_t now_ms);

  // Retries the packets that are due, or all of them if `generation` changed since the last call.
  // fn(Packet*) takes ownership of each packet and may Hold() it again before it returns. If no
  // packet of a policy is held again, the policy's next packet starts at the first interval.
  // Packets of a policy whose time is up are dropped here (Terms::too_late). Cheap if nothing is
  // due. fn must not call Retry().
  template <typename Fn>
  void Retry(uint64_t now_ms, uint64_t generation, Fn fn) {
    const Cause cause = generation == generation_ ? Cause::kTime : Cause::kChange;
    generation_ = generation;
    if (size_ == 0 || (cause == Cause::kTime && now_ms < next_due_ms_)) return;
    cause_ = cause;
    std::array<Waiting, kMaxPackets> again;
    const uint32_t n = TakeDue(now_ms, cause, again.data());
    for (uint32_t i = 0; i < n; ++i) {
      // When a packet is held again, the later packets of its policy are held too. Otherwise they
      // would overtake it if the SA arrives during this loop.
      if (!Holds(again[i].policy_number)) {
        fn(again[i].packet);
      } else if (!Hold(again[i].packet, again[i].policy_number, now_ms)) {
        sink_->Drop(again[i].packet, DropReason::kOutHoldFull);
      }
    }
    FinishRetry(now_ms, cause);
  }

  bool Idle() const { return size_ == 0; }
  // Packets of this policy wait.
  bool Holds(uint64_t policy_number) const;
  // In fn of Retry(): this was the last retry of the policy. A packet that it holds again is
  // dropped.
  bool IsLastRetry(uint64_t policy_number) const;
  uint32_t size() const { return size_; }
  // The latest time for the next call of Retry(), 0 if `generation` changed since the last one;
  // nullopt if nothing waits. Bounds a worker's sleep.
  std::optional<uint64_t> NextDueMs(uint64_t generation) const {
    if (size_ == 0) return std::nullopt;
    return generation == generation_ ? next_due_ms_ : 0;
  }

 private:
  enum class Cause : uint8_t { kTime, kChange };

  struct Waiting {
    Packet* packet = nullptr;
    uint64_t policy_number = 0;
  };

  // A policy with packets in the queue, or whose packets are being retried.
  struct PolicyState {
    uint64_t number = 0;
    uint64_t interval_ms = 0;
    uint64_t due_ms = 0;
    uint32_t count = 0;
    bool trying = false;
  };

  PolicyState* Find(uint64_t policy_number);
  const PolicyState* Find(uint64_t policy_number) const {
    return const_cast<HoldQueue*>(this)->Find(policy_number);
  }
  uint32_t TakeDue(uint64_t now_ms, Cause cause, Waiting* out);
  bool IsLastInterval(const PolicyState& state) const {
    return state.interval_ms * 2 >= terms_.last_interval_ms;
  }
  void FinishRetry(uint64_t now_ms, Cause cause);
  void DropAllOf(PolicyState* state);
  void UpdateNextDue();

  DropSink* const sink_;
  const Terms terms_;
  uint64_t generation_ = 0;
  Cause cause_ = Cause::kTime;  // of the present retry
  uint64_t next_due_ms_ = 0;    // earliest of all policies; valid only if size_ > 0
  uint32_t size_ = 0;
  uint32_t policies_ = 0;
  std::array<Waiting, kMaxPackets> waiting_;  // in order of arrival
  std::array<PolicyState, kMaxPackets> states_;
};

}  // namespace cygnet
