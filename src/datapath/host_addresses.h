// HostAddresses: what this host receives itself, to distinguish "in" from "forward". Immutable;
// DataPath replaces it as a whole.
#pragma once

#include <algorithm>
#include <tuple>
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
      : addresses_(std::move(addresses)), networks_(std::move(networks)) {
    std::sort(addresses_.begin(), addresses_.end(), Before<ParsedAddress>);
    std::sort(networks_.begin(), networks_.end(), ByLength);
    single_ = std::find_if(networks_.begin(), networks_.end(), IsSingle) - networks_.begin();
  }

  bool Contains(const IpAddress& a, IpFamily family) const {
    const ParsedAddress wanted{.address = a, .family = family};
    if (std::binary_search(addresses_.begin(), addresses_.end(), wanted, Before<ParsedAddress>)) {
      return true;
    }
    const auto single = networks_.begin() + single_;
    const AddressPrefix one{
        .address = a, .family = family, .bits = static_cast<uint8_t>(AddressBits(family))};
    return std::any_of(networks_.begin(), single,
                       [&](const AddressPrefix& network) { return network.Contains(a, family); }) ||
           std::binary_search(single, networks_.end(), one, Before<AddressPrefix>) ||
           IsMulticastOrBroadcast(a, family);
  }
  // Of interfaces, sorted.
  const std::vector<ParsedAddress>& all() const { return addresses_; }
  bool AreTheSame(const HostAddresses& other) const {
    const auto same = [](const ParsedAddress& a, const ParsedAddress& b) {
      return a.family == b.family && a.address == b.address;
    };
    return std::equal(addresses_.begin(), addresses_.end(), other.addresses_.begin(),
                      other.addresses_.end(), same) &&
           networks_ == other.networks_;
  }

 private:
  template <typename Address>
  static bool Before(const Address& a, const Address& b) {
    return std::tie(a.family, a.address) < std::tie(b.family, b.address);
  }
  static bool IsSingle(const AddressPrefix& network) {
    return network.bits == AddressBits(network.family);
  }
  // Few are longer than one address, as 127.0.0.0/8; each network has single ones.
  static bool ByLength(const AddressPrefix& a, const AddressPrefix& b) {
    const bool a_is_single = IsSingle(a), b_is_single = IsSingle(b);
    return std::tie(a_is_single, a.family, a.address, a.bits) <
           std::tie(b_is_single, b.family, b.address, b.bits);
  }

  std::vector<ParsedAddress> addresses_;
  std::vector<AddressPrefix> networks_;
  std::ptrdiff_t single_ = 0;  // where the networks of one address begin
};

}  // namespace cygnet
