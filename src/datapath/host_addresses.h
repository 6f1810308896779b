// HostAddresses: what this host receives itself, to distinguish "in" from "forward". Immutable;
// DataPath replaces it as a whole.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "net/address.h"

namespace cygnet {

class HostAddresses {
 public:
  HostAddresses() = default;
  // `addresses`: of the host's interfaces. `networks`: what the host's routes deliver to itself
  // beside them (kernel: routes of type local, broadcast and anycast).
  explicit HostAddresses(std::vector<ParsedAddress> addresses,
                         std::vector<AddressPrefix> networks = {})
      : addresses_(std::move(addresses)), networks_(std::move(networks)) {}

  bool Contains(const IpAddress& a, IpFamily family) const {
    for (const ParsedAddress& own : addresses_) {
      if (own.family == family && own.address == a) return true;
    }
    for (const AddressPrefix& network : networks_) {
      if (network.Contains(a, family)) return true;
    }
    return IsMulticastOrBroadcast(a, family);
  }
  // Of interfaces.
  const std::vector<ParsedAddress>& all() const { return addresses_; }
  bool AreTheSame(const HostAddresses& other) const {
    const auto same = [](const ParsedAddress& a, const ParsedAddress& b) {
      return a.family == b.family && a.address == b.address;
    };
    return std::is_permutation(addresses_.begin(), addresses_.end(), other.addresses_.begin(),
                               other.addresses_.end(), same) &&
           std::is_permutation(networks_.begin(), networks_.end(), other.networks_.begin(),
                               other.networks_.end());
  }

 private:
  std::vector<ParsedAddress> addresses_;
  std::vector<AddressPrefix> networks_;
};

}  // namespace cygnet
