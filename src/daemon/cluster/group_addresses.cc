#include "daemon/cluster/group_addresses.h"

#include "sa/sa.h"

namespace cygnet {

GroupAddresses::GroupAddresses(const std::vector<ClusterGroupConfig>& groups) {
  for (const ClusterGroupConfig& group : groups) {
    names_.push_back(group.name);
    for (const std::string& text : group.addresses) {
      const auto parsed = ParseAddress(std::string_view(text).substr(0, text.find('/')));
      if (!parsed) continue;
      rows_.push_back({.address = parsed->address,
                       .family = parsed->family,
                       .group = static_cast<GroupId>(names_.size())});
    }
  }
}

GroupId GroupAddresses::Of(const IpAddress& address, IpFamily family) const {
  for (const Row& row : rows_) {
    if (row.family == family && row.address == address) return row.group;
  }
  return 0;
}

GroupId GroupAddresses::Of(const SaSpec& spec) const {
  const GroupId out = MayBeOutbound(spec) ? Of(spec.saddr, spec.family) : 0;
  if (out != 0) return out;
  return MayBeInbound(spec) ? Of(spec.daddr, spec.family) : 0;
}

GroupId GroupAddresses::Of(const PolicySpec& spec) const {
  const bool out = spec.direction == PolicyDirection::kOut;
  for (const Template& tmpl : spec.templates) {
    const GroupId group = Of(out ? tmpl.saddr : tmpl.daddr, tmpl.family);
    if (group != 0) return group;
  }
  const Selector& selector = spec.selector;
  const unsigned bits = out ? selector.prefixlen_s : selector.prefixlen_d;
  if (bits == 0 || bits != AddressBits(selector.family)) return 0;
  return Of(out ? selector.saddr : selector.daddr, selector.family);
}

}  // namespace cygnet
