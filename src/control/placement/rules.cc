#include "control/placement/rules.h"

#include <utility>

namespace cygnet {
namespace {

// True if the SA's selector lies within the prefix. An unspecified selector lies within none.
bool Within(const AddressPrefix& prefix, const IpAddress& address, uint8_t bits, IpFamily family) {
  return bits >= prefix.bits && prefix.Contains(address, family);
}

bool Covers(const PlacementRule& rule, const SaSpec& spec, Half half) {
  const Selector& sel = spec.selector;
  const IpAddress& peer = IsInbound(half) ? spec.saddr : spec.daddr;
  return (!rule.reqid.has_value() || *rule.reqid == spec.reqid) &&
         (!rule.half.has_value() || *rule.half == half) &&
         (!rule.peer.has_value() || rule.peer->Contains(peer, spec.family)) &&
         (!rule.src.has_value() || Within(*rule.src, sel.saddr, sel.prefixlen_s, sel.family)) &&
         (!rule.dst.has_value() || Within(*rule.dst, sel.daddr, sel.prefixlen_d, sel.family));
}

bool SameSas(const PlacementCommand& a, const PlacementCommand& b) {
  return a.spi == b.spi && a.daddr == b.daddr && a.reqid == b.reqid;
}

}  // namespace

bool Covers(const PlacementCommand& command, const SaSpec& spec) {
  return (!command.spi.has_value() || *command.spi == spec.spi) &&
         (!command.daddr.has_value() || *command.daddr == spec.daddr) &&
         (!command.reqid.has_value() || *command.reqid == spec.reqid);
}

PlacementRequest PlacementRules::RequestFor(const SaSpec& spec, Half half,
                                            const RequestFacts& facts) const {
  const PlacementRequest client = ClientRequest(spec);
  for (const Command& command : commands_) {
    if (!Covers(command.words, spec)) continue;
    return {.mode = command.words.mode,
            .by = RequestedBy::kOperator,
            .pinned = command.words.pinned,
            .ifindex = command.ifindex != 0 ? command.ifindex : client.ifindex};
  }
  const bool client_asks = client.by != RequestedBy::kNobody;
  for (const PlacementRule& rule : rules_) {
    if (!Covers(rule, spec, half)) continue;
    // If an SA may be used in either direction, only the half in use should get a slot.
    if (rule.mode == PlacementMode::kAuto && !client_asks && !facts.direction_is_known) continue;
    return {.mode = rule.mode,
            .by = RequestedBy::kRule,
            .pinned = rule.pin,
            .ifindex = rule.ifindex != 0 ? rule.ifindex : client.ifindex};
  }
  PlacementRequest request = client;
  if (client_asks) {
    request.ifindex = facts.client_device;
  } else if (facts.any_device_is_auto && facts.direction_is_known) {
    request.mode = PlacementMode::kAuto;
    request.by = RequestedBy::kDevice;
  }
  return request;
}

Status PlacementRules::SetCommand(const PlacementCommand& command, int32_t ifindex) {
  constexpr std::size_t kMaxCommands = 10'000;  // each is checked for every SA
  if (commands_.size() >= kMaxCommands) {
    return MakeError(Errc::kNoSpace, "too many placements are set; clear some, or write rules");
  }
  (void)ClearCommand(command);
  commands_.insert(commands_.begin(), {command, ifindex});
  return {};
}

bool PlacementRules::ClearCommand(const PlacementCommand& command) {
  return std::erase_if(commands_,
                       [&](const Command& old) { return SameSas(old.words, command); }) != 0;
}

std::vector<PlacementCommand> PlacementRules::Commands() const {
  std::vector<PlacementCommand> words;
  words.reserve(commands_.size());
  for (const Command& command : commands_) words.push_back(command.words);
  return words;
}

bool DirectionIsKnown(const SaSpec& spec, Half half, const HostAddresses& own) {
  if (spec.direction != SaDirection::kUnspec || spec.offload.has_value()) return true;
  const bool to_us = own.Contains(spec.daddr, spec.family);
  const bool from_us = own.Contains(spec.saddr, spec.family);
  return IsInbound(half) ? to_us && !from_us : from_us && !to_us;
}

int32_t DeviceOfClient(const SaSpec& spec, std::span<const ControlDevice> devices,
                       const PlacementHost& host) {
  const OffloadRequest& request = *spec.offload;
  for (const ControlDevice& d : devices) {
    if (d.ifindex == request.ifindex) return request.ifindex;
  }
  if (const int32_t under = host.device_under(request.ifindex); under != 0) return under;
  if (host.interface_exists(request.ifindex)) return request.ifindex;
  const int32_t egress = host.egress_of(request.inbound ? spec.saddr : spec.daddr, spec.family);
  if (const int32_t under = host.device_under(egress); under != 0) return under;
  constexpr int32_t kNone = -1;  // 0 would mean any device
  return egress != 0 ? egress : request.ifindex != 0 ? request.ifindex : kNone;
}

}  // namespace cygnet
