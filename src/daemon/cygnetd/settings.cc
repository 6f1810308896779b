#include "daemon/cygnetd/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <string_view>
#include <vector>

#include "base/memory_check.h"
#include "datapath/flow_cache.h"
#include "datapath/plain_flows.h"
#include "device/wires/wire_port.h"
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

uint32_t LargePackets(const Config& config) {
  constexpr uint32_t kIfNeeded = 4096;
  if (config.large_packets) return *config.large_packets;
  for (const DeviceConfig& device : config.devices) {
    uint32_t mtu = device.mtu;
    if (mtu == 0 && !device.wire.empty()) {
      const auto wire = ProbeWire(device.wire);
      if (wire) mtu = wire->mtu;
    }
    if (mtu > kSmallMtu) return kIfNeeded;
  }
  for (const TunnelSpec& tunnel : config.tunnels) {
    if (tunnel.mtu > kSmallMtu) return kIfNeeded;
  }
  return 0;
}

namespace {

// MiB, rounded up.
uint64_t MiBOf(uint64_t bytes) { return (bytes + (1u << 20) - 1) >> 20; }

struct MemoryNeed {
  uint32_t large_packets;
  uint64_t small, large, jumbo, caches;  // bytes
  uint64_t sum() const { return small + large + jumbo + caches; }
};

MemoryNeed NeedOf(const Config& config) {
  const auto pool = [](uint64_t count, uint64_t bytes) {
    return count * (bytes + sizeof(Packet) + sizeof(Packet*));
  };
  const uint32_t large = LargePackets(config);
  const uint32_t flows = std::bit_ceil(config.flow_cache);
  return {
      .large_packets = large,
      .small = pool(config.small_packets, kSmallPacketBytes),
      .large = pool(large, kLargePacketBytes),
      .jumbo = pool(config.jumbo_packets, kJumboPacketBytes),
      .caches = 2 * config.workers * (FlowCache::BytesFor(flows) + PlainFlows::BytesFor(flows))};
}

// Only pools.large = 0 rules out an MTU that the configuration may name.
Status CheckMtus(const Config& config) {
  if (config.large_packets != 0u) return {};
  const auto refuse = [](std::string_view kind, const std::string& name, uint32_t mtu) {
    return MakeError(Errc::kInvalid,
                     fmt::format("{} {}: mtu = {} needs pools.large, which is 0 (the largest MTU "
                                 "without it is {})",
                                 kind, name, mtu, kSmallMtu));
  };
  for (const DeviceConfig& device : config.devices) {
    if (device.mtu > kSmallMtu) return refuse("device", device.name, device.mtu);
  }
  for (const TunnelSpec& tunnel : config.tunnels) {
    if (tunnel.mtu > kSmallMtu) return refuse("tunnel", tunnel.name, tunnel.mtu);
  }
  return {};
}

}  // namespace

Status CheckMemoryOf(const Config& config) {
  CYGNET_RETURN_IF_ERROR(CheckMtus(config));
  const MemoryNeed need = NeedOf(config);
  return CheckMemory(
      need.sum(),
      fmt::format("pools.small = {}, pools.large = {}, pools.jumbo = {}, daemon.flow_cache = {}, "
                  "daemon.workers = {}",
                  config.small_packets, need.large_packets, config.jumbo_packets, config.flow_cache,
                  config.workers));
}

std::string DescribeMemoryOf(const Config& config) {
  const MemoryNeed need = NeedOf(config);
  return fmt::format(
      "{} MiB: packets small {} MiB ({}), large {} MiB ({}), jumbo {} MiB ({}); flow caches {} MiB",
      MiBOf(need.sum()), MiBOf(need.small), config.small_packets, MiBOf(need.large),
      need.large_packets, MiBOf(need.jumbo), config.jumbo_packets, MiBOf(need.caches));
}

}  // namespace cygnet
