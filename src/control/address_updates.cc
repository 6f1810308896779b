#include "control/address_updates.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace cygnet {

bool AddressUpdates::Before::operator()(const HostAddress& a, const HostAddress& b) const {
  const auto key = [](const HostAddress& h) {
    return std::tie(h.at.family, h.at.address, h.ifindex, h.prefix_bits, h.peer);
  };
  return key(a) < key(b);
}

bool AddressUpdates::Before::operator()(const AddressPrefix& a, const AddressPrefix& b) const {
  return std::tie(a.family, a.address, a.bits) < std::tie(b.family, b.address, b.bits);
}

void AddressUpdates::Apply(std::span<const AddressChange> changes) {
  bool changed = false;
  for (const AddressChange& change : changes) {
    if (change.present) {
      changed |= present_.insert(change.address).second;
    } else if (present_.erase(change.address) != 0) {
      changed = true;
      lost_ |= host_.read_local != nullptr;  // routes go with it, perhaps without an event
    }
  }
  if (changed) Publish();
}

void AddressUpdates::AddLocal(std::span<const AddressPrefix> networks) {
  bool changed = false;
  for (const AddressPrefix& network : networks) changed |= local_.insert(network).second;
  if (changed) Publish();
}

void AddressUpdates::CatchUp() {
  if (host_.take_events) host_.take_events();
  if (lost_) Read();
}

void AddressUpdates::ReadIfDue() {
  if (lost_ && clock_.MonotonicNs() >= next_at_ns_) Read();
}

void AddressUpdates::Read() {
  constexpr uint64_t kEveryNs = 50'000'000;
  next_at_ns_ = clock_.MonotonicNs() + kEveryNs;
  const auto all = host_.read();
  auto local = host_.read_local ? host_.read_local() : std::vector<AddressPrefix>{};
  if (!all || !local) return;  // those known so far stay until they can be read
  lost_ = false;
  present_ = {all->begin(), all->end()};
  local_ = {local->begin(), local->end()};
  Publish();
}

// Each address once, however many interfaces have it.
void AddressUpdates::Publish() {
  std::vector<ParsedAddress> addresses;
  for (const HostAddress& own : present_) {
    const bool again = !addresses.empty() && addresses.back().family == own.at.family &&
                       addresses.back().address == own.at.address;
    if (!again) addresses.push_back(own.at);
  }
  // Each address has a route of type local, which says nothing new.
  const auto is_address = [&](const AddressPrefix& network) {
    const auto before = [](const ParsedAddress& a, const ParsedAddress& b) {
      return std::tie(a.family, a.address) < std::tie(b.family, b.address);
    };
    return network.bits == AddressBits(network.family) &&
           std::binary_search(addresses.begin(), addresses.end(),
                              ParsedAddress{.address = network.address, .family = network.family},
                              before);
  };
  std::vector<AddressPrefix> networks;
  std::remove_copy_if(local_.begin(), local_.end(), std::back_inserter(networks), is_address);
  path_.SetHostAddresses(std::move(addresses), std::move(networks));
}

}  // namespace cygnet
