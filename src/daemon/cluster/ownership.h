// Ownership: decides which groups this node takes, works for, gives and loses. It does nothing
// itself: it gets what happened, with the time by CLOCK_BOOTTIME, and returns steps.
//
//   unowned                   taken at once by the preferred node, by others a second later
//   the owner is silent       for 150 ms without an announced pause: the first live node takes it
//   the owner has no store    for 1 s, although it is heard, and this node has one: the same
//   the owner has no lease    for 500 ms, although it is heard: the same
//   owner: an earlier start   of this node: taken at once
//   owner: this start         works as soon as there is a lease; at once when another node gave it
//
// It stops working for a group when the store names another owner, when a heartbeat claims the
// group with a higher epoch, or when the lease ends while another node could have taken over.
// A move: the owner offers the group by its heartbeat, and works on. The other node takes the
// addresses, holds the packets that come, and says so by its heartbeat. Then the owner gives the
// group. Without this answer for 300 ms it stays; a node that holds packets waits for 500 ms.
//
// A node that lost a group to another one does not take it back while that one has a lease, unless
// it heard that one again for 10 s. So two nodes that do not hear each other take it once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/cluster/cluster_peers.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/cluster/heartbeat.h"
#include "daemon/config/cluster_config.h"

namespace cygnet {

class Ownership {
 public:
  struct Step {
    enum class Kind : uint8_t {
      kWrite,      // make `owner` the owner, if the key still has owner.revision
      kAddresses,  // the group's addresses come here and are announced
      kNoAddresses,
      kHold,     // packets of the group wait from now on; the addresses on devices come here
      kRelease,  // the group does not come: its addresses go, and packets pass again
      kTell,     // `event` for the control thread
      kBeat,     // a heartbeat now: what it says has changed
      kResync,   // read owners and nodes once more
    };
    Kind kind{};
    GroupId group = 0;
    GroupOwner owner{};   // kWrite; since_unix_ns is for the caller to set
    GroupOwner before{};  // kWrite: who is owner until then
    ClusterEvent event{};
  };

  Ownership(std::string node, Incarnation incarnation, std::vector<ClusterGroupConfig> groups);

  // What the store says. `at_revision`: of the store when it said so; older words are skipped.
  void OnOwner(GroupId group, const GroupOwner& owner, int64_t at_revision, uint64_t now_ns);
  // All owners and nodes were told, as they were at `asked_ns` or later.
  void OnSynced(uint64_t asked_ns, uint64_t now_ns);
  // A write of `group` failed; whether the store has it is unknown.
  void OnWriteFailed(GroupId group, const std::string& why, uint64_t now_ns);
  // The store lost what it had confirmed: nothing that it said holds.
  void OnWentBack(uint64_t now_ns);
  // The lease holds until `deadline_ns`, a margin subtracted. 0: there is none.
  void OnLease(uint64_t deadline_ns) { lease_ns_ = deadline_ns; }

  // The store answered a question that a majority of its members has to agree on.
  void OnStoreAnswer(uint64_t now_ns);

  // False: dropped.
  bool OnHeartbeat(const Heartbeat& heartbeat, uint64_t heard_ns, uint64_t now_ns);
  // The control thread runs.
  void OnAlive(uint64_t now_ns) { alive_ns_ = now_ns; }
  // It does not know all policies of the groups: this node begins to work for none meanwhile.
  void OnBlind(bool blind) { blind_ = blind; }
  Status Offer(GroupId group, const std::string& node, uint64_t now_ns);
  Status Give(GroupId group, const std::string& node, uint64_t now_ns);
  void Pause(uint32_t ms) { paused_ms_ = ms; }

  // Decides by time. Call it every 10 ms or so, and first after a time without calls.
  void Tick(uint64_t now_ns);
  std::vector<Step> TakeSteps() { return std::exchange(steps_, {}); }

  ClusterPeers& peers() { return peers_; }
  const ClusterPeers& peers() const { return peers_; }
  const GroupOwner& owner(GroupId group) const { return groups_[group - 1].owner; }
  bool Works(GroupId group) const { return groups_[group - 1].works; }
  bool Holds(GroupId group) const { return groups_[group - 1].hold_ns != 0; }
  bool HasLease(uint64_t now_ns) const { return now_ns < lease_ns_; }
  // Without a heartbeat others take over: so none while the control thread stands still.
  bool IsAlive(uint64_t now_ns) const { return alive_ns_ != 0 && now_ns < alive_ns_ + kSilenceNs; }
  // What this node says now, without cluster, sequence and time.
  Heartbeat Beat(uint64_t now_ns) const;
  GroupId Find(const std::string& name) const;  // 0: none

