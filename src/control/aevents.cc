#include "control/aevents.h"

#include <algorithm>

namespace cygnet {
namespace {

uint64_t ReceivedOf(const Sa& sa) {
  return sa.inbound() != nullptr ? sa.inbound()->replay.highest() : 0;
}

uint64_t SentOf(const Sa& sa) {
  return sa.outbound() != nullptr ? sa.outbound()->sequence.last_sent() : 0;
}

// True if `seq` was seen, by the kernel's bitmap layouts (ReplayState).
bool WasSeen(const ReplayState& replay, uint64_t seq) {
  const uint64_t bit = replay.extended_form ? (seq - 1) % replay.window : replay.seq - seq;
  return (replay.bitmap[bit / 32] >> (bit % 32) & 1) != 0;
}

// Moves the window up to the client's position and marks what was seen there. In ascending order,
// so that no packet counts as late.
void AdvanceWindow(const ReplayState& replay, ReplayWindow* window) {
  const uint64_t bits = std::min<uint64_t>(replay.window, replay.bitmap.size() * 32);
  for (uint64_t back = std::min(bits, replay.seq); back-- > 1;) {
    const uint64_t seq = replay.seq - back;
    // Numbers already known, or older than the window, keep their state.
    if (WasSeen(replay, seq)) (void)window->Commit(seq);
  }
  (void)window->Commit(replay.seq);
}

// Forward only: reusing an outbound number reuses a nonce, and moving an inbound window back admits
// replays.
Status RestoreReplay(const Sa& sa, const ReplayState& replay) {
  const ReplayState& own = sa.spec().replay;
  if (replay.extended_form != own.extended_form) return {};
  if (replay.extended_form && replay.bitmap.size() != own.bitmap.size()) {
    return MakeError(Errc::kInvalid, "New ESN size doesn't match the existing SA's ESN size");
  }
  if (replay.oseq < SentOf(sa) || replay.seq < ReceivedOf(sa)) {
    return MakeError(Errc::kInvalid, "Sequence numbers of an SA in use can't go back");
  }
  if (sa.outbound() != nullptr) sa.outbound()->sequence.AdvanceTo(replay.oseq);
  if (sa.inbound() != nullptr && replay.seq > ReceivedOf(sa)) {
    ReplayState state = replay;
    state.window = own.window;
    AdvanceWindow(state, &sa.inbound()->replay);
  }
  return {};
}

}  // namespace

void Aevents::Follow(const Sa& sa, const AeventDefaults& defaults) {
  const SaSpec& spec = sa.spec();
  watched_.insert_or_assign(sa.number,
                            {.max_diff = spec.rare->replay_max_diff.value_or(defaults.max_diff),
                             .max_age = spec.rare->replay_max_age.value_or(defaults.max_age),
                             .reported_seq = spec.replay.seq,
                             .reported_oseq = spec.replay.oseq,
                             .reported_at_ns = clock_.MonotonicNs()});
}

void Aevents::Continue(const Sa& from, const Sa& to) {
  const Watch& old = watched_.at(from.number);
  Watch& watch = watched_.at(to.number);
  watch.max_diff = old.max_diff;
  watch.max_age = old.max_age;
  watch.reported_seq = old.reported_seq;
  watch.reported_oseq = old.reported_oseq;
}

AeventView Aevents::View(const std::shared_ptr<Sa>& sa) const {
  const auto watch = watched_.find(sa->number);
  if (watch == watched_.end()) return AeventView{sa, 0, 0};  // larval
  return AeventView{sa, watch->second.max_diff, watch->second.max_age};
}

Status Aevents::Update(const std::shared_ptr<Sa>& sa, const AeventChange& change,
                       const RequestOrigin& origin) {
  const auto watch = watched_.find(sa->number);
  if (!sa->usable() || watch == watched_.end()) {
    return MakeError(Errc::kInvalid, "SA must be in VALID state");
  }
  if (change.replay_fault) return *change.replay_fault;
  if (change.replay) CYGNET_RETURN_IF_ERROR(RestoreReplay(*sa, *change.replay));
  if (change.usage) sa->lifetime().SetUsage(*change.usage);
  if (change.max_diff) watch->second.max_diff = *change.max_diff;
  if (change.max_age) watch->second.max_age = *change.max_age;
  Report(sa, &watch->second, AeventCause::kUpdate, origin);
  return {};
}

void Aevents::Report(const std::shared_ptr<Sa>& sa, Watch* watch, AeventCause cause,
                     const RequestOrigin& origin) {
  watch->reported_seq = ReceivedOf(*sa);
  watch->reported_oseq = SentOf(*sa);
  watch->reported_at_ns = clock_.MonotonicNs();
  announcer_.Notify(SaAevent{.sa = sa, .cause = cause}, origin);
}

void Aevents::Check(const std::shared_ptr<Sa>& sa, uint64_t now_ns) {
  constexpr uint64_t kAgeUnitNs = 100'000'000;
  const auto found = watched_.find(sa->number);
  if (found == watched_.end() || !sa->usable()) return;
  Watch& watch = found->second;
  const uint64_t moved =
      std::max(ReceivedOf(*sa) - watch.reported_seq, SentOf(*sa) - watch.reported_oseq);
  if (moved == 0) return;
  if (watch.max_diff != 0 && moved >= watch.max_diff) {
    Report(sa, &watch, AeventCause::kSequence);
  } else if (watch.max_age != 0 && now_ns - watch.reported_at_ns >= watch.max_age * kAgeUnitNs) {
    Report(sa, &watch, AeventCause::kTimer);
  }
}

}  // namespace cygnet
