// ClusterEntries: where the owner of a group puts what the other nodes need to go on with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/cluster/cluster_types.h"

namespace cygnet {

class ClusterEntries {
 public:
  virtual ~ClusterEntries() = default;

  // `key` without the cluster's prefix. Stored when it returns; kPermission: this node does not own
  // `group`.
  virtual Status Put(const std::string& key, const std::string& value, GroupId group) = 0;
  // No error if there is no such key.
  virtual Status Delete(const std::string& key, GroupId group) = 0;
  // It rises when the store lost what it had confirmed. 0: the store was never reached.
  virtual uint64_t era() const = 0;

  struct Pair {
    std::string key;
    std::string value;
  };
  // Several of one group, in as few steps as it can.
  virtual Status PutAll(const std::vector<Pair>& pairs, GroupId group) {
    for (const Pair& pair : pairs) CYGNET_RETURN_IF_ERROR(Put(pair.key, pair.value, group));
    return {};
  }
};

}  // namespace cygnet