 private:
  struct Group {
    std::string name;
    std::string prefer;
    GroupOwner owner{};
    int64_t known_at = -1;       // revision of the store; -1: nothing is known
    uint64_t owner_ns = 0;       // since when this owner is known
    uint64_t highest_epoch = 0;  // also of claims
    uint64_t claimed_epoch = 0;  // by a heartbeat, newer than `owner`; 0: none
    uint64_t claimed_ns = 0;
    bool works = false;
    bool lost = false;      // `owner` took it from this node
    bool giving = false;    // a write of Give is under way
    bool writing = false;   // a write is under way
    uint64_t retry_ns = 0;  // no write before
    uint64_t gave_ns = 0;   // given away: not taken before, while nobody owns it
    std::string reason{};   // of the take that is under way
    uint64_t silence_ns = 0;
    uint64_t write_ns = 0;
    // A move, at the owner.
    std::string offered_to{};  // empty: none
    uint64_t offered_ns = 0;
    uint64_t ready_ns = 0;  // the other one holds the packets
    bool is_told_ready = false;
    // A move, at the other one.
    uint64_t hold_ns = 0;        // it holds packets; 0: not
    bool is_announced = false;   // all addresses are here
    uint64_t hold_again_ns = 0;  // not before
  };

  bool IsMine(const GroupOwner& owner) const {
    return owner.node == node_ && owner.incarnation == incarnation_;
  }
  bool CanWork(uint64_t now_ns) const {
    return synced_ && HasLease(now_ns) && IsAlive(now_ns) && paused_ms_ == 0 && !blind_;
  }
  GroupId IdOf(const Group& group) const {
    return static_cast<GroupId>(&group - groups_.data()) + 1;
  }
  // Who gets the group, as the store will name it. An empty `node`: the next one.
  Result<GroupOwner> Receiver(GroupId group, const std::string& node, uint64_t now_ns) const;
  void HearMoves(const Heartbeat& heartbeat, uint64_t now_ns);
  void HearOffer(Group* group, const Heartbeat& heartbeat, uint64_t now_ns);
  void CheckOffer(Group* group, uint64_t now_ns);
  void CheckHold(Group* group, uint64_t now_ns);
  void EndOffer(Group* group);
  void Release(Group* group, uint64_t now_ns);
  bool OthersClaimNothing(uint64_t now_ns) const;
  // It answers this node, and did so without a gap for a while: if it does not answer another one,
  // the way to it is broken, not the store.
  bool StoreIsSteady(uint64_t now_ns) const;
  void Begin(Group* group, uint64_t now_ns);
  void End(Group* group, const std::string& why);
  void Tell(const Group& group, ClusterEvent::Kind kind, const std::string& why);
  void Write(Group* group, const GroupOwner& owner, uint64_t now_ns);
  // Why this node takes the group now; nullopt: it does not.
  std::optional<std::string> ReasonToTake(Group* group, uint64_t now_ns) const;
  std::optional<std::string> ReasonIfUnowned(const Group& group, uint64_t now_ns) const;
  std::optional<std::string> ReasonAgainst(Group* group, uint64_t now_ns) const;
  uint64_t SilenceOf(const ClusterPeers::Peer* peer, uint64_t now_ns) const;

  const std::string node_;
  const Incarnation incarnation_;
  ClusterPeers peers_;
  std::vector<Group> groups_;
  std::vector<Step> steps_;
  bool synced_ = false;
  bool blind_ = false;
  uint64_t lease_ns_ = 0;
  uint64_t alive_ns_ = 0;
  uint64_t store_ns_ = 0;   // the last answer
  uint64_t steady_ns_ = 0;  // the first answer of a row without a gap
  uint64_t tick_ns_ = 0;
  uint64_t listening_ns_ = 0;  // silence counts from here at the earliest
  uint32_t paused_ms_ = 0;
};

}  // namespace cygnet
