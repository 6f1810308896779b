// ClusterNode: this node's part in a cluster, in a thread of its own. It keeps the node's lease,
// sends and receives heartbeats, watches the store, takes over groups, and puts their addresses on
// this host or takes them away. The control thread learns what happens by events.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/config/cluster_config.h"

namespace cygnet {

// Holds packets back while a group comes here: they wait in the queues of the kernel or of the
// device, until the group has its numbers. Any thread.
class TrafficHold {
 public:
  virtual ~TrafficHold() = default;
  // It is the host's side of a wire, or rests on one.
  virtual bool IsDevice(const std::string& interface) const = 0;
  // Nothing is taken from wires for `ms`, or until Release.
  virtual void HoldWires(uint32_t ms) = 0;
  // The same for what the host sends from now on.
  virtual void HoldHosts(uint32_t ms) = 0;
  virtual void Release() = 0;
};

class ClusterNode {
 public:
  virtual ~ClusterNode() = default;

  // Readable when Take returns something. Control thread, as all of this.
  virtual int event_fd() const = 0;
  virtual std::vector<ClusterEvent> Take() = 0;

  // Called at least every 50 ms while the control loop and all workers run: without it, heartbeats
  // stop after 150 ms, and another node takes over.
  virtual void Alive() = 0;
  // Whether this node does not know all policies of its groups. Then it takes no group: what they
  // protect would leave in clear. With ClusterShare::kSas true until it is told otherwise.
  virtual void SetBlind(bool blind) = 0;

  // Begins a move: asks `node`, or the next one if `node` is empty, to hold the group's packets.
  // This node works on meanwhile. kReady or kNotReady follows; after kReady, call Give.
  virtual Status Offer(GroupId group, const std::string& node) = 0;
  // Gives `group` to `node`, or to whoever wants it if `node` is empty. Call it when the group is
  // mute and its exact numbers are stored. kLost follows.
  virtual Status Give(GroupId group, const std::string& node) = 0;
  // This process ends for a short time (a restart): the others wait up to `ms` for the next start.
  virtual void Pause(uint32_t ms) = 0;

  // For reports: what is known now.
  struct Peer {
    std::string name;
    std::string address;
    bool heard = false;
    uint64_t silent_ns = 0;  // since the last heartbeat
  };
  virtual std::vector<Peer> peers() const = 0;
  virtual std::vector<GroupOwner> owners() const = 0;  // by GroupId - 1
  virtual bool has_lease() const = 0;
};

}  // namespace cygnet
