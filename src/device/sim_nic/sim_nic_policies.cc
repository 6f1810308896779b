#include "device/sim_nic/sim_nic_policies.h"

#include <algorithm>

#include "net/ip_protocol.h"

namespace cygnet {
namespace {

DeviceRefusal Refuse(const char* text) {
  return {InstallError::kRefused, Errc::kNotSupported, text};
}

bool Fits(const Template& t, const FlowKey& flow, const OffloadSaFacts& sa) {
  const bool tunnel = sa.mode == SaMode::kTunnel;
  const IpAddress& daddr = tunnel ? t.daddr : flow.daddr;
  const IpAddress& saddr = tunnel ? t.saddr : flow.saddr;
  return t.proto == kProtoEsp && t.mode == static_cast<uint8_t>(sa.mode) && t.reqid == sa.reqid &&
         (t.spi.value == 0 || t.spi == sa.spi) && (tunnel || flow.family == sa.family) &&
         daddr == sa.daddr && (saddr.IsAny() || sa.saddr.IsAny() || saddr == sa.saddr) &&
         sa.selector.Admits(flow, sa.selector.ifindex);
}

}  // namespace

std::optional<DeviceRefusal> SimNicPolicies::Add(const PolicySpec& spec,
                                                 OffloadPolicyHandle* handle) {
  if (spec.direction == PolicyDirection::kForward)
    return Refuse("forward policies stay with the host");
  if (spec.type != PolicyType::kMain) return Refuse("only policies of type main");
  if (spec.templates.size() > 1) return Refuse("only one template for each policy");
  if (!spec.templates.empty() && spec.templates[0].proto != kProtoEsp) {
    return Refuse("only ESP templates");
  }
  std::vector<Row>& rows = policies_[static_cast<std::size_t>(spec.direction)];
  const auto place = std::upper_bound(
      rows.begin(), rows.end(), spec.priority,
      [](uint32_t priority, const Row& row) { return priority < row.spec.priority; });
  *handle = OffloadPolicyHandle(next_handle_++);
  rows.insert(place, {*handle, spec});
  ++version_;
  return std::nullopt;
}

void SimNicPolicies::Remove(OffloadPolicyHandle handle) {
  for (std::vector<Row>& rows : policies_) {
    std::erase_if(rows, [handle](const Row& row) { return row.handle == handle; });
  }
  ++version_;
}

void SimNicPolicies::Wipe() {
  for (std::vector<Row>& rows : policies_) rows.clear();
  ++version_;
}

const SimNicPolicies::Row* SimNicPolicies::Lookup(const FlowKey& flow) {
  if (cache_.empty()) cache_.resize(kCached);
  Cached& known = cache_[flow.Hash() & (kCached - 1)];
  if (known.version == version_ && known.flow == flow) return known.row;
  const auto& rows = policies_[static_cast<std::size_t>(PolicyDirection::kOut)];
  // Its policies are for its own interface.
  const auto it = std::find_if(rows.begin(), rows.end(), [&flow](const Row& row) {
    return row.spec.selector.Matches(flow, row.spec.selector.ifindex);
  });
  known = {flow, version_, it == rows.end() ? nullptr : &*it};
  return known.row;
}

bool SimNicPolicies::Protects(const FlowKey& flow, const OffloadSaFacts& sa) {
  const Row* row = Lookup(flow);
  return row != nullptr && row->spec.action == PolicyAction::kAllow &&
         row->spec.templates.size() == 1 && Fits(row->spec.templates[0], flow, sa);
}

}  // namespace cygnet
