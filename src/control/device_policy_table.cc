#include "control/device_policy_table.h"

#include <algorithm>
#include <utility>

namespace cygnet {

bool MayOverlap(const Selector& a, const Selector& b) {
  if (a.family != b.family) return false;
  if (a.proto != 0 && b.proto != 0 && a.proto != b.proto) return false;
  if (a.ifindex != 0 && b.ifindex != 0 && a.ifindex != b.ifindex) return false;
  const auto ports = [](uint16_t x, uint16_t x_mask, uint16_t y, uint16_t y_mask) {
    return ((x ^ y) & x_mask & y_mask) == 0;
  };
  return ports(a.sport, a.sport_mask, b.sport, b.sport_mask) &&
         ports(a.dport, a.dport_mask, b.dport, b.dport_mask) &&
         PrefixMatches(a.saddr, b.saddr, std::min(a.prefixlen_s, b.prefixlen_s)) &&
         PrefixMatches(a.daddr, b.daddr, std::min(a.prefixlen_d, b.prefixlen_d));
}

std::optional<DeviceRefusal> DevicePolicyTable::Give(const PolicySpec& spec, uint64_t place,
                                                     Id* id) {
  const auto at = Add(spec, place, id);
  auto refusal = GiveInOrder(at);
  if (!refusal.has_value()) return std::nullopt;
  keys_.erase(at->first.id);
  rows_.erase(at);
  *id = 0;
  return refusal;
}

std::optional<DeviceRefusal> DevicePolicyTable::Want(const PolicySpec& spec, uint64_t place,
                                                     Id* id) {
  auto refusal = GiveInOrder(Add(spec, place, id));
  Accept(*id, place);
  return refusal;
}

void DevicePolicyTable::Accept(Id id, uint64_t place) {
  const auto at = Find(id);
  RemoveLater(std::exchange(at->second.replaced, {}));
  if (at->first.place == place) return;
  auto node = rows_.extract(at);
  node.key().place = place;
  keys_[id] = node.key();
  rows_.insert(std::move(node));
}

// No packet was decided by it.
void DevicePolicyTable::Withdraw(Id id) {
  const auto at = Find(id);
  for (const OffloadPolicyHandle handle : at->second.replaced) packet_.RemovePolicy(handle);
  if (Holds(at->second)) packet_.RemovePolicy(at->second.handle);
  keys_.erase(id);
  rows_.erase(at);
}

void DevicePolicyTable::Take(Id id) {
  const auto at = Find(id);
  if (Holds(at->second)) RemoveLater({at->second.handle});
  keys_.erase(id);
  rows_.erase(at);
}

// In the order of the look-up, so that a device that lost everything gets each policy once.
std::optional<DeviceRefusal> DevicePolicyTable::GiveAgain() {
  for (auto at = rows_.begin(); at != rows_.end(); ++at) {
    if (Holds(at->second)) continue;
    if (auto refusal = GiveInOrder(at)) return refusal;
    RemoveLater(std::exchange(at->second.replaced, {}));
  }
  return std::nullopt;
}

bool DevicePolicyTable::complete() const {
  return std::all_of(rows_.begin(), rows_.end(),
                     [this](const auto& entry) { return Holds(entry.second); });
}

DevicePolicyTable::Rows::iterator DevicePolicyTable::Add(const PolicySpec& spec, uint64_t place,
                                                         Id* id) {
  *id = next_id_++;
  const Key key{spec.direction, spec.priority, place, *id};
  keys_.emplace(*id, key);
  return rows_.emplace(key, Row{.spec = spec, .handle = {}}).first;
}

DevicePolicyTable::Rows::iterator DevicePolicyTable::Find(Id id) {
  return rows_.find(keys_.at(id));
}

// Of policies with one priority, the device prefers the one that it got first. Therefore it gets
// those behind this one again, if a flow may match both; their first copies go when this policy is
// in force. The same holds for those behind them.
std::optional<DeviceRefusal> DevicePolicyTable::GiveInOrder(Rows::iterator at) {
  const uint32_t resets = device_.resets();
  OffloadPolicyHandle handle;
  if (auto refusal = GiveOne(at->second.spec, resets, &handle)) return refusal;
  std::vector<std::pair<Rows::iterator, OffloadPolicyHandle>> again;
  std::vector<const Selector*> moved{&at->second.spec.selector};
  for (auto next = std::next(at); next != rows_.end(); ++next) {
    const Key& key = next->first;
    if (key.direction != at->first.direction || key.priority != at->first.priority) break;
    const Selector& selector = next->second.spec.selector;
    const bool behind =
        Holds(next->second) && std::any_of(moved.begin(), moved.end(), [&](const Selector* before) {
          return MayOverlap(*before, selector);
        });
    if (!behind) continue;
    OffloadPolicyHandle copy;
    if (auto refusal = GiveOne(next->second.spec, resets, &copy)) {
      for (const auto& [row, added] : again) packet_.RemovePolicy(added);
      packet_.RemovePolicy(handle);
      return refusal;
    }
    again.emplace_back(next, copy);
    moved.push_back(&selector);
  }
  Row& row = at->second;
  row.handle = handle;
  row.resets = resets;
  row.given = true;
  for (const auto& [later, copy] : again) {
    row.replaced.push_back(std::exchange(later->second.handle, copy));
    later->second.resets = resets;
  }
  return std::nullopt;
}

// `resets`: of the device, from before the first policy of this change.
std::optional<DeviceRefusal> DevicePolicyTable::GiveOne(const PolicySpec& spec, uint32_t resets,
                                                        OffloadPolicyHandle* handle) {
  if (auto refusal = packet_.AddPolicy({.spec = spec}, handle)) return refusal;
  if (device_.resets() == resets) return std::nullopt;
  packet_.RemovePolicy(*handle);
  return DeviceRefusal{.kind = InstallError::kDeviceDown,
                       .code = Errc::kBusy,
                       .text = "The device was reset meanwhile"};
}

// The device ignores handles from before a reset.
void DevicePolicyTable::RemoveLater(std::vector<OffloadPolicyHandle> handles) {
  if (handles.empty()) return;
  quiescence_.Retire([packet = &packet_, gone = std::move(handles)] {
    for (const OffloadPolicyHandle handle : gone) packet->RemovePolicy(handle);
  });
}

}  // namespace cygnet
