#include "plugin/plugin_convert.h"

#include <algorithm>
#include <cstring>

#include "base/plain_text.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr std::size_t kLongestName = 128;

cygnet_address Address(const IpAddress& address, IpFamily family) {
  cygnet_address out{};
  if (family == IpFamily::kUnspec) return out;
  out.family = family == IpFamily::kV4 ? CYGNET_IPV4 : CYGNET_IPV6;
  std::copy(address.bytes.begin(), address.bytes.end(), out.bytes);
  return out;
}

uint8_t Family(IpFamily family) {
  return family == IpFamily::kV4   ? uint8_t{CYGNET_IPV4}
         : family == IpFamily::kV6 ? uint8_t{CYGNET_IPV6}
                                   : uint8_t{0};
}

uint32_t Mode(SaMode mode) {
  switch (mode) {
    case SaMode::kTunnel:
      return CYGNET_MODE_TUNNEL;
    case SaMode::kBeet:
      return CYGNET_MODE_BEET;
    default:
      return CYGNET_MODE_TRANSPORT;
  }
}

uint32_t Flags(const SaSpec& spec) {
  const auto flag = [](bool set, uint32_t bit) { return set ? bit : 0u; };
  return flag(spec.esn(), CYGNET_SA_ESN) |
         flag((spec.flags & kSaFlagNoEcn) != 0, CYGNET_SA_NO_ECN) |
         flag((spec.flags & kSaFlagDecapDscp) != 0, CYGNET_SA_DECAP_DSCP) |
         flag((spec.flags & kSaFlagNoPmtuDisc) != 0, CYGNET_SA_NO_PMTU_DISC) |
         flag((spec.rare->extra_flags & kSaExtraDontEncapDscp) != 0, CYGNET_SA_DONT_ENCAP_DSCP);
}

cygnet_algorithm Algorithm(const SaAlgorithm& algorithm, bool with_key) {
  cygnet_algorithm out{};
  const AlgorithmDescriptor* row = algorithm.descriptor;
  if (row == nullptr) return out;
  out.name = row->name.data();  // of the table: a literal
  if (with_key) {
    out.key = {algorithm.key.bytes().data(), static_cast<uint32_t>(algorithm.key.size())};
  }
  out.salt_bytes = row->salt_bytes;
  out.iv_bytes = row->iv_bytes;
  out.icv_bytes = algorithm.icv_bits / 8u;
  return out;
}

cygnet_selector ToSelector(const Selector& from) {
  cygnet_selector out{};
  out.saddr = Address(from.saddr, from.family);
  out.daddr = Address(from.daddr, from.family);
  out.saddr_bits = from.prefixlen_s;
  out.daddr_bits = from.prefixlen_d;
  out.family = Family(from.family);
  out.proto = from.proto;
  out.sport = from.sport;
  out.sport_mask = from.sport_mask;
  out.dport = from.dport;
  out.dport_mask = from.dport_mask;
  return out;
}

cygnet_sa Describe(const SaSpec& spec, Half half, OffloadMode mode, bool with_keys) {
  cygnet_sa out{};
  out.size = sizeof(out);
  out.half = IsInbound(half) ? CYGNET_INBOUND : CYGNET_OUTBOUND;
  out.offload = mode == OffloadMode::kPacket ? CYGNET_OFFLOAD_PACKET : CYGNET_OFFLOAD_CRYPTO;
  out.mode = Mode(spec.mode);
  out.flags = Flags(spec);
  out.spi = spec.spi.value;
  out.reqid = spec.reqid.value;
  out.replay_window = spec.replay_window();
  out.saddr = Address(spec.saddr, spec.family);
  out.daddr = Address(spec.daddr, spec.family);
  if (spec.encap.has_value()) {
    out.udp_sport = spec.encap->sport;
    out.udp_dport = spec.encap->dport;
  }
  out.aead = Algorithm(spec.aead, with_keys);
  out.cipher = Algorithm(spec.pair->cipher, with_keys);
  out.auth = Algorithm(spec.pair->auth, with_keys);
  out.tfc_pad = spec.rare->tfc_pad;
  out.limits = {spec.limits->soft_bytes, spec.limits->hard_bytes, spec.limits->soft_packets,
                spec.limits->hard_packets};
  out.selector = ToSelector(spec.selector);
  return out;
}

