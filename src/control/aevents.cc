#include "control/aevents.h"

#include <algorithm>

namespace cygnet {
namespace {

constexpr uint64_t kAgeUnitNs = 100'000'000;

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
  NoteTime(sa.number, defaults);
  // The shared time is exact enough for the slice of the defaults, not for another (NoteTime).
  const uint32_t own_age = sa.spec().rare->replay_max_age.value_or(0);
  if (own_age == 0 || own_age == defaults.max_age) return;
  Watch watch = Begin(sa, since_.back());
  watch.reported_at_ns = clock_.MonotonicNs();
  Keep(sa, watch);
}

// SAs that are followed within an eighth of a slice share one time: a timer may fire that much
// early. How old an SA is does not matter any more once it is older than a slice.
void Aevents::NoteTime(uint64_t number, const AeventDefaults& defaults) {
  const uint64_t now_ns = clock_.MonotonicNs();
  const uint64_t slice_ns = defaults.max_age * kAgeUnitNs;
  const bool same = !since_.empty() && since_.back().defaults == defaults;
  if (same && now_ns - since_.back().at_ns < slice_ns / 8) return;
  std::size_t kept = 0;
  for (const Since& since : since_) {
    const bool old = now_ns - since.at_ns >= since.defaults.max_age * kAgeUnitNs;
    const bool as_before = kept > 0 && since_[kept - 1].defaults == since.defaults;
    if (!old || !as_before) since_[kept++] = since;
  }
  since_.resize(kept);
  since_.push_back({.number = number, .at_ns = now_ns, .defaults = defaults});
}

Aevents::Watch Aevents::Begin(const Sa& sa, const Since& since) const {
  const SaSpec& spec = sa.spec();
  return {.max_diff = spec.rare->replay_max_diff.value_or(since.defaults.max_diff),
          .max_age = spec.rare->replay_max_age.value_or(since.defaults.max_age),
          .reported_seq = spec.replay.seq,
          .reported_oseq = spec.replay.oseq,
          .reported_at_ns = since.at_ns};
}

// Larval states are not.
bool Aevents::IsFollowed(const Sa& sa) const {
  return sa.usable() && !since_.empty() && since_.front().number <= sa.number;
}

// REQUIRES: the SA is followed.
Aevents::Watch Aevents::WatchOf(const Sa& sa) const {
  const auto kept = watched_.find(sa.number);
  if (kept != watched_.end()) return kept->second;
  const auto later =
      std::upper_bound(since_.begin(), since_.end(), sa.number,
                       [](uint64_t number, const Since& since) { return number < since.number; });
  return Begin(sa, *std::prev(later));
}

void Aevents::Continue(const Sa& from, const Sa& to) {
  Watch watch = WatchOf(from);
  watch.reported_at_ns = clock_.MonotonicNs();
  Keep(to, watch);
}

AeventView Aevents::View(const SaPtr& sa) const {
  if (!IsFollowed(*sa)) return AeventView{sa, 0, 0};
  const Watch watch = WatchOf(*sa);
  return AeventView{sa, watch.max_diff, watch.max_age};
}

Status Aevents::Update(const SaPtr& sa, const AeventChange& change, const RequestOrigin& origin) {
  if (!IsFollowed(*sa)) return MakeError(Errc::kInvalid, "SA must be in VALID state");
  if (change.replay_fault) return *change.replay_fault;
  Watch watch = WatchOf(*sa);
  if (change.replay) CYGNET_RETURN_IF_ERROR(RestoreReplay(*sa, *change.replay));
  if (change.usage) sa->lifetime().SetUsage(*change.usage);
  if (change.max_diff) watch.max_diff = *change.max_diff;
  if (change.max_age) watch.max_age = *change.max_age;
  Report(sa, watch, AeventCause::kUpdate, origin);
  return {};
}

void Aevents::Report(const SaPtr& sa, Watch watch, AeventCause cause, const RequestOrigin& origin) {
  watch.reported_seq = ReceivedOf(*sa);
  watch.reported_oseq = SentOf(*sa);
  watch.reported_at_ns = clock_.MonotonicNs();
  Keep(*sa, watch);
  announcer_.Notify(SaAevent{.sa = sa, .cause = cause}, origin);
}

void Aevents::Check(const SaPtr& sa, uint64_t now_ns) {
  if (!IsFollowed(*sa)) return;
  const Watch watch = WatchOf(*sa);
  const uint64_t moved =
      std::max(ReceivedOf(*sa) - watch.reported_seq, SentOf(*sa) - watch.reported_oseq);
  if (moved == 0) return;
  if (watch.max_diff != 0 && moved >= watch.max_diff) {
    Report(sa, watch, AeventCause::kSequence);
  } else if (watch.max_age != 0 && now_ns - watch.reported_at_ns >= watch.max_age * kAgeUnitNs) {
    Report(sa, watch, AeventCause::kTimer);
  }
}

}  // namespace cygnet
