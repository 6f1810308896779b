#include "device/offload_device.h"

#include <algorithm>

#include "device/device_extras.h"

namespace cygnet {
namespace {

template <typename Array, typename T>
bool Contains(const Array& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

std::optional<std::string> Unless(bool has, std::string what) {
  return has ? std::nullopt : std::optional<std::string>(std::move(what));
}

void CheckAlgorithm(const OffloadCaps& caps, const SaSpec& spec,
                    std::vector<CapabilityCheck>* checks) {
  const SaAlgorithm& encryption = spec.encryption();
  const SaAlgorithm& integrity = spec.integrity();
  const bool known =
      encryption.descriptor != nullptr && Contains(caps.algorithms, encryption.descriptor->name) &&
      (integrity.descriptor == nullptr || Contains(caps.algorithms, integrity.descriptor->name));
  checks->push_back({"algorithm", Unless(known, "algorithm")});
  if (encryption.descriptor == nullptr) return;
  const std::size_t salt = encryption.descriptor->salt_bytes;
  const std::size_t key = encryption.key.size() > salt ? encryption.key.size() - salt : 0;
  checks->push_back({"key", Unless(key == 0 || Contains(caps.key_bytes, static_cast<uint16_t>(key)),
                                   "key-" + std::to_string(key * 8))});
  const uint32_t icv = integrity.icv_bits;
  checks->push_back(
      {"icv", Unless(icv == 0 || Contains(caps.icv_bytes, static_cast<uint8_t>(icv / 8)),
                     "icv-" + std::to_string(icv))});
}

CapabilityCheck CheckMode(const OffloadCaps& caps, const SaSpec& spec) {
  switch (spec.mode) {
    case SaMode::kTunnel:
      return {"sa-mode", Unless(caps.tunnel, "tunnel")};
    case SaMode::kBeet:
      return {"sa-mode", Unless(caps.beet, "beet")};
    default:
      return {"sa-mode", Unless(caps.transport, "transport")};
  }
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

std::string_view Name(ClaimGap gap) {
  switch (gap) {
    case ClaimGap::kNotUsed:
      return "not-used";
    case ClaimGap::kNotHeld:
      return "not-held";
    case ClaimGap::kNoReplayCheck:
      return "no-replay-check";
  }
  return "unknown";
}

std::vector<CapabilityCheck> CheckCapabilities(const OffloadCaps& caps, const SaSpec& spec,
                                               Half half, OffloadMode mode) {
  const bool inbound = IsInbound(half);
  const bool packet = mode == OffloadMode::kPacket;
  std::vector<CapabilityCheck> checks;
  checks.push_back({"offload-mode", Unless(packet ? caps.packet_offload : caps.crypto_offload,
                                           packet ? "packet-offload" : "crypto-offload")});
  checks.push_back({"direction", Unless(inbound ? caps.inbound : caps.outbound,
                                        inbound ? "inbound" : "outbound")});
  checks.push_back(CheckMode(caps, spec));
  const bool v4 = spec.family == IpFamily::kV4;
  checks.push_back({"family", Unless(v4 ? caps.ipv4 : caps.ipv6, v4 ? "ipv4" : "ipv6")});
  checks.push_back({"esn", Unless(!spec.esn() || caps.esn, "esn")});
  if (packet) {
    checks.push_back(
        {"encap", Unless(!spec.encap.has_value() || caps.packet_udp_encap, "udp-encapsulation")});
    checks.push_back({"tfc-padding", Unless(spec.rare->tfc_pad == 0, "tfc-padding")});
    const bool replay = inbound && spec.replay_window() > 0;
    checks.push_back({"replay-check", Unless(!replay || caps.replay_check, "replay-check")});
  } else if (!spec.encap.has_value() || caps.udp_encap) {
    // The checksum covers sealed bytes, and a device writes only the ICV.
    checks.push_back({"encap", Unless(!spec.encap.has_value() || v4, "udp-encapsulation-ipv6")});
  } else {
    checks.push_back({"encap", "udp-encapsulation"});
  }
  checks.push_back(
      {"replay-window", Unless(!inbound || spec.replay_window() <= caps.max_replay_window,
                               "replay-window-" + std::to_string(spec.replay_window()))});
  CheckAlgorithm(caps, spec, &checks);
  return checks;
}

}  // namespace cygnet
