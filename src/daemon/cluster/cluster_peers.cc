#include "daemon/cluster/cluster_peers.h"

#include <algorithm>

namespace cygnet {
namespace {

// Longer silence is not announced, but a mistake or an end.
constexpr uint64_t kMaxPauseMs = 10'000;
// The most that one heartbeat names.
constexpr std::size_t kMaxHeard = 30;

// Whether `a` comes before `b`.
bool Before(const std::string& a, const std::string& b, const std::string& prefer) {
  if ((a == prefer) != (b == prefer)) return a == prefer;
  return a < b;
}

}  // namespace

bool ClusterPeers::Peer::Claims(const std::string& group) const {
  return std::any_of(groups.begin(), groups.end(),
                     [&group](const Heartbeat::Group& claimed) { return claimed.name == group; });
}

bool ClusterPeers::Peer::CanTake(const std::string& group, uint64_t now_ns) const {
  return registered && IsHeard(now_ns) && paused_until_ns <= now_ns &&
         std::find(configured.begin(), configured.end(), group) != configured.end();
}

void ClusterPeers::Register(const std::string& name, const Key& key, uint64_t now_ns) {
  if (name == own_name_) return;
  Peer& peer = peers_[name];
  peer.name = name;
  peer.address = key.address;
  peer.configured = key.groups;
  if (peer.incarnation != key.incarnation) {
    peer.incarnation = key.incarnation;
    peer.sequence = 0;
    peer.groups.clear();
    peer.heard.clear();
    peer.registered = false;
  }
  if (peer.registered) return;
  peer.registered = true;
  peer.registered_ns = now_ns;
}

void ClusterPeers::Unregister(const std::string& name, uint64_t now_ns) {
  const auto found = peers_.find(name);
  if (found == peers_.end() || !found->second.registered) return;
  found->second.registered = false;
  found->second.registered_ns = now_ns;
}

void ClusterPeers::Introduce(const std::string& name, Incarnation incarnation,
                             const std::string& address) {
  if (name.empty() || name == own_name_ || peers_.contains(name)) return;
  Peer& peer = peers_[name];
  peer.name = name;
  peer.address = address;
  peer.incarnation = incarnation;
}

bool ClusterPeers::Hear(const Heartbeat& heartbeat, uint64_t heard_ns) {
  const auto found = peers_.find(heartbeat.node);
  if (found == peers_.end()) return false;
  Peer& peer = found->second;
  if (heartbeat.incarnation != peer.incarnation || heartbeat.sequence <= peer.sequence) {
    return false;
  }
  peer.sequence = heartbeat.sequence;
  if (!peer.IsHeard(heard_ns)) peer.heard_since_ns = heard_ns;
  peer.heard_ns = std::max(peer.heard_ns, heard_ns);
  const uint64_t pause_ms = std::min<uint64_t>(heartbeat.paused_ms, kMaxPauseMs);
  peer.paused_until_ns = pause_ms == 0 ? 0 : heard_ns + pause_ms * kMsNs;
  peer.store_silent_ns = heartbeat.store_silent_ms * kMsNs;
  peer.groups = heartbeat.groups;
  peer.heard = heartbeat.heard;
  return true;
}

const ClusterPeers::Peer* ClusterPeers::Find(const std::string& name) const {
  const auto found = peers_.find(name);
  return found == peers_.end() ? nullptr : &found->second;
}

std::vector<std::string> ClusterPeers::Heard(uint64_t now_ns) const {
  std::vector<std::string> names;
  for (const auto& [name, peer] : peers_) {
    if (peer.IsHeard(now_ns) && names.size() < kMaxHeard) names.push_back(name);
  }
  return names;
}

bool ClusterPeers::IsHeardByAnother(const std::string& name, uint64_t now_ns) const {
  return std::any_of(peers_.begin(), peers_.end(), [&name, now_ns](const auto& entry) {
    const Peer& peer = entry.second;
    return peer.name != name && peer.IsHeard(now_ns) &&
           std::find(peer.heard.begin(), peer.heard.end(), name) != peer.heard.end();
  });
}

uint64_t ClusterPeers::RankOfThis(const Wish& wish, const std::string& without,
                                  uint64_t now_ns) const {
  uint64_t rank = 0;
  for (const auto& [name, peer] : peers_) {
    if (name != without && peer.CanTake(wish.group, now_ns) &&
        Before(name, own_name_, wish.prefer)) {
      ++rank;
    }
  }
  return rank;
}

std::string ClusterPeers::FirstOther(const Wish& wish, uint64_t now_ns) const {
  std::string first;
  for (const auto& [name, peer] : peers_) {
    if (peer.CanTake(wish.group, now_ns) && (first.empty() || Before(name, first, wish.prefer))) {
      first = name;
    }
  }
  return first;
}

}  // namespace cygnet
