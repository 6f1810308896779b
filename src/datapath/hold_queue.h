// HoldQueue: outbound packets that wait for key management to make their SA (larval_drop = 0, the
// kernel's xfrm policy queue). Bounded; tried again at growing intervals and whenever the SAD or
// SPD changed, then given up.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "packet/packet_batch.h"

namespace cygnet {

// One worker's. Owns the packets in it. Nothing is allocated after construction. Times are
// monotonic milliseconds.
//
// A worker calls Retry() before each batch of new packets, so that what has waited leaves before
// what comes now; each policy's packets keep their order.
class HoldQueue {
 public:
  static constexpr uint32_t kMaxPackets = 256;
  static constexpr uint32_t kMaxPerPolicy = 100;  // Linux: XFRM_MAX_QUEUE_LEN
  // A policy's first retry comes this long after its first packet, then after twice as long each
  // time, until the interval reaches the last one: then its packets are dropped.
  static constexpr uint64_t kFirstIntervalMs = 100;
  static constexpr uint64_t kLastIntervalMs = 60'000;

  // `sink` outlives this.
  explicit HoldQueue(DropSink* sink) : sink_(sink) {}
  // Gives back what is held, uncounted.
  ~HoldQueue();
  HoldQueue(const HoldQueue&) = delete;
  HoldQueue& operator=(const HoldQueue&) = delete;

  // Takes ownership, unless there is no room: then false, and the caller drops (kOutHoldFull).
  // `policy_number`: of the policy that asks for the SA.
  bool Hold(Packet* packet, uint64_t policy_number, uint64_t now_ms);

  // Tries again what is due; everything when `generation` is another than the last time.
  // fn(Packet*) takes ownership of each packet and decides before it returns whether to Hold() it
  // again; a policy all of whose packets went elsewhere starts anew with its next. Packets of a
  // policy whose time is up are dropped here (kOutHoldTimeout). Does next to nothing when nothing
  // is due. fn must not call Retry().
  template <typename Fn>
  void Retry(uint64_t now_ms, uint64_t generation, Fn fn) {
    const Cause cause = generation == generation_ ? Cause::kTime : Cause::kChange;
    generation_ = generation;
    if (size_ == 0 || (cause == Cause::kTime && now_ms < next_due_ms_)) return;
    std::array<Waiting, kMaxPackets> again;
    const uint32_t n = TakeDue(now_ms, cause, again.data());
    for (uint32_t i = 0; i < n; ++i) {
      // Behind a packet that waits again its policy's others wait too, or they would overtake it
      // when the SA arrives during this very walk.
      if (!WaitsAgain(again[i].policy_number)) {
        fn(again[i].packet);
      } else if (!Hold(again[i].packet, again[i].policy_number, now_ms)) {
        sink_->Drop(again[i].packet, DropReason::kOutHoldFull);
      }
    }
    FinishRetry(now_ms, cause);
  }

  bool Idle() const { return size_ == 0; }
  uint32_t size() const { return size_; }
  // When Retry() has something to do at the latest; for how long a worker may sleep.
  std::optional<uint64_t> NextDueMs() const {
    return size_ == 0 ? std::nullopt : std::optional(next_due_ms_);
  }

 private:
  enum class Cause : uint8_t { kTime, kChange };

  struct Waiting {
    Packet* packet = nullptr;
    uint64_t policy_number = 0;
  };

  // A policy with packets here, or whose packets are being tried.
  struct PolicyState {
    uint64_t number = 0;
    uint64_t interval_ms = 0;
    uint64_t due_ms = 0;
    uint32_t count = 0;
    bool trying = false;
  };

  PolicyState* Find(uint64_t policy_number);
  uint32_t TakeDue(uint64_t now_ms, Cause cause, Waiting* out);
  bool WaitsAgain(uint64_t policy_number);
  void FinishRetry(uint64_t now_ms, Cause cause);
  void DropAllOf(PolicyState* state);
  void UpdateNextDue();

  DropSink* const sink_;
  uint64_t generation_ = 0;
  uint64_t next_due_ms_ = 0;  // of all policies; means something while size_ > 0
  uint32_t size_ = 0;
  uint32_t policies_ = 0;
  std::array<Waiting, kMaxPackets> waiting_;  // in the order they came
  std::array<PolicyState, kMaxPackets> states_;
};

}  // namespace cygnet
