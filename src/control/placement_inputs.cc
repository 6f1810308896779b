// What a placement decision depends on: whose word counts, which devices may be asked, whether the
// half is used at all.
#include <algorithm>

#include "control/placement.h"

namespace cygnet {
namespace {

// The SA's selector lies within the prefix. A selector that says nothing lies within none.
bool Within(const AddressPrefix& prefix, const IpAddress& address, uint8_t bits, IpFamily family) {
  return bits >= prefix.bits && prefix.Contains(address, family);
}

bool Fits(const PlacementRule& rule, const SaSpec& spec, bool inbound) {
  const Selector& sel = spec.selector;
  const IpAddress& peer = inbound ? spec.saddr : spec.daddr;
  return (!rule.reqid.has_value() || *rule.reqid == spec.reqid) &&
         (!rule.inbound.has_value() || *rule.inbound == inbound) &&
         (!rule.peer.has_value() || rule.peer->Contains(peer, spec.family)) &&
         (!rule.src.has_value() || Within(*rule.src, sel.saddr, sel.prefixlen_s, sel.family)) &&
         (!rule.dst.has_value() || Within(*rule.dst, sel.daddr, sel.prefixlen_d, sel.family));
}

bool Fits(const PlacementCommand& command, const SaSpec& spec) {
  return (!command.spi.has_value() || *command.spi == spec.spi) &&
         (!command.daddr.has_value() || *command.daddr == spec.daddr) &&
         (!command.reqid.has_value() || *command.reqid == spec.reqid);
}

}  // namespace

std::vector<PlacementDevice> Placement::DeviceInputs() const {
  std::vector<PlacementDevice> devices;
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    const ControlDevice& d = params_.devices[i];
    PlacementDevice input{.device = d.offload,
                          .mode = d.mode,
                          .ifindex = d.ifindex,
                          .denied = state_[i].denied,
                          .away = {},
                          .allow_crypto = d.allow_crypto,
                          .allow_packet = d.allow_packet,
                          .rekey_reserve = d.rekey_reserve};
    if (state_[i].disabled) {
      input.away = PlacementReason{ReasonCode::kOperatorDisabled, {}};
    } else if (state_[i].lied) {
      input.away = PlacementReason{ReasonCode::kDeviceFailed,
                                   "it sent packets that it had not sealed; stopped at the wire"};
    }
    devices.push_back(std::move(input));
  }
  return devices;
}

// An interface that does not exist: the kernel asks its routes which one it would be
// (xfrm_dev_state_add).
int32_t Placement::DeviceOfClient(const SaSpec& spec) const {
  const OffloadRequest& request = *spec.offload;
  for (const ControlDevice& d : params_.devices) {
    if (d.ifindex == request.ifindex) return request.ifindex;
  }
  if (const int32_t under = params_.device_under(request.ifindex); under != 0) return under;
  if (params_.interface_exists(request.ifindex)) return request.ifindex;
  const int32_t egress = params_.egress_of(request.inbound ? spec.saddr : spec.daddr, spec.family);
  if (const int32_t under = params_.device_under(egress); under != 0) return under;
  constexpr int32_t kNone = -1;  // 0 would mean any device
  return egress != 0 ? egress : request.ifindex != 0 ? request.ifindex : kNone;
}

// The operator's word, else the first rule, else the client's; nullopt: nobody's.
std::optional<PlacementRequest> Placement::RequestFor(const SaSpec& spec, bool inbound) const {
  const PlacementRequest client = ClientRequest(spec);
  for (const PlacementCommand& command : overrides_) {
    if (!Fits(command, spec)) continue;
    PlacementRequest request{.mode = *ParsePlacementMode(command.mode),
                             .by = RequestedBy::kOperator,
                             .ifindex = client.ifindex,
                             .pinned = command.pinned};
    if (command.device.has_value()) {
      request.ifindex = params_.devices[*DeviceNamed(*command.device)].ifindex;
    }
    return request;
  }
  for (const PlacementRule& rule : params_.rules) {
    if (!Fits(rule, spec, inbound)) continue;
    // Of an SA that may be used either way only the half that is used deserves a slot.
    if (rule.mode == PlacementMode::kAuto && client.by == RequestedBy::kNobody &&
        !DirectionIsKnown(spec, inbound)) {
      continue;
    }
    return PlacementRequest{.mode = rule.mode,
                            .by = RequestedBy::kRule,
                            .ifindex = rule.ifindex != 0 ? rule.ifindex : client.ifindex,
                            .pinned = rule.pin};
  }
  if (client.by == RequestedBy::kNobody) return std::nullopt;
  PlacementRequest request = client;
  request.ifindex = DeviceOfClient(spec);
  return request;
}

bool Placement::DirectionIsKnown(const SaSpec& spec, bool inbound) const {
  if (spec.direction != SaDirection::kUnspec || spec.offload.has_value()) return true;
  const HostAddresses& own = path_.host_addresses();
  const bool to_us = own.Contains(spec.daddr, spec.family);
  const bool from_us = own.Contains(spec.saddr, spec.family);
  return inbound ? to_us && !from_us : from_us && !to_us;
}

// An SA between the same ends and with the same reqid has a slot of the device.
bool Placement::IsRekey(const SaSpec& spec, bool inbound) const {
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    if (params_.devices[i].rekey_reserve == 0) continue;
    if (slots_of_.count({i, inbound, spec.reqid.value, spec.saddr, spec.daddr}) != 0) return true;
  }
  return false;
}

PlacementInputs Placement::InputsFor(const SaSpec& spec, bool inbound,
                                     std::span<const PlacementDevice> devices) const {
  PlacementInputs inputs{.devices = devices,
                         .engines = params_.engines,
                         .engine_denied = engine_denied_,
                         .algorithm_denied = {},
                         .look_aside = params_.look_aside,
                         .queues = path_.workers(),
                         .now = Now(),
                         .direction_is_known = DirectionIsKnown(spec, inbound),
                         .request = RequestFor(spec, inbound),
                         .is_rekey = IsRekey(spec, inbound)};
  if (params_.gate != nullptr) inputs.algorithm_denied = params_.gate->DenyAlgorithm(spec);
  inputs.keys = keys_;
  return inputs;
}

// True when somebody may be given keys now who might not, or the other way round.
bool Placement::RefreshGate() {
  bool changed = false;
  const uint64_t now = Now();
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    const ControlDevice& d = params_.devices[i];
    std::optional<PlacementReason> denied;
    if (!d.trusted) {
      denied = PlacementReason{ReasonCode::kNotTrusted, {}};
    } else if (d.offload != nullptr && params_.gate != nullptr) {
      denied = params_.gate->DenyDevice(d, now);
    }
    changed = changed || denied != state_[i].denied;
    state_[i].denied = std::move(denied);
  }
  for (uint32_t e = 0; e < params_.engines->size(); ++e) {
    auto denied =
        params_.gate != nullptr ? params_.gate->DenyEngine(*params_.engines, e, now) : std::nullopt;
    if (engine_disabled_[e]) denied = PlacementReason{ReasonCode::kOperatorDisabled, {}};
    changed = changed || denied != engine_denied_[e];
    engine_denied_[e] = std::move(denied);
  }
  return changed;
}

}  // namespace cygnet
