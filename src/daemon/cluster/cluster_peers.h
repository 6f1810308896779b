// ClusterPeers: what this node knows of the others, from their keys in the store and from their
// heartbeats. Time is CLOCK_BOOTTIME, and comes from the caller.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/cluster/cluster_types.h"
#include "daemon/cluster/heartbeat.h"

namespace cygnet {

inline constexpr uint64_t kMsNs = 1'000'000;
inline constexpr uint64_t kBeatNs = 50 * kMsNs;
// A node that was not heard for so long is silent.
inline constexpr uint64_t kSilenceNs = 3 * kBeatNs;

class ClusterPeers {
 public:
  struct Peer {
    std::string name;
    std::string address;  // ADDRESS:PORT of its heartbeats
    Incarnation incarnation = 0;
    bool registered = false;      // its key is in the store: it has a lease
    uint64_t registered_ns = 0;   // since when it is, or is not
    uint64_t heard_ns = 0;        // the last heartbeat; 0: none
    uint64_t heard_since_ns = 0;  // the first of an unbroken row of them
    uint64_t sequence = 0;
    uint64_t paused_until_ns = 0;
    uint64_t store_silent_ns = 0;            // as it said
    std::vector<std::string> configured{};   // groups that it can own
    std::vector<Heartbeat::Group> groups{};  // that it works for
    std::vector<std::string> heard{};

    bool IsHeard(uint64_t now_ns) const { return heard_ns != 0 && now_ns < heard_ns + kSilenceNs; }
    // Its last heartbeat said that it works for `group`.
    bool Claims(const std::string& group) const;
    // It is there, and has `group` in its configuration.
    bool CanTake(const std::string& group, uint64_t now_ns) const;
  };

  explicit ClusterPeers(std::string own_name) : own_name_(std::move(own_name)) {}

  // Its key in the store. This node's own key is skipped.
  struct Key {
    Incarnation incarnation = 0;
    std::string address{};
    std::vector<std::string> groups{};
  };
  void Register(const std::string& name, const Key& key, uint64_t now_ns);
  void Unregister(const std::string& name, uint64_t now_ns);
  // An address from another place than its own key, if there is none yet.
  void Introduce(const std::string& name, Incarnation incarnation, const std::string& address);
  // False: the heartbeat was dropped. It is of another start of the node than the store names, or
  // an old one once more.
  bool Hear(const Heartbeat& heartbeat, uint64_t heard_ns);

  // nullptr: unknown.
  const Peer* Find(const std::string& name) const;
  const std::map<std::string, Peer>& all() const { return peers_; }
  std::vector<std::string> Heard(uint64_t now_ns) const;
  // Another node that is heard says that it hears `name`.
  bool IsHeardByAnother(const std::string& name, uint64_t now_ns) const;
  // How many nodes that can take the group come before this one. Its preferred node comes first,
  // then names decide; `without` is left out.
  struct Wish {
    std::string group;
    std::string prefer;
  };
  uint64_t RankOfThis(const Wish& wish, const std::string& without, uint64_t now_ns) const;
  // The first that can take the group; empty: none.
  std::string FirstOther(const Wish& wish, uint64_t now_ns) const;

 private:
  const std::string own_name_;
  std::map<std::string, Peer> peers_;
};

}  // namespace cygnet