template <typename T, std::size_t n>
bool Has(const T (&values)[n], std::size_t wanted) {
  return std::any_of(values, values + n, [wanted](T v) { return v != 0 && v == wanted; });
}

const cygnet_algorithm_caps* RowOf(const cygnet_caps& caps, std::string_view name) {
  for (uint32_t i = 0; i < caps.algorithm_count; ++i) {
    const char* row = caps.algorithms[i].name;
    if (row != nullptr && name == row) return &caps.algorithms[i];
  }
  return nullptr;
}

const AlgorithmDescriptor* Known(const char* name) {
  if (name == nullptr) return nullptr;
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (row.name == name || (!row.alias.empty() && row.alias == name)) return &row;
  }
  return nullptr;
}

std::string AlgorithmAgainst(const cygnet_caps& caps, const SaAlgorithm& algorithm) {
  if (algorithm.descriptor == nullptr) return {};
  const std::string name(algorithm.descriptor->name);
  const cygnet_algorithm_caps* row = RowOf(caps, name);
  if (row == nullptr) return name;
  const std::size_t salt = algorithm.descriptor->salt_bytes;
  const std::size_t key = algorithm.key.size() - std::min(salt, algorithm.key.size());
  if (key != 0 && !Has(row->key_bytes, key)) {
    return name + " with keys of " + std::to_string(key) + " bytes";
  }
  const uint32_t icv = algorithm.icv_bits / 8u;
  if (icv != 0 && !Has(row->icv_bytes, icv)) {
    return name + " with an ICV of " + std::to_string(icv) + " bytes";
  }
  return {};
}

template <typename T>
void AddOnce(std::vector<T>* to, T value) {
  if (value != 0 && std::find(to->begin(), to->end(), value) == to->end()) to->push_back(value);
}

}  // namespace

cygnet_sa ToPlugin(const OffloadSa& sa) {
  cygnet_sa out = Describe(sa.spec, sa.half, sa.mode, true);
  out.highest = sa.highest;
  out.numbers = {sa.numbers.first, sa.numbers.last};
  out.iv_mask = sa.iv_mask;
  out.number = sa.number;
  return out;
}

cygnet_sa ToPluginWithoutKeys(const SaSpec& spec, Half half, OffloadMode mode) {
  return Describe(spec, half, mode, false);
}

cygnet_policy ToPlugin(const PolicySpec& spec, std::vector<cygnet_template>* templates) {
  for (const Template& t : spec.templates) {
    cygnet_template out{};
    out.saddr = Address(t.saddr, t.saddr.IsAny() ? IpFamily::kUnspec : t.family);
    out.daddr = Address(t.daddr, t.daddr.IsAny() ? IpFamily::kUnspec : t.family);
    out.spi = t.spi.value;
    out.reqid = t.reqid.value;
    out.mode = Mode(static_cast<SaMode>(t.mode));
    out.optional = t.optional ? 1 : 0;
    templates->push_back(out);
  }
  cygnet_policy out{};
  out.size = sizeof(out);
  out.half = spec.direction == PolicyDirection::kIn ? CYGNET_INBOUND : CYGNET_OUTBOUND;
  out.action = spec.action == PolicyAction::kBlock ? CYGNET_POLICY_BLOCK : CYGNET_POLICY_ALLOW;
  out.priority = spec.priority;
  out.selector = ToSelector(spec.selector);
  out.templates = templates->data();
  out.template_count = static_cast<uint32_t>(templates->size());
  return out;
}

