#include "daemon/cluster/ownership.h"

#include <algorithm>
#include <utility>

namespace cygnet {
namespace {

constexpr uint64_t kSecondNs = 1000 * kMsNs;
// Two nodes do not hear each other at once: both learn the other's address first.
constexpr uint64_t kFirstListenNs = 350 * kMsNs;
constexpr uint64_t kPreferredNs = kSecondNs;
// What each node that comes before this one gets as a start.
constexpr uint64_t kRankNs = 2 * kBeatNs;
constexpr uint64_t kNoLeaseNs = 500 * kMsNs;
// The store is asked each 300 ms. One that stalls for less than the gap is silent for less than
// kNoStoreNs for everybody; after a longer stall, all nodes wait until it is steady again.
constexpr uint64_t kStoreGapNs = 500 * kMsNs;
constexpr uint64_t kNoStoreNs = kSecondNs;
constexpr uint64_t kSteadyNs = 2 * kSecondNs;
constexpr uint64_t kIdleOwnerNs = kSecondNs;
constexpr uint64_t kHoldDownNs = 10 * kSecondNs;
constexpr uint64_t kRetryNs = 200 * kMsNs;
// A node without a lease that was heard so recently may be back.
constexpr uint64_t kRecentNs = 10 * kSecondNs;

std::string Ms(uint64_t ns) { return std::to_string(ns / kMsNs) + " ms"; }

}  // namespace

Ownership::Ownership(std::string node, Incarnation incarnation,
                     std::vector<ClusterGroupConfig> groups)
    : node_(std::move(node)), incarnation_(incarnation), peers_(node_) {
  for (ClusterGroupConfig& config : groups) {
    Group group;
    group.name = std::move(config.name);
    group.prefer = std::move(config.prefer);
    groups_.push_back(std::move(group));
  }
}

void Ownership::OnOwner(GroupId id, const GroupOwner& owner, int64_t at_revision, uint64_t now_ns) {
  Group& group = groups_[id - 1];
  if (at_revision <= group.known_at) return;
  const bool first = group.known_at < 0;
  group.known_at = at_revision;
  if (!first && owner.revision == group.owner.revision) {
    // A write that compared this revision may still be under way: its answer ends it.
    return;
  }
  const bool gave = group.giving;
  const bool was_mine = IsMine(group.owner);
  group.owner = owner;
  group.owner_ns = now_ns;
  group.highest_epoch = std::max(group.highest_epoch, owner.epoch);
  if (owner.epoch >= group.claimed_epoch) group.claimed_epoch = 0;
  group.writing = group.giving = false;
  // However this node noticed it: by the watch, by a heartbeat, or by its clock.
  group.lost = was_mine && !gave && !owner.node.empty() && !IsMine(owner);
  if (IsMine(owner)) return;
  if (group.hold_ns != 0) Release(&group, now_ns);
  group.reason.clear();
  if (group.works) {
    if (gave) group.gave_ns = now_ns + kHoldDownNs;
    const std::string other = owner.node.empty() ? "nobody" : owner.node;
    End(&group, gave ? "given to " + other : other + " took it over");
  }
  Tell(group, ClusterEvent::Kind::kOwner, "");
}

void Ownership::OnSynced(uint64_t asked_ns, uint64_t now_ns) {
  if (!synced_) listening_ns_ = now_ns + kFirstListenNs;
  synced_ = true;
  for (Group& group : groups_) {
    if (group.claimed_ns < asked_ns) group.claimed_epoch = 0;
  }
}

void Ownership::OnWriteFailed(GroupId id, const std::string& why, uint64_t now_ns) {
  Group& group = groups_[id - 1];
  if (!group.writing) return;  // the store said meanwhile who owns it
  group.writing = false;
  group.retry_ns = now_ns + kRetryNs;
  steps_.push_back({.kind = Step::Kind::kResync, .group = id});
  if (!std::exchange(group.giving, false) || !group.works) return;
  EndOffer(&group);
  Tell(group, ClusterEvent::Kind::kGained, "it stays here, the move failed: " + why);
}

void Ownership::OnWentBack(uint64_t now_ns) {
  for (Group& group : groups_) {
    if (group.works) End(&group, "the store lost what it had confirmed");
    if (group.hold_ns != 0) Release(&group, now_ns);
    group.owner = {};
    group.known_at = -1;
    group.owner_ns = now_ns;
    group.claimed_epoch = 0;
    group.writing = group.giving = group.lost = false;
  }
  synced_ = false;
}

void Ownership::OnStoreAnswer(uint64_t now_ns) {
  if (now_ns > store_ns_ + kStoreGapNs) steady_ns_ = now_ns;
  store_ns_ = now_ns;
}

bool Ownership::StoreIsSteady(uint64_t now_ns) const {
  return now_ns < store_ns_ + kStoreGapNs && now_ns >= steady_ns_ + kSteadyNs;
}

bool Ownership::OnHeartbeat(const Heartbeat& heartbeat, uint64_t heard_ns, uint64_t now_ns) {
  if (!peers_.Hear(heartbeat, heard_ns)) return false;
  for (const Heartbeat::Group& claim : heartbeat.groups) {
    const GroupId id = Find(claim.name);
    if (id == 0) continue;
    Group& group = groups_[id - 1];
    if (claim.epoch <= group.owner.epoch || claim.epoch <= group.claimed_epoch) continue;
    // The store's word is on its way. Until then this node neither works for it nor takes it.
    group.claimed_epoch = claim.epoch;
    group.claimed_ns = now_ns;
    group.highest_epoch = std::max(group.highest_epoch, claim.epoch);
    if (!group.works) continue;
    // The new owner may be faster than the store's answer to this node's own write.
    End(&group, group.giving ? "given to " + heartbeat.node
                             : heartbeat.node + " says that it took it over");
    steps_.push_back({.kind = Step::Kind::kResync, .group = id});
  }
  // What was said before this process stopped and woke is over.
  if (now_ns < heard_ns + kSilenceNs) HearMoves(heartbeat, now_ns);
  return true;
}

void Ownership::Tick(uint64_t now_ns) {
  // This process was stopped: what others said in between is still to be read.
  if (tick_ns_ != 0 && now_ns > tick_ns_ + kSilenceNs) {
    listening_ns_ = std::max(listening_ns_, now_ns);
  }
  tick_ns_ = now_ns;
  const bool fence = !HasLease(now_ns) && !OthersClaimNothing(now_ns);
  for (Group& group : groups_) {
    if (fence && group.works) End(&group, "this node's lease ended, another node may take it over");
    CheckOffer(&group, now_ns);
    CheckHold(&group, now_ns);
    if (group.works) continue;
    if (IsMine(group.owner) && group.claimed_epoch == 0) {
      if (CanWork(now_ns)) Begin(&group, now_ns);
      continue;
    }
    const auto reason = ReasonToTake(&group, now_ns);
    if (!reason.has_value()) continue;
    group.reason = *reason;
    const std::string& before = group.owner.node;
    group.silence_ns =
        before.empty() || before == node_ ? 0 : SilenceOf(peers_.Find(before), now_ns);
    Write(&group, {.node = node_, .incarnation = incarnation_}, now_ns);
  }
}

Heartbeat Ownership::Beat(uint64_t now_ns) const {
  Heartbeat beat;
  beat.node = node_;
  beat.incarnation = incarnation_;
  beat.paused_ms = paused_ms_;
  beat.store_silent_ms = static_cast<uint32_t>(
      std::min<uint64_t>((now_ns - std::min(now_ns, store_ns_)) / kMsNs, UINT32_MAX));
  for (const Group& group : groups_) {
    if (group.works) beat.groups.push_back({group.name, group.owner.epoch});
  }
  beat.heard = peers_.Heard(now_ns);
  for (const Group& group : groups_) {
    if (group.works && !group.offered_to.empty() && beat.offers.size() < kMaxOffers) {
      beat.offers.push_back({group.name, group.offered_to});
    }
    if (group.hold_ns != 0 && group.is_announced && beat.held.size() < kMaxOffers) {
      beat.held.push_back({group.name, group.owner.epoch});
    }
  }
  return beat;
}

GroupId Ownership::Find(const std::string& name) const {
  for (const Group& group : groups_) {
    if (group.name == name) return IdOf(group);
  }
  return 0;
}

bool Ownership::OthersClaimNothing(uint64_t now_ns) const {
  for (const auto& [name, peer] : peers_.all()) {
    const bool recent = peer.heard_ns != 0 && now_ns < peer.heard_ns + kRecentNs;
    if (!peer.registered && !recent) continue;
    if (!peer.IsHeard(now_ns)) return false;
    for (const Group& group : groups_) {
      if (group.works && peer.Claims(group.name)) return false;
    }
  }
  return true;
}

void Ownership::Begin(Group* group, uint64_t now_ns) {
  group->works = true;
  group->hold_ns = 0;
  const GroupId id = IdOf(*group);
  steps_.push_back({.kind = Step::Kind::kAddresses, .group = id});
  const bool taken = !group->reason.empty();
  Tell(*group, ClusterEvent::Kind::kGained, taken ? group->reason : "the store names this node");
  ClusterEvent& event = steps_.back().event;
  if (taken) {
    event.silence_ns = group->silence_ns;
    event.transaction_ns = now_ns - group->write_ns;
  }
  group->reason.clear();
  steps_.push_back({.kind = Step::Kind::kBeat, .group = id});
}

void Ownership::End(Group* group, const std::string& why) {
  group->works = false;
  group->offered_to.clear();
  const GroupId id = IdOf(*group);
  steps_.push_back({.kind = Step::Kind::kNoAddresses, .group = id});
  Tell(*group, ClusterEvent::Kind::kLost, why);
  steps_.push_back({.kind = Step::Kind::kBeat, .group = id});
}

void Ownership::Tell(const Group& group, ClusterEvent::Kind kind, const std::string& why) {
  Step step;
  step.kind = Step::Kind::kTell;
  step.group = IdOf(group);
  step.event.kind = kind;
  step.event.group = step.group;
  step.event.owner = group.owner;
  step.event.text = why;
  steps_.push_back(std::move(step));
}

void Ownership::Write(Group* group, const GroupOwner& owner, uint64_t now_ns) {
  Step step;
  step.kind = Step::Kind::kWrite;
  step.group = IdOf(*group);
  step.owner = owner;
  step.owner.epoch = group->highest_epoch + 1;
  step.owner.revision = group->owner.revision;
  step.before = group->owner;
  group->writing = true;
  group->write_ns = now_ns;
  steps_.push_back(std::move(step));
}

std::optional<std::string> Ownership::ReasonToTake(Group* group, uint64_t now_ns) const {
  if (!CanWork(now_ns) || group->writing || group->known_at < 0 || group->claimed_epoch != 0) {
    return std::nullopt;
  }
  if (now_ns < group->retry_ns) return std::nullopt;
  if (group->owner.node.empty()) return ReasonIfUnowned(*group, now_ns);
  if (group->owner.node == node_) return "an earlier start of this node owned it";
  return ReasonAgainst(group, now_ns);
}

std::optional<std::string> Ownership::ReasonIfUnowned(const Group& group, uint64_t now_ns) const {
  const bool wait = !group.prefer.empty() && group.prefer != node_;
  const uint64_t delay = (wait ? kPreferredNs : 0) +
                         peers_.RankOfThis({group.name, group.prefer}, "", now_ns) * kRankNs;
  if (now_ns < std::max(group.owner_ns + delay, group.gave_ns)) return std::nullopt;
  return "nobody owned it";
}

std::optional<std::string> Ownership::ReasonAgainst(Group* group, uint64_t now_ns) const {
  const std::string& other = group->owner.node;
  const ClusterPeers::Peer* peer = peers_.Find(other);
  const bool registered = peer != nullptr && peer->registered;
  const bool heard = peer != nullptr && peer->IsHeard(now_ns);
  if (peer != nullptr && now_ns < peer->paused_until_ns) return std::nullopt;
  if (!registered || (heard && now_ns >= peer->heard_since_ns + kHoldDownNs)) group->lost = false;
  if (group->lost) return std::nullopt;
  const uint64_t rank = peers_.RankOfThis({group->name, group->prefer}, other, now_ns) * kRankNs;
  const uint64_t silence = SilenceOf(peer, now_ns);
  if (!heard) {
    if (silence < kSilenceNs + rank) return std::nullopt;
    if (registered && peers_.IsHeardByAnother(other, now_ns)) return std::nullopt;
    return "no heartbeat of " + other + " for " + Ms(silence);
  }
  if (StoreIsSteady(now_ns) && peer->store_silent_ns >= kNoStoreNs + rank) {
    return "the store does not answer " + other + " for " + Ms(peer->store_silent_ns);
  }
  const uint64_t known = std::max({group->owner_ns, listening_ns_, peer->heard_since_ns}) + rank;
  if (!registered && now_ns >= std::max(peer->registered_ns + rank, known) + kNoLeaseNs) {
    return other + " has no lease any more";
  }
  if (!peer->Claims(group->name) && now_ns >= known + kIdleOwnerNs) {
    return other + " does not work for it";
  }
  return std::nullopt;
}

uint64_t Ownership::SilenceOf(const ClusterPeers::Peer* peer, uint64_t now_ns) const {
  uint64_t since = listening_ns_;
  if (peer != nullptr) since = std::max(since, peer->heard_ns);
  if (peer != nullptr && peer->registered) {
    since = std::max(since, peer->registered_ns + kFirstListenNs);
  }
  return now_ns > since ? now_ns - since : 0;
}

}  // namespace cygnet
