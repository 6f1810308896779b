// What nodes write into the store about themselves and about who owns a group, as JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/cluster/cluster_peers.h"
#include "daemon/cluster/cluster_types.h"

namespace cygnet {

// Names behind the cluster's prefix.
std::string OwnerKey(const std::string& group);                    // group/NAME/owner
std::string NodeKey(const std::string& node);                      // node/NAME
std::string HistoryKey(const std::string& group, uint64_t epoch);  // history/NAME/EPOCH
// The NAME of such a key; nullopt: it is another one.
std::optional<std::string> GroupOfOwnerKey(std::string_view key);
std::optional<std::string> NodeOfNodeKey(std::string_view key);

// `heartbeat`: where the owner gets heartbeats, for nodes that find its own key gone.
std::string OwnerJson(const GroupOwner& owner, const std::string& heartbeat);
struct ParsedOwner {
  GroupOwner owner{};  // without revision
  std::string heartbeat{};
};
// What cannot be read is owned by "?": nobody takes it for unowned.
ParsedOwner ParseOwner(std::string_view json);

std::string NodeJson(const ClusterPeers::Key& key, const std::string& version);
// nullopt: it cannot be read.
std::optional<ClusterPeers::Key> ParseNode(std::string_view json);

// `until_unix_ns` 0: it still is the owner.
std::string HistoryJson(const GroupOwner& owner, uint64_t until_unix_ns);

}  // namespace cygnet
