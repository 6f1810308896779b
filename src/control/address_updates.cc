#include "control/address_updates.h"

#include <tuple>

namespace cygnet {

bool AddressUpdates::Before::operator()(const HostAddress& a, const HostAddress& b) const {
  const auto key = [](const HostAddress& h) {
    return std::tie(h.at.family, h.at.address, h.ifindex, h.prefix_bits, h.peer);
  };
  return key(a) < key(b);
}

void AddressUpdates::Apply(std::span<const AddressChange> changes) {
  bool changed = false;
  for (const AddressChange& change : changes) {
    changed |= change.present ? present_.insert(change.address).second
                              : present_.erase(change.address) != 0;
  }
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
  if (!all) return;  // those known so far stay until it can be read
  lost_ = false;
  present_ = {all->begin(), all->end()};
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
  path_.SetHostAddresses(std::move(addresses));
}

}  // namespace cygnet
