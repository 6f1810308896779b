// What the operator sees of a cluster, and the order to move a group.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cygnet {

struct ClusterPeerReport {
  std::string name;
  std::string address;  // of its heartbeats
  bool heard = false;
  uint64_t silent_ms = 0;  // since its last heartbeat
};

// The last time that this node got a group.
struct ClusterTakeOverReport {
  uint64_t time = 0;  // wall-clock seconds
  std::string reason;
  uint64_t silence_us = 0;      // from the last heartbeat of the owner before
  uint64_t transaction_us = 0;  // until the store named this node
  uint64_t numbers_us = 0;      // until all its SAs had numbers
  uint64_t sas = 0;
};

struct ClusterGroupReport {
  std::string name;
  std::vector<std::string> addresses{};
  std::string prefer{};
  // "active": this node uses its SAs; "waking": they get their first numbers; "moving": this node
  // gives it away; "refused": the store says that it is another node's; "standby": another node has
  // it; "nobody".
  std::string state{};
  std::string owner{};  // node; empty: nobody
  uint64_t epoch = 0;
  uint64_t since = 0;  // wall-clock seconds
  uint64_t sas = 0;
  uint64_t waiting = 0;  // for their first numbers
  uint64_t gained = 0;   // by this node, since its start
  uint64_t lost = 0;
  std::optional<ClusterTakeOverReport> last{};
};

struct ClusterReport {
  std::string name;
  std::string node;
  std::string share;    // "numbers", "sas"
  std::string inbound;  // "strict", "checkpoint"
  bool store_away = false;
  std::string store_fault{};  // empty: the store works
  uint64_t store_away_since = 0;
  bool has_lease = false;
  uint64_t era = 0;
  std::string went_back{};  // why SAs of an older era get no numbers; empty: they do
  uint64_t refused_entries = 0;
  std::vector<ClusterPeerReport> peers{};
  std::vector<ClusterGroupReport> groups{};
};

class ClusterOperator {
 public:
  virtual ~ClusterOperator() = default;
  virtual ClusterReport Report() const = 0;
  // kNoEntry: no such group or node. kBusy: another node owns it, or its node is not heard.
  virtual Status Move(const std::string& group, const std::string& node) = 0;
};

}  // namespace cygnet