OffloadCaps FromPlugin(const cygnet_caps& from) {
  const auto can = [&from](uint32_t bit) { return (from.can & bit) != 0; };
  OffloadCaps caps;
  caps.crypto_offload = can(CYGNET_CAN_CRYPTO_OFFLOAD);
  caps.packet_offload = can(CYGNET_CAN_PACKET_OFFLOAD);
  caps.inbound = can(CYGNET_CAN_INBOUND);
  caps.outbound = can(CYGNET_CAN_OUTBOUND);
  caps.transport = (from.modes & CYGNET_MODE_TRANSPORT) != 0;
  caps.tunnel = (from.modes & CYGNET_MODE_TUNNEL) != 0;
  caps.beet = (from.modes & CYGNET_MODE_BEET) != 0;
  caps.ipv4 = (from.families & CYGNET_FAMILY_IPV4) != 0;
  caps.ipv6 = (from.families & CYGNET_FAMILY_IPV6) != 0;
  caps.esn = can(CYGNET_CAN_ESN);
  caps.udp_encap = can(CYGNET_CAN_UDP_ENCAP);
  caps.packet_udp_encap = can(CYGNET_CAN_PACKET_UDP_ENCAP);
  caps.inner_checksum = can(CYGNET_CAN_INNER_CHECKSUM);
  caps.segmentation = can(CYGNET_CAN_SEGMENTATION);
  caps.max_replay_window = from.max_replay_window;
  if (from.kernel_driver != nullptr) caps.driver = PlainText(from.kernel_driver, kLongestName);
  for (uint32_t i = 0; i < from.algorithm_count; ++i) {
    const cygnet_algorithm_caps& row = from.algorithms[i];
    const AlgorithmDescriptor* known = Known(row.name);
    if (known == nullptr) continue;
    caps.algorithms.push_back(known->name);
    for (const uint16_t bytes : row.key_bytes) AddOnce(&caps.key_bytes, bytes);
    for (const uint16_t bytes : row.icv_bytes) {
      AddOnce(&caps.icv_bytes, static_cast<uint8_t>(std::min<uint16_t>(bytes, 255)));
    }
  }
  return caps;
}

std::string RowAgainst(const cygnet_caps& caps, const SaSpec& spec) {
  for (const SaAlgorithm* algorithm : {&spec.aead, &spec.pair->cipher, &spec.pair->auth}) {
    std::string against = AlgorithmAgainst(caps, *algorithm);
    if (!against.empty()) return against;
  }
  return {};
}

DeviceState StateFromPlugin(uint32_t state) {
  switch (state) {
    case CYGNET_STATE_UP:
      return DeviceState::kUp;
    case CYGNET_STATE_DOWN:
      return DeviceState::kDown;
    case CYGNET_STATE_LINK_DOWN:
      return DeviceState::kLinkDown;
    case CYGNET_STATE_RESETTING:
      return DeviceState::kResetting;
    case CYGNET_STATE_REMOVED:
      return DeviceState::kRemoved;
    default:
      return DeviceState::kFailed;
  }
}

DeviceRefusal FromPlugin(int32_t result, const cygnet_refusal& refusal) {
  DeviceRefusal out;
  out.kind = refusal.kind == CYGNET_REFUSED_TABLE_FULL           ? InstallError::kTableFull
             : refusal.kind == CYGNET_REFUSED_ADDRESS_TABLE_FULL ? InstallError::kAddressTableFull
             : refusal.kind == CYGNET_REFUSED_DOWN               ? InstallError::kDeviceDown
                                                                 : InstallError::kRefused;
  out.code = static_cast<Errc>(-result);
  out.text = PlainText(refusal.text, sizeof(refusal.text));
  if (out.text.empty()) out.text = std::strerror(-result);
  return out;
}

SaReading FromPlugin(const cygnet_reading& reading) {
  return {.packets = reading.packets,
          .bytes = reading.bytes,
          .highest = reading.highest,
          .wanted = reading.wanted,
          .replayed = reading.replayed,
          .auth_failed = reading.auth_failed,
          .taken_at = reading.taken_at};
}

SaId FromPlugin(const cygnet_sa_id& id) {
  SaId out;
  std::copy(std::begin(id.daddr.bytes), std::end(id.daddr.bytes), out.daddr.bytes.begin());
  out.spi = Spi(id.spi);
  out.proto = kProtoEsp;
  out.family = id.daddr.family == CYGNET_IPV4   ? IpFamily::kV4
               : id.daddr.family == CYGNET_IPV6 ? IpFamily::kV6
                                                : IpFamily::kUnspec;
  return out;
}

std::string PlainText(const char* text, std::size_t room) {
  if (text == nullptr) return {};
  return PlainText(std::string_view(text, strnlen(text, room)));
}

}  // namespace cygnet
