#include "device/offload_device.h"

#include <algorithm>

namespace cygnet {
namespace {

template <typename Array, typename T>
bool Contains(const Array& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

std::optional<std::string> MissingForAlgorithm(const OffloadCaps& caps, const SaSpec& spec) {
  const SaAlgorithm& encryption = spec.encryption();
  const SaAlgorithm& integrity = spec.integrity();
  if (encryption.descriptor == nullptr || !Contains(caps.algorithms, encryption.descriptor->name) ||
      (integrity.descriptor != nullptr && !Contains(caps.algorithms, integrity.descriptor->name))) {
    return "algorithm";
  }
  const std::size_t key = encryption.key.size() - encryption.descriptor->salt_bytes;
  if (!Contains(caps.key_bytes, static_cast<uint16_t>(key))) {
    return "key-" + std::to_string(key * 8);
  }
  if (!Contains(caps.icv_bytes, static_cast<uint8_t>(integrity.icv_bits / 8))) {
    return "icv-" + std::to_string(integrity.icv_bits);
  }
  return std::nullopt;
}

}  // namespace

std::string_view Name(DeviceState state) {
  switch (state) {
    case DeviceState::kUp:
      return "up";
    case DeviceState::kDown:
      return "down";
    case DeviceState::kLinkDown:
      return "link-down";
    case DeviceState::kResetting:
      return "resetting";
    case DeviceState::kRemoved:
      return "removed";
    case DeviceState::kFailed:
      return "failed";
  }
  return "unknown";
}

std::optional<std::string> MissingCapability(const OffloadCaps& caps, const SaSpec& spec,
                                             bool inbound) {
  const bool packet = spec.offload.has_value() && spec.offload->mode == OffloadMode::kPacket;
  if (packet ? !caps.packet_offload : !caps.crypto_offload) {
    return packet ? "packet-offload" : "crypto-offload";
  }
  if (inbound ? !caps.inbound : !caps.outbound) return inbound ? "inbound" : "outbound";
  if (spec.mode == SaMode::kTunnel && !caps.tunnel) return "tunnel";
  if (spec.mode == SaMode::kTransport && !caps.transport) return "transport";
  if (spec.mode == SaMode::kBeet && !caps.beet) return "beet";
  if (spec.family == IpFamily::kV4 ? !caps.ipv4 : !caps.ipv6) {
    return spec.family == IpFamily::kV4 ? "ipv4" : "ipv6";
  }
  if (spec.esn() && !caps.esn) return "esn";
  if (spec.encap.has_value() && !caps.udp_encap) return "udp-encapsulation";
  // The checksum covers sealed bytes, and a device writes nothing but the ICV.
  if (spec.encap.has_value() && spec.family == IpFamily::kV6) return "udp-encapsulation-ipv6";
  if (inbound && spec.replay_window() > caps.max_replay_window) {
    return "replay-window-" + std::to_string(spec.replay_window());
  }
  return MissingForAlgorithm(caps, spec);
}

}  // namespace cygnet
