#include "datapath/hold_queue.h"

#include <algorithm>

namespace cygnet {

HoldQueue::~HoldQueue() {
  for (uint32_t i = 0; i < size_; ++i) sink_->Recycle(waiting_[i].packet);
}

bool HoldQueue::Hold(Packet* packet, uint64_t policy_number, uint64_t now_ms) {
  if (size_ == kMaxPackets) return false;
  PolicyState* state = Find(policy_number);
  if (state == nullptr) {
    if (policies_ == states_.size()) return false;  // all of them are being retried
    state = &states_[policies_++];
    *state = {.number = policy_number,
              .interval_ms = terms_.first_interval_ms,
              .due_ms = now_ms + terms_.first_interval_ms};
  }
  if (state->count >= terms_.most_per_policy) return false;
  next_due_ms_ = size_ == 0 ? state->due_ms : std::min(next_due_ms_, state->due_ms);
  ++state->count;
  waiting_[size_++] = {packet, policy_number};
  return true;
}

HoldQueue::PolicyState* HoldQueue::Find(uint64_t policy_number) {
  for (uint32_t i = 0; i < policies_; ++i) {
    if (states_[i].number == policy_number) return &states_[i];
  }
  return nullptr;
}

// Moves the packets of the policies that are due to `out`, in order. The others close the gaps.
uint32_t HoldQueue::TakeDue(uint64_t now_ms, Cause cause, Waiting* out) {
  for (uint32_t i = 0; i < policies_; ++i) {
    PolicyState& state = states_[i];
    state.trying = cause == Cause::kChange || now_ms >= state.due_ms;
    if (state.trying) state.count = 0;
  }
  uint32_t taken = 0;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < size_; ++i) {
    if (Find(waiting_[i].policy_number)->trying) {
      out[taken++] = waiting_[i];
    } else {
      waiting_[kept++] = waiting_[i];
    }
  }
  size_ = kept;
  return taken;
}

bool HoldQueue::Holds(uint64_t policy_number) const {
  const PolicyState* state = Find(policy_number);
  return state != nullptr && state->count > 0;
}

bool HoldQueue::IsLastRetry(uint64_t policy_number) const {
  const PolicyState* state = Find(policy_number);
  return state != nullptr && state->trying && cause_ == Cause::kTime && IsLastInterval(*state);
}

// Doubles the interval of each policy whose retry failed, or drops its packets at the last
// interval. Removes policies without packets.
void HoldQueue::FinishRetry(uint64_t now_ms, Cause cause) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < policies_; ++i) {
    PolicyState& state = states_[i];
    // A retry because of a change does not count as an attempt.
    if (state.trying && cause == Cause::kTime && state.count > 0) {
      const bool last = IsLastInterval(state);
      state.interval_ms *= 2;
      state.due_ms = now_ms + state.interval_ms;
      if (last) DropAllOf(&state);
    }
    state.trying = false;
    if (state.count > 0) states_[kept++] = state;
  }
  policies_ = kept;
  UpdateNextDue();
}

void HoldQueue::DropAllOf(PolicyState* state) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < size_; ++i) {
    if (waiting_[i].policy_number == state->number) {
      sink_->Drop(waiting_[i].packet, terms_.too_late);
    } else {
      waiting_[kept++] = waiting_[i];
    }
  }
  size_ = kept;
  state->count = 0;
}

void HoldQueue::UpdateNextDue() {
  next_due_ms_ = ~uint64_t{0};
  for (uint32_t i = 0; i < policies_; ++i) {
    next_due_ms_ = std::min(next_due_ms_, states_[i].due_ms);
  }
}

}  // namespace cygnet
