// The entries of a cluster's store as a value, with what its watchers are told. For tests only.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "daemon/cluster/cluster_entries.h"

namespace cygnet::test {

inline ClusterEvent EventOf(ClusterEvent::Kind kind) {
  ClusterEvent event;
  event.kind = kind;
  return event;
}
inline ClusterEvent EntryEvent(const std::string& key, const std::string& value) {
  ClusterEvent event = EventOf(ClusterEvent::Kind::kEntry);
  event.key = key;
  event.value = value;
  return event;
}

struct MemoryCluster {
  std::map<std::string, std::string> content;
  std::map<GroupId, std::string> owner;
  std::vector<ClusterEvent> told;  // kEntry, to all nodes
  uint64_t era = 1;
  bool away = false;
  int steps = 0;  // how often somebody waited for it

  // As an attacker, or an operator with etcdctl, would.
  void Write(const std::string& key, const std::string& value) {
    value.empty() ? static_cast<void>(content.erase(key)) : static_cast<void>(content[key] = value);
    told.push_back(EntryEvent(key, value));
  }
};

// As one node sees it.
class MemoryEntries final : public ClusterEntries {
 public:
  MemoryEntries(MemoryCluster* cluster, std::string node)
      : cluster_(*cluster), node_(std::move(node)) {}

  Status Put(const std::string& key, const std::string& value, GroupId group) override {
    return PutAll({{.key = key, .value = value}}, group);
  }
  Status Delete(const std::string& key, GroupId group) override {
    CYGNET_RETURN_IF_ERROR(Check(group));
    if (cluster_.content.contains(key)) cluster_.Write(key, "");
    return {};
  }
  uint64_t era() const override { return cluster_.era; }
  Status PutAll(const std::vector<Pair>& pairs, GroupId group) override {
    CYGNET_RETURN_IF_ERROR(Check(group));
    for (const Pair& pair : pairs) cluster_.Write(pair.key, pair.value);
    return {};
  }

 private:
  Status Check(GroupId group) {
    ++cluster_.steps;
    if (cluster_.away) return MakeError(Errc::kNetworkDown, "no answer");
    if (cluster_.owner[group] != node_) return MakeError(Errc::kPermission, "another node owns it");
    return {};
  }
  MemoryCluster& cluster_;
  const std::string node_;
};

}  // namespace cygnet::test
