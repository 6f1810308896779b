// What the parts of a cluster tell each other (decision 0026). A group is a set of virtual
// addresses with the SAs that have one of them at this end. One node owns it; the others hold it
// ready.
//
// The owner of a group is a key of the store. Each change of it raises the epoch, and compares the
// revision that the store had for it. The store gives numbers only in a transaction that compares
// this revision, too: so clocks and heartbeats decide who works, never whether it is safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cygnet {

// Index into ClusterConfig::groups, from 1. 0: an SA that belongs to no group.
using GroupId = uint32_t;

// One start of cygnetd on a node: random, never 0.
using Incarnation = uint64_t;

struct GroupOwner {
  std::string node;  // empty: nobody owns it
  Incarnation incarnation = 0;
  uint64_t epoch = 0;    // of the group, counts changes of the owner
  int64_t revision = 0;  // mod_revision of the key; 0: the key does not exist
  uint64_t since_unix_ns = 0;
};

// What the node's thread tells the control thread, in order.
struct ClusterEvent {
  enum class Kind : uint8_t {
    kGained,     // this start owns `group` now: its numbers may be taken
    kLost,       // another owner, or no lease any more: the group is mute at once
    kOwner,      // another node owns it now: for reports
    kReady,      // of Offer: the node `text` holds the group's packets and waits for its numbers
    kNotReady,   // of Offer: the group stays here; `text` says why
    kStoreAway,  // the store does not answer; `text` says why
    kStoreBack,
    kWentBack,       // the store lost what it had confirmed: no number of an SA that exists is safe
    kEntry,          // an SA or a policy in the store was written or removed
    kEntriesRead,    // all that are there were told
    kEntriesUnread,  // some may have been missed; all are told again, then kEntriesRead follows
  };
  Kind kind{};
  GroupId group = 0;
  GroupOwner owner{};
  std::string text{};   // for the operator: why
  std::string key{};    // kEntry: without the cluster's prefix
  std::string value{};  // kEntry: as stored; empty: it was removed
  // kGained by a take-over: since the last heartbeat of the owner before, and until the store named
  // this node.
  uint64_t silence_ns = 0;
  uint64_t transaction_ns = 0;
};

// A figure of the last take-over of a group by this node.
struct TakeOverFigures {
  uint64_t silence_ns = 0;      // from the last heartbeat of the owner before
  uint64_t transaction_ns = 0;  // until the store named this node
  uint64_t numbers_ns = 0;      // until all its SAs had numbers
  uint64_t sas = 0;
  std::string reason;
};

}  // namespace cygnet
