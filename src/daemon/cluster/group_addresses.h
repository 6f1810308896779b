// GroupAddresses: which group an SA or a policy belongs to.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/config/cluster_config.h"
#include "net/address.h"
#include "policy/policy.h"
#include "sa/sa_spec.h"

namespace cygnet {

class GroupAddresses {
 public:
  // REQUIRES: the addresses were checked.
  explicit GroupAddresses(const std::vector<ClusterGroupConfig>& groups);

  // The group that has the address; 0: none.
  GroupId Of(const IpAddress& address, IpFamily family) const;
  // By the address of this end: outbound SAs have it as their source, inbound ones as their
  // destination; without a direction either will do.
  GroupId Of(const SaSpec& spec) const;
  // By the address of this end in a template, or, where SAs have the addresses of the packets, in
  // the selector.
  GroupId Of(const PolicySpec& spec) const;

  std::size_t size() const { return names_.size(); }
  const std::string& Name(GroupId group) const { return names_.at(group - 1); }

 private:
  struct Row {
    IpAddress address;
    IpFamily family = IpFamily::kUnspec;
    GroupId group = 0;
  };
  std::vector<Row> rows_;
  std::vector<std::string> names_;
};

}  // namespace cygnet
