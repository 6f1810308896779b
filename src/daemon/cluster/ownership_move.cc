// A move without loss: what the owner and the next owner say to each other by heartbeats. The store
// alone decides who owns the group; whatever is said here, or is not, costs packets at most.
#include <algorithm>
#include <utility>

#include "daemon/cluster/ownership.h"

namespace cygnet {
namespace {

// Without the other node's answer for so long, the group stays.
constexpr uint64_t kOfferNs = 300 * kMsNs;
// The whole move, at the next owner. Longer waiting costs more packets than it keeps: queues fill.
constexpr uint64_t kHoldNs = 500 * kMsNs;
constexpr uint64_t kHoldAgainNs = 1000 * kMsNs;
// Announcements of addresses on devices pass, before packets come that the others attract.
constexpr uint64_t kAnnounceNs = 10 * kMsNs;
// Packets that arrived before the announcements pass the owner, before it is mute.
constexpr uint64_t kDrainNs = 20 * kMsNs;

std::string Ms(uint64_t ns) { return std::to_string(ns / kMsNs) + " ms"; }

}  // namespace

Result<GroupOwner> Ownership::Receiver(GroupId id, const std::string& node, uint64_t now_ns) const {
  if (id == 0 || id > groups_.size()) return MakeError(Errc::kNoEntry, "no such group");
  const Group& group = groups_[id - 1];
  if (!group.works) return MakeError(Errc::kPermission, "this node does not own " + group.name);
  if (group.writing) return MakeError(Errc::kBusy, group.name + " is being moved already");
  if (node == node_) return MakeError(Errc::kInvalid, node + " owns " + group.name + " already");
  GroupOwner owner;
  owner.node = node.empty() ? peers_.FirstOther({group.name, group.prefer}, now_ns) : node;
  if (owner.node.empty()) return owner;
  const ClusterPeers::Peer* peer = peers_.Find(owner.node);
  if (peer == nullptr || !peer->CanTake(group.name, now_ns)) {
    return MakeError(Errc::kNetworkDown,
                     owner.node + " cannot take " + group.name +
                         ": it has no lease, its heartbeats do not arrive, or its configuration "
                         "does not have the group");
  }
  owner.incarnation = peer->incarnation;
  return owner;
}

Status Ownership::Give(GroupId id, const std::string& node, uint64_t now_ns) {
  const auto owner = Receiver(id, node, now_ns);
  if (!owner) {
    if (id != 0 && id <= groups_.size() && !groups_[id - 1].writing) EndOffer(&groups_[id - 1]);
    return owner.error();
  }
  groups_[id - 1].giving = true;
  Write(&groups_[id - 1], *owner, now_ns);
  return {};
}

Status Ownership::Offer(GroupId id, const std::string& node, uint64_t now_ns) {
  const auto owner = Receiver(id, node, now_ns);
  if (!owner) return owner.error();
  Group& group = groups_[id - 1];
  if (owner->node.empty()) {
    return MakeError(Errc::kNetworkDown, "no other node can take " + group.name);
  }
  if (!group.offered_to.empty()) {
    return MakeError(Errc::kBusy, group.name + " is being moved already");
  }
  group.offered_to = owner->node;
  group.offered_ns = now_ns;
  group.ready_ns = 0;
  group.is_told_ready = false;
  steps_.push_back({.kind = Step::Kind::kBeat, .group = id});
  return {};
}

// --- The owner ---

void Ownership::CheckOffer(Group* group, uint64_t now_ns) {
  if (!group->works || group->offered_to.empty() || group->giving) return;
  if (group->ready_ns != 0 && !group->is_told_ready && now_ns >= group->ready_ns + kDrainNs) {
    group->is_told_ready = true;
    Tell(*group, ClusterEvent::Kind::kReady, group->offered_to);
    return;
  }
  const uint64_t most = group->ready_ns == 0 ? kOfferNs : kHoldAgainNs;
  if (now_ns < group->offered_ns + most) return;
  Tell(*group, ClusterEvent::Kind::kNotReady,
       group->ready_ns == 0
           ? group->offered_to + " did not answer for " + Ms(kOfferNs)
           : group->offered_to + " was ready, but this node did not give the group in time");
  EndOffer(group);
}

void Ownership::EndOffer(Group* group) {
  if (std::exchange(group->offered_to, {}).empty()) return;
  steps_.push_back({.kind = Step::Kind::kBeat, .group = IdOf(*group)});
}

// --- The next owner ---

void Ownership::HearMoves(const Heartbeat& heartbeat, uint64_t now_ns) {
  for (Group& group : groups_) {
    if (!group.works) {
      HearOffer(&group, heartbeat, now_ns);
      continue;
    }
    const bool holds =
        std::find(heartbeat.held.begin(), heartbeat.held.end(),
                  Heartbeat::Group{group.name, group.owner.epoch}) != heartbeat.held.end();
    if (holds && group.ready_ns == 0 && group.offered_to == heartbeat.node) group.ready_ns = now_ns;
  }
}

// An owner that does not claim the group any more has given it: the store's word is on its way.
void Ownership::HearOffer(Group* group, const Heartbeat& heartbeat, uint64_t now_ns) {
  const GroupOwner& owner = group->owner;
  if (heartbeat.node != owner.node || heartbeat.incarnation != owner.incarnation) return;
  const Heartbeat::Group claim{group->name, owner.epoch};
  if (std::find(heartbeat.groups.begin(), heartbeat.groups.end(), claim) ==
      heartbeat.groups.end()) {
    return;
  }
  const bool is_offered = std::find(heartbeat.offers.begin(), heartbeat.offers.end(),
                                    Heartbeat::Offer{group->name, node_}) != heartbeat.offers.end();
  if (!is_offered) {
    if (group->hold_ns != 0) Release(group, now_ns);
    return;
  }
  if (group->hold_ns != 0 || group->writing || group->claimed_epoch != 0) return;
  if (!CanWork(now_ns) || now_ns < group->hold_again_ns) return;
  group->hold_ns = now_ns;
  group->is_announced = false;
  steps_.push_back({.kind = Step::Kind::kHold, .group = IdOf(*group)});
}

void Ownership::CheckHold(Group* group, uint64_t now_ns) {
  if (group->hold_ns == 0) return;
  if (!CanWork(now_ns) || now_ns >= group->hold_ns + kHoldNs) {
    Release(group, now_ns);
  } else if (!group->is_announced && now_ns >= group->hold_ns + kAnnounceNs) {
    group->is_announced = true;
    steps_.push_back({.kind = Step::Kind::kAddresses, .group = IdOf(*group)});
    steps_.push_back({.kind = Step::Kind::kBeat, .group = IdOf(*group)});
  }
}

void Ownership::Release(Group* group, uint64_t now_ns) {
  group->hold_ns = 0;
  group->hold_again_ns = now_ns + kHoldAgainNs;
  steps_.push_back({.kind = Step::Kind::kRelease, .group = IdOf(*group)});
  steps_.push_back({.kind = Step::Kind::kBeat, .group = IdOf(*group)});
}

}  // namespace cygnet
