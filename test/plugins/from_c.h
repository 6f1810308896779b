// SAs, policies and capabilities from the C interface to the stack's values: the other direction of
// plugin/plugin_convert.h, for plug-ins of the tests.
#pragma once

#include "cygnet/driver.h"
#include "device/offload_device.h"
#include "policy/policy.h"
#include "sa/sa_spec.h"

namespace cygnet::test {

inline IpFamily FamilyFromC(uint32_t family) {
  return family == CYGNET_IPV4   ? IpFamily::kV4
         : family == CYGNET_IPV6 ? IpFamily::kV6
                                 : IpFamily::kUnspec;
}

inline IpAddress AddressFromC(const cygnet_address& from) {
  IpAddress address;
  std::copy(std::begin(from.bytes), std::end(from.bytes), address.bytes.begin());
  return address;
}

inline SaMode ModeFromC(uint32_t mode) {
  return mode == CYGNET_MODE_TUNNEL ? SaMode::kTunnel
         : mode == CYGNET_MODE_BEET ? SaMode::kBeet
                                    : SaMode::kTransport;
}

inline SaAlgorithm AlgorithmFromC(AlgorithmKind kind, const cygnet_algorithm& from) {
  SaAlgorithm out;
  if (from.name == nullptr) return out;
  out.descriptor = FindAlgorithm(kind, from.name);
  out.key = KeyMaterial({from.key.data, from.key.length});
  out.icv_bits = static_cast<uint16_t>(from.icv_bytes * 8);
  return out;
}

inline Selector SelectorFromC(const cygnet_selector& from) {
  Selector out;
  out.saddr = AddressFromC(from.saddr);
  out.daddr = AddressFromC(from.daddr);
  out.prefixlen_s = from.saddr_bits;
  out.prefixlen_d = from.daddr_bits;
  out.family = FamilyFromC(from.family);
  out.proto = from.proto;
  out.sport = from.sport;
  out.sport_mask = from.sport_mask;
  out.dport = from.dport;
  out.dport_mask = from.dport_mask;
  return out;
}

inline LifetimeLimits LimitsFromC(const cygnet_limits& from) {
  LifetimeLimits out;
  out.soft_bytes = from.soft_bytes;
  out.hard_bytes = from.hard_bytes;
  out.soft_packets = from.soft_packets;
  out.hard_packets = from.hard_packets;
  return out;
}

inline SaSpec SpecFromC(const cygnet_sa& from) {
  const auto has = [&from](uint32_t bit) { return (from.flags & bit) != 0; };
  const auto flag = [](bool set, uint8_t bit) { return set ? bit : uint8_t{0}; };
  SaSpec spec;
  spec.saddr = AddressFromC(from.saddr);
  spec.daddr = AddressFromC(from.daddr);
  spec.family = FamilyFromC(from.daddr.family);
  spec.spi = Spi(from.spi);
  spec.proto = 50;
  spec.mode = ModeFromC(from.mode);
  spec.reqid = Reqid(from.reqid);
  spec.flags = static_cast<uint8_t>(flag(has(CYGNET_SA_ESN), kSaFlagEsn) |
                                    flag(has(CYGNET_SA_NO_ECN), kSaFlagNoEcn) |
                                    flag(has(CYGNET_SA_DECAP_DSCP), kSaFlagDecapDscp) |
                                    flag(has(CYGNET_SA_NO_PMTU_DISC), kSaFlagNoPmtuDisc));
  if (has(CYGNET_SA_DONT_ENCAP_DSCP)) spec.rare.Change()->extra_flags = kSaExtraDontEncapDscp;
  spec.selector = SelectorFromC(from.selector);
  spec.limits = LimitsFromC(from.limits);
  spec.replay.window = from.replay_window;
  spec.replay.extended_form = true;
  spec.aead = AlgorithmFromC(AlgorithmKind::kAead, from.aead);
  spec.pair.Change()->cipher = AlgorithmFromC(AlgorithmKind::kCipher, from.cipher);
  spec.pair.Change()->auth = AlgorithmFromC(AlgorithmKind::kAuth, from.auth);
  spec.rare.Set(&SaRare::tfc_pad, from.tfc_pad);
  if (from.udp_dport != 0) {
    UdpEncap encap;
    encap.sport = from.udp_sport;
    encap.dport = from.udp_dport;
    spec.encap = encap;
  }
  return spec;
}

inline PolicySpec PolicyFromC(const cygnet_policy& from) {
  PolicySpec spec;
  spec.selector = SelectorFromC(from.selector);
  spec.priority = from.priority;
  spec.direction = from.half == CYGNET_INBOUND ? PolicyDirection::kIn : PolicyDirection::kOut;
  spec.action = from.action == CYGNET_POLICY_BLOCK ? PolicyAction::kBlock : PolicyAction::kAllow;
  for (uint32_t i = 0; i < from.template_count; ++i) {
    const cygnet_template& t = from.templates[i];
    Template out;
    out.saddr = AddressFromC(t.saddr);
    out.daddr = AddressFromC(t.daddr);
    out.family = FamilyFromC(t.daddr.family);
    out.spi = Spi(t.spi);
    out.reqid = Reqid(t.reqid);
    out.proto = 50;
    out.mode = static_cast<uint8_t>(ModeFromC(t.mode));
    out.optional = t.optional != 0;
    spec.templates.push_back(out);
  }
  return spec;
}

// Without algorithms.
inline cygnet_caps CapsToC(const OffloadCaps& from) {
  const auto flag = [](bool set, uint32_t bit) { return set ? bit : 0u; };
  cygnet_caps out{};
  out.size = sizeof(out);
  out.can = flag(from.crypto_offload, CYGNET_CAN_CRYPTO_OFFLOAD) |
            flag(from.packet_offload, CYGNET_CAN_PACKET_OFFLOAD) |
            flag(from.inbound, CYGNET_CAN_INBOUND) | flag(from.outbound, CYGNET_CAN_OUTBOUND) |
            flag(from.esn, CYGNET_CAN_ESN) | flag(from.udp_encap, CYGNET_CAN_UDP_ENCAP) |
            flag(from.packet_udp_encap, CYGNET_CAN_PACKET_UDP_ENCAP);
  out.modes = flag(from.transport, CYGNET_MODE_TRANSPORT) | flag(from.tunnel, CYGNET_MODE_TUNNEL) |
              flag(from.beet, CYGNET_MODE_BEET);
  out.families = flag(from.ipv4, CYGNET_FAMILY_IPV4) | flag(from.ipv6, CYGNET_FAMILY_IPV6);
  out.max_replay_window = from.max_replay_window;
  return out;
}

}  // namespace cygnet::test
