#include "xfrm/wire.h"

#include <sys/sysinfo.h>

#include <cstring>

#include "base/endian.h"
#include "net/ip_protocol.h"

namespace cygnet::xfrm {
namespace {

uint16_t FromBe16(uint16_t wire) { return be16::FromRaw(wire).value(); }
uint16_t ToBe16(uint16_t host) { return be16(host).raw(); }

// Policies and SAs have the same limits in different types.
template <typename Limits>
Limits LimitsFrom(const xfrm_lifetime_cfg& lft) {
  Limits limits;
  limits.soft_bytes = lft.soft_byte_limit;
  limits.hard_bytes = lft.hard_byte_limit;
  limits.soft_packets = lft.soft_packet_limit;
  limits.hard_packets = lft.hard_packet_limit;
  limits.soft_add_seconds = lft.soft_add_expires_seconds;
  limits.hard_add_seconds = lft.hard_add_expires_seconds;
  limits.soft_use_seconds = lft.soft_use_expires_seconds;
  limits.hard_use_seconds = lft.hard_use_expires_seconds;
  return limits;
}

template <typename Limits>
xfrm_lifetime_cfg LimitsTo(const Limits& limits) {
  xfrm_lifetime_cfg lft{};
  lft.soft_byte_limit = limits.soft_bytes;
  lft.hard_byte_limit = limits.hard_bytes;
  lft.soft_packet_limit = limits.soft_packets;
  lft.hard_packet_limit = limits.hard_packets;
  lft.soft_add_expires_seconds = limits.soft_add_seconds;
  lft.hard_add_expires_seconds = limits.hard_add_seconds;
  lft.soft_use_expires_seconds = limits.soft_use_seconds;
  lft.hard_use_expires_seconds = limits.hard_use_seconds;
  return lft;
}

}  // namespace

IpAddress FromWire(const xfrm_address_t& address, IpFamily family) {
  return family == IpFamily::kV4 ? IpAddress::V4(&address) : IpAddress::V6(&address);
}

xfrm_address_t ToWire(const IpAddress& address) {
  xfrm_address_t wire;
  static_assert(sizeof(wire) == 16);
  std::memcpy(&wire, address.bytes.data(), sizeof(wire));
  return wire;
}

Selector FromWire(const xfrm_selector& wire) {
  Selector selector;
  selector.family = static_cast<IpFamily>(wire.family);
  selector.daddr = FromWire(wire.daddr, selector.family);
  selector.saddr = FromWire(wire.saddr, selector.family);
  selector.dport = FromBe16(wire.dport);
  selector.dport_mask = FromBe16(wire.dport_mask);
  selector.sport = FromBe16(wire.sport);
  selector.sport_mask = FromBe16(wire.sport_mask);
  selector.prefixlen_d = wire.prefixlen_d;
  selector.prefixlen_s = wire.prefixlen_s;
  selector.proto = wire.proto;
  selector.ifindex = wire.ifindex;
  selector.user = wire.user;
  return selector;
}

void Fill(const Selector& selector, xfrm_selector& wire) {
  wire.daddr = ToWire(selector.daddr);
  wire.saddr = ToWire(selector.saddr);
  wire.dport = ToBe16(selector.dport);
  wire.dport_mask = ToBe16(selector.dport_mask);
  wire.sport = ToBe16(selector.sport);
  wire.sport_mask = ToBe16(selector.sport_mask);
  wire.family = static_cast<uint16_t>(selector.family);
  wire.prefixlen_d = selector.prefixlen_d;
  wire.prefixlen_s = selector.prefixlen_s;
  wire.proto = selector.proto;
  wire.ifindex = selector.ifindex;
  wire.user = selector.user;
}

LifetimeLimits LimitsFromWire(const xfrm_lifetime_cfg& lft) {
  return LimitsFrom<LifetimeLimits>(lft);
}
PolicyLimits PolicyLimitsFromWire(const xfrm_lifetime_cfg& lft) {
  return LimitsFrom<PolicyLimits>(lft);
}
xfrm_lifetime_cfg ToWire(const LifetimeLimits& limits) { return LimitsTo(limits); }
xfrm_lifetime_cfg ToWire(const PolicyLimits& limits) { return LimitsTo(limits); }

LifetimeUsage FromWire(const xfrm_lifetime_cur& cur) {
  return {.bytes = cur.bytes,
          .packets = cur.packets,
          .add_time = cur.add_time,
          .use_time = cur.use_time};
}

xfrm_lifetime_cur ToWire(const LifetimeUsage& usage) {
  return {.bytes = usage.bytes,
          .packets = usage.packets,
          .add_time = usage.add_time,
          .use_time = usage.use_time};
}

std::optional<UdpEncap> DecodeEncap(const netlink::AttributeTable& attributes) {
  const auto wire = attributes.Get<xfrm_encap_tmpl>(XFRMA_ENCAP);
  if (!wire) return std::nullopt;
  UdpEncap encap;
  encap.type = wire->encap_type;
  encap.sport = FromBe16(wire->encap_sport);
  encap.dport = FromBe16(wire->encap_dport);
  encap.original_address = FromWire(wire->encap_oa, IpFamily::kV6);
  return encap;
}

void PutEncap(netlink::MessageBuilder& builder, const UdpEncap& encap) {
  Zeroed<xfrm_encap_tmpl> wire;
  wire->encap_type = encap.type;
  wire->encap_sport = ToBe16(encap.sport);
  wire->encap_dport = ToBe16(encap.dport);
  wire->encap_oa = ToWire(encap.original_address);
  builder.AttributeBytes(XFRMA_ENCAP, wire.bytes());
}

bool IsPossibleCpu(uint32_t number) { return number < static_cast<uint32_t>(get_nprocs_conf()); }

Mark MarkOf(const netlink::AttributeTable& attributes) {
  const auto mark = attributes.GetOr<xfrm_mark>(XFRMA_MARK, {});
  return {.value = mark.v, .mask = mark.m};
}

uint32_t MarkKeyOf(const netlink::AttributeTable& attributes) {
  const Mark mark = MarkOf(attributes);
  return mark.value & mark.mask;
}

void PutMark(netlink::MessageBuilder& builder, const Mark& mark) {
  if ((mark.value | mark.mask) != 0) {
    builder.Attribute(XFRMA_MARK, xfrm_mark{.v = mark.value, .m = mark.mask});
  }
}

void PutIfId(netlink::MessageBuilder& builder, uint32_t if_id) {
  if (if_id != 0) builder.Attribute(XFRMA_IF_ID, if_id);
}

Status CheckPrefixes(const xfrm_selector& selector, IpFamily family) {
  const unsigned bits = AddressBits(family);
  if (selector.prefixlen_d <= bits && selector.prefixlen_s <= bits) return {};
  return MakeError(Errc::kInvalid,
                   family == IpFamily::kV4
                       ? "Invalid prefix length in selector (must be <= 32 for IPv4)"
                       : "Invalid prefix length in selector (must be <= 128 for IPv6)");
}

Status CheckSecurityContext(const netlink::AttributeTable& attributes) {
  const auto context = attributes.Get<xfrm_user_sec_ctx>(XFRMA_SEC_CTX);
  if (!context) return {};
  const std::size_t there = attributes.Payload(XFRMA_SEC_CTX).size();
  if (context->len > there || context->len != sizeof(*context) + context->ctx_len) {
    return MakeError(Errc::kInvalid, "Invalid security context length");
  }
  return {};
}

bool IsIpsecProto(uint8_t proto) {
  return proto == kProtoAh || proto == kProtoEsp || proto == kProtoIpcomp;
}

bool IsTransformProto(uint8_t proto) {
  return IsIpsecProto(proto) || proto == kProtoRouting || proto == kProtoDestOpts;
}

}  // namespace cygnet::xfrm
