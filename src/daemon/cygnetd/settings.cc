#include "daemon/cygnetd/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <string_view>
#include <vector>

#include "base/memory_check.h"
#include "datapath/flow_cache.h"
#include "packet/packet_pool.h"

namespace cygnet {
namespace {

bool Allows(const DeviceConfig& device, std::string_view mode) {
  return std::find(device.allow.begin(), device.allow.end(), mode) != device.allow.end();
}

}  // namespace

DeviceTerms TermsOf(const DeviceConfig& config, const OffloadDevice* device) {
  const uint32_t slots = device != nullptr ? device->offload_stats().direction_limit : 0;
  return {.mode = config.offload,
          .trusted = config.trusted,
          .allow_crypto = Allows(config, "crypto"),
          .allow_packet = Allows(config, "packet"),
          .rekey_reserve = config.rekey_reserve.value_or(slots / 20),
          .loss = config.loss,
          .verify = config.verify};
}

PlacementRule RuleOf(const PlacementRuleConfig& config, const std::vector<ControlDevice>& devices) {
  PlacementRule rule{.name = config.name,
                     .reqid = {},
                     .peer = config.peer,
                     .src = config.src,
                     .dst = config.dst,
                     .half = {},
                     .mode = config.mode,
                     .pin = config.pin};
  if (config.reqid.has_value()) rule.reqid = Reqid(*config.reqid);
  if (config.direction.has_value()) rule.half = HalfFor(*config.direction == "in");
  for (const ControlDevice& device : devices) {
    if (device.name == config.device) rule.ifindex = device.ifindex;
  }
  return rule;
}

const DeviceConfig* DeviceNamed(const Config& config, const std::string& name) {
  for (const DeviceConfig& device : config.devices) {
    if (device.name == name) return &device;
  }
  return nullptr;
}

bool OffersOffload(const OffloadCaps& caps) {
  return (caps.crypto_offload || caps.packet_offload) && (caps.inbound || caps.outbound) &&
         !caps.algorithms.empty();
}

Status CheckOffers(const DeviceConfig& config, const OffloadDevice* device,
                   const DeviceSelfTest* test) {
  const bool packet = config.offload == PlacementMode::kPacket;
  if (!packet && config.offload != PlacementMode::kRequired) return {};
  const auto offers = [packet](const OffloadCaps& caps) {
    return OffersOffload(caps) && (!packet || caps.packet_offload);
  };
  const std::string what =
      fmt::format("device {}: offload = \"{}\": ", config.name, Name(config.offload));
  const char* lacks = packet ? "packet-offload" : "crypto-offload";
  if (device == nullptr || !offers(device->caps())) {
    return MakeError(Errc::kNotSupported,
                     fmt::format("{}driver {} has no {} (no-capability:{})", what, config.driver,
                                 packet ? "packet offload" : "offload", lacks));
  }
  if (test == nullptr || !test->ran || offers(test->caps)) return {};
  std::vector<std::string_view> withdrawn;
  for (const WithdrawnCapability& w : test->withdrawn) withdrawn.push_back(w.name);
  return MakeError(Errc::kNotSupported,
                   fmt::format("{}the self-test of the device has withdrawn {} (withdrawn:{}); the "
                               "log has what was wrong; choose another mode or another device",
                               what, fmt::join(withdrawn, ", "), lacks));
}

Status CheckMemoryOf(const Config& config) {
  constexpr uint64_t kOfEachPacket = sizeof(Packet) + sizeof(Packet*);
  const uint64_t pools = config.small_packets * (kSmallPacketBytes + kOfEachPacket) +
                         config.jumbo_packets * (kJumboPacketBytes + kOfEachPacket);
  const uint64_t caches =
      2 * config.workers * FlowCache::BytesFor(std::bit_ceil(config.flow_cache));
  return CheckMemory(
      pools + caches,
      fmt::format("pools.small = {}, pools.jumbo = {}, daemon.flow_cache = {}, daemon.workers = {}",
                  config.small_packets, config.jumbo_packets, config.flow_cache, config.workers));
}

}  // namespace cygnet
