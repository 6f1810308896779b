// Groups go to other nodes: by a move of the operator, or because this process ends.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "daemon/cluster/cluster_control.h"

namespace cygnet {
namespace {

// How long an orderly end waits until the store has the next owners.
constexpr uint64_t kLeaveNs = 1'000'000'000;

}  // namespace

Status ClusterControl::GiveAway(GroupId id, const std::string& to) {
  Group& group = groups_[id - 1];
  numbers_.Mute(id);
  const Status returned = numbers_.ReturnUnused(id, [this] { node_.Alive(); });
  if (!returned) {
    Log(LogLevel::kWarning, fmt::format("cluster: group {}: unused numbers stay a gap: {}",
                                        NameOf(id), returned.error().message));
  }
  group.use = Use::kGiving;
  group.given_ns = params_.clock->MonotonicNs();
  const Status given = node_.Give(id, to);
  if (!given) TakeBack(id);
  return given;
}

Status ClusterControl::Move(const std::string& name, const std::string& to) {
  const auto found = std::find_if(config_.groups.begin(), config_.groups.end(),
                                  [&name](const ClusterGroupConfig& g) { return g.name == name; });
  if (found == config_.groups.end()) {
    return MakeError(Errc::kNoEntry, fmt::format("no group \"{}\" in this cluster", name));
  }
  const GroupId id = static_cast<GroupId>(found - config_.groups.begin()) + 1;
  Group& group = groups_[id - 1];
  if (group.use == Use::kGiving || group.is_offered) {
    return MakeError(Errc::kBusy, fmt::format("group {} is being moved already", name));
  }
  if (group.use != Use::kActive) {
    const std::string owner = node_.owners()[id - 1].node;
    return MakeError(Errc::kBusy,
                     owner.empty() ? fmt::format("nobody owns group {} at present", name)
                                   : fmt::format("{} owns group {}: move it there", owner, name));
  }
  if (to == config_.node) return MakeError(Errc::kExists, "this node owns it already");
  const std::vector<ClusterNode::Peer> peers = node_.peers();
  const auto peer = std::find_if(peers.begin(), peers.end(),
                                 [&to](const ClusterNode::Peer& p) { return p.name == to; });
  if (peer == peers.end()) {
    return MakeError(Errc::kNoEntry, fmt::format("no node \"{}\" in this cluster at present", to));
  }
  if (!peer->heard) {
    return MakeError(Errc::kNetworkDown,
                     fmt::format("{} sends no heartbeats at present, so it may not work", to));
  }
  // The group would be mute until the store answers.
  if (store_.is_away()) {
    return MakeError(Errc::kNetworkDown, "the store does not answer: " + store_.fault() +
                                             "; move the group when it does");
  }
  CYGNET_RETURN_IF_ERROR(node_.Offer(id, to));
  group.is_offered = true;
  return {};
}

void ClusterControl::Stop(End end) {
  bool gives = false;
  is_ending_ = true;
  for (GroupId id = 1; id <= groups_.size(); ++id) {
    if (groups_[id - 1].use != Use::kActive) continue;
    if (end == End::kStop) {
      Group& group = groups_[id - 1];
      group.is_offered = group.is_offered || node_.Offer(id, "").has_value();
      gives = group.is_offered || GiveAway(id, "").has_value() || gives;
      continue;
    }
    numbers_.Mute(id);
    (void)numbers_.ReturnUnused(id, [this] { node_.Alive(); }).has_value();
  }
  if (end == End::kRestart) return node_.Pause(1000);
  const uint64_t until = params_.clock->MonotonicNs() + kLeaveNs;
  const auto is_giving = [](const Group& group) {
    return group.use == Use::kGiving || group.is_offered;
  };
  while (gives && std::any_of(groups_.begin(), groups_.end(), is_giving) &&
         params_.clock->MonotonicNs() < until) {
    node_.Alive();
    pollfd ready{.fd = node_.event_fd(), .events = POLLIN, .revents = 0};
    (void)poll(&ready, 1, 10);
    for (const ClusterEvent& event : node_.Take()) {
      if (event.kind != ClusterEvent::Kind::kGained) Handle(event);
    }
  }
}

// --- What the other node said ---

void ClusterControl::OnReady(const ClusterEvent& event) {
  Group& group = groups_[event.group - 1];
  if (!std::exchange(group.is_offered, false) || group.use != Use::kActive) return;
  const Status given = GiveAway(event.group, event.text);
  if (!given)
    Record(event.group, "kept", "it stays here, the move failed: " + given.error().message);
}

void ClusterControl::OnNotReady(const ClusterEvent& event) {
  Group& group = groups_[event.group - 1];
  if (!std::exchange(group.is_offered, false) || group.use != Use::kActive) return;
  if (is_ending_) {
    (void)GiveAway(event.group, "").has_value();  // whoever wants it
    return;
  }
  Record(event.group, "kept", "it stays here, the move failed: " + event.text + "; move it again");
}

}  // namespace cygnet
