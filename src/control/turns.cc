// The control plane's share of the daemon's loop: timers, data path events, changes of the host.
// Each turn does a bounded part, so that clients are answered in between, whatever the number of
// SAs and the behaviour of the wire and the host's users.
#include <utility>

#include "base/log.h"
#include "control/control_plane.h"

namespace cygnet {
namespace {

constexpr uint64_t kTurnNs = 2'000'000;    // per kind of work
constexpr int kEventsPerTurn = 256;        // per worker
constexpr int kAcquiresPerTurn = 64;       // in total: each may query the kernel for a route
constexpr uint32_t kVisitsPerTurn = 2048;  // SAs or policies that are checked

}  // namespace

// The budget of one walk in one turn.
class ControlPlane::Turn {
 public:
  explicit Turn(const Clock& clock) : clock_(clock), until_(clock.MonotonicNs() + kTurnNs) {}
  // Counts one visit. False: the rest waits for the next turn.
  bool GoesOn() {
    constexpr uint32_t kLook = 32;  // visits between reads of the clock
    ++visits_;
    return visits_ < kVisitsPerTurn && (visits_ % kLook != 0 || clock_.MonotonicNs() < until_);
  }

 private:
  const Clock& clock_;
  const uint64_t until_;
  uint32_t visits_ = 0;
};

void ControlPlane::Tick() {
  constexpr uint64_t kNeighbourTicks = 30;
  ReadSettings();
  placement_->Tick();
  // Continues an unfinished walk of the last tick.
  if (!times_from_.has_value()) times_from_ = 0;
  if (policies_to_check_.empty()) policies_to_check_ = path_.spd.List();
  socket_policies_.Tick();
  ike_sockets_.Refresh();
  if (++ticks_ % kNeighbourTicks == 0 && next_hops_.has_value()) next_hops_->AskAgain();
  (void)DoSome();
  path_.quiescence.Collect();
}

bool ControlPlane::DoSome() {
  const uint64_t now_ns = params_.clock->MonotonicNs();
  WalkTimes(Turn(*params_.clock));
  WalkAevents(Turn(*params_.clock));
  WalkPolicies(Turn(*params_.clock));
  ReadAddresses(now_ns, Patience::kSome);
  const bool hops = next_hops_.has_value() && next_hops_->DoSome(now_ns);
  return hops || events_left_ || times_from_.has_value() || aevents_from_.has_value() ||
         !policies_to_check_.empty();
}

void ControlPlane::CheckAevents() {
  if (!announcer_.WantsAevents()) return;
  if (!aevents_from_.has_value()) aevents_from_ = 0;
  (void)DoSome();
}

void ControlPlane::WalkTimes(Turn turn) {
  if (!times_from_.has_value()) return;
  const uint64_t now = Now();
  times_from_ = path_.sad.ForEachFrom(*times_from_, [&](const std::shared_ptr<Sa>& sa) {
    CheckTimes(sa, now);
    keepalives_.Check(*sa, now);
    return turn.GoesOn();
  });
}

void ControlPlane::WalkAevents(Turn turn) {
  if (!aevents_from_.has_value()) return;
  const uint64_t now_ns = params_.clock->MonotonicNs();
  aevents_from_ = path_.sad.ForEachFrom(*aevents_from_, [&](const std::shared_ptr<Sa>& sa) {
    aevents_.Check(sa, now_ns);
    return turn.GoesOn();
  });
}

void ControlPlane::WalkPolicies(Turn turn) {
  const uint64_t now = Now();
  while (!policies_to_check_.empty()) {
    const std::shared_ptr<Policy> policy = std::move(policies_to_check_.back());
    policies_to_check_.pop_back();
    // The policy may be gone since the walk began.
    if (path_.spd.FindByNumber(policy->number) == policy) policies_.CheckTimes(policy, now);
    if (!turn.GoesOn()) break;
  }
}

// --- Events of the data path ---

void ControlPlane::OnBell() {
  placement_->CheckDevices();
  int acquires = kAcquiresPerTurn;
  events_left_ = false;
  // Starts with another worker each time.
  const std::size_t workers = path_.events.size();
  for (std::size_t i = 0; i < workers; ++i) {
    SpscRing<DataPathEvent>& ring = *path_.events[(first_worker_ + i) % workers];
    if (!TakeEvents(&ring, &acquires)) events_left_ = true;
  }
  first_worker_ = (first_worker_ + 1) % workers;
}

// False: more events are queued.
bool ControlPlane::TakeEvents(SpscRing<DataPathEvent>* ring, int* acquires) {
  DataPathEvent event;
  for (int left = kEventsPerTurn; left > 0 && *acquires > 0; --left) {
    if (ring->Pop({&event, 1}) == 0) return true;
    if (event.kind == DataPathEvent::Kind::kAcquire) --*acquires;
    OnDataPathEvent(event);
  }
  return ring->Empty();
}

void ControlPlane::OnDataPathEvent(const DataPathEvent& event) {
  const std::shared_ptr<Sa> sa = event.sa_number == 0 ? nullptr : ByNumber(event.sa_number);
  switch (event.kind) {
    case DataPathEvent::Kind::kAcquire:
      OnAcquire(event);
      break;
    case DataPathEvent::Kind::kSoftLimit:
      if (sa != nullptr && sa->state() == SaState::kValid) Expire(sa, false);
      break;
    case DataPathEvent::Kind::kHardLimit:
      if (sa != nullptr) Expire(sa, true);
      break;
    case DataPathEvent::Kind::kSequenceExhausted:
      if (sa != nullptr && exhausted_.insert(sa->number).second) {  // log once
        Log(LogLevel::kWarning,
            "SA " + Describe(sa->spec()) +
                ": sequence numbers are used up, its packets are dropped; rekey it");
      }
      break;
    case DataPathEvent::Kind::kMapping:
      if (sa != nullptr && sa->inbound() != nullptr) mappings_.OnMapping(sa, event.flow);
      break;
    case DataPathEvent::Kind::kShortQuote:
      OnShortQuote(event);
      break;
  }
}

// --- Changes of the host ---

void ControlPlane::OnHostNetworkChange(const NetworkChanges& changes) {
  if (params_.network == nullptr) return;
  const uint64_t now_ns = params_.clock->MonotonicNs();
  for (const NeighbourChange& change : changes.neighbours) {
    next_hops_->OnNeighbour(change, now_ns);
  }
  if (changes.addresses || changes.lost) addresses_changed_ = true;
  if (changes.addresses || changes.routes || changes.lost) next_hops_->AskAgain();
  ReadAddresses(now_ns, Patience::kSome);
}

// Reads at once, but at most at a limited rate, so that a flood of router advertisements costs
// little. The workers' flow caches stay valid while the addresses are unchanged.
void ControlPlane::ReadAddresses(uint64_t now_ns, Patience patience) {
  constexpr uint64_t kEveryNs = 50'000'000;
  if (!addresses_changed_) return;
  if (patience == Patience::kSome && now_ns < next_addresses_at_) return;
  addresses_changed_ = false;
  next_addresses_at_ = now_ns + kEveryNs;
  path_.SetHostAddresses(params_.network->LocalAddresses());
}

}  // namespace cygnet
