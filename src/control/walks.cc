#include "control/walks.h"

#include <utility>

namespace cygnet {

// The budget of one walk in one turn.
class Walks::Turn {
 public:
  explicit Turn(const Clock& clock) : clock_(clock), until_(clock.MonotonicNs() + kTurnNs) {}
  // Counts one visit. False: the rest waits for the next turn.
  bool GoesOn() {
    constexpr uint32_t kMostVisits = 2048;
    constexpr uint32_t kLook = 32;  // visits between reads of the clock
    ++visits_;
    return visits_ < kMostVisits && (visits_ % kLook != 0 || clock_.MonotonicNs() < until_);
  }

 private:
  static constexpr uint64_t kTurnNs = 2'000'000;

  const Clock& clock_;
  const uint64_t until_;
  uint32_t visits_ = 0;
};

void Walks::StartTimes() {
  if (!times_from_.has_value()) times_from_ = 0;
  if (policies_to_check_.empty()) policies_to_check_ = path_.spd.List();
}

void Walks::StartAevents() {
  if (!aevents_from_.has_value()) aevents_from_ = 0;
}

bool Walks::DoSome() {
  WalkTimes(Turn(*parts_.clock));
  WalkAevents(Turn(*parts_.clock));
  WalkPolicies(Turn(*parts_.clock));
  return times_from_.has_value() || aevents_from_.has_value() || !policies_to_check_.empty();
}

void Walks::WalkTimes(Turn turn) {
  if (!times_from_.has_value()) return;
  const uint64_t now = parts_.clock->WallSeconds();
  times_from_ = path_.sad.ForEachFrom(*times_from_, [&](const SaPtr& sa) {
    parts_.sas->CheckTimes(sa, now);
    parts_.keepalives->Check(*sa);
    return turn.GoesOn();
  });
}

void Walks::WalkAevents(Turn turn) {
  if (!aevents_from_.has_value()) return;
  const uint64_t now_ns = parts_.clock->MonotonicNs();
  aevents_from_ = path_.sad.ForEachFrom(*aevents_from_, [&](const SaPtr& sa) {
    parts_.aevents->Check(sa, now_ns);
    return turn.GoesOn();
  });
}

void Walks::WalkPolicies(Turn turn) {
  const uint64_t now = parts_.clock->WallSeconds();
  while (!policies_to_check_.empty()) {
    const std::shared_ptr<Policy> policy = std::move(policies_to_check_.back());
    policies_to_check_.pop_back();
    // The policy may be gone since the walk began.
    if (path_.spd.FindByNumber(policy->number) == policy) parts_.policies->CheckTimes(policy, now);
    if (!turn.GoesOn()) break;
  }
}

}  // namespace cygnet
