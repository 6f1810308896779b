#include "xfrm/policy_decode.h"

#include <cstring>

#include "base/endian.h"
#include "xfrm/policy_message.h"
#include "xfrm/protocol.h"
#include "xfrm/unsupported.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;

Error Invalid(const char* text) { return MakeError(Errc::kInvalid, text); }

Result<PolicyDirection> DecodeDirection(uint8_t dir) {
  if (dir >= kPolicyDirections) return Invalid("Invalid policy direction");
  return static_cast<PolicyDirection>(dir);
}

// verify_newpolicy_info
Status VerifyPolicy(const xfrm_userpolicy_info& info) {
  if (info.share > XFRM_SHARE_UNIQUE) return Invalid("Invalid policy share");
  if (info.action > XFRM_POLICY_BLOCK) return Invalid("Invalid policy action");
  const auto family = static_cast<IpFamily>(info.sel.family);
  if (AddressBits(family) == 0) return Invalid("Invalid selector family");
  CYGNET_RETURN_IF_ERROR(CheckPrefixes(info.sel, family));
  if (const auto direction = DecodeDirection(info.dir); !direction) return direction.error();
  // An index holds its direction in the low three bits.
  if (info.index != 0 && (info.index & 7) != info.dir) {
    return Invalid("Policy index doesn't match direction");
  }
  return {};
}

bool MayChangeFamily(uint8_t mode) {
  return mode == XFRM_MODE_TUNNEL || mode == XFRM_MODE_BEET || mode == kModeIptfs;
}

// validate_tmpl, for a template that follows one of family `previous`.
Status VerifyTemplate(const xfrm_user_tmpl& wire, IpFamily family, IpFamily previous, uint8_t dir) {
  if (MayChangeFamily(wire.mode)) {
    if (wire.optional != 0 && dir == XFRM_POLICY_OUT) {
      return Invalid("Mode in optional template not allowed in outbound policy");
    }
  } else if (family != previous) {
    return Invalid("Mode in template doesn't support a family change");
  }
  if (wire.mode >= kModeMax) return Invalid("Mode in template must be < XFRM_MODE_MAX (6)");
  if (AddressBits(family) == 0) return Invalid("Invalid family in template");
  if (!IsTransformProto(wire.id.proto)) return Invalid("Invalid XFRM protocol in template");
  return {};
}

Template DecodeTemplate(const xfrm_user_tmpl& wire, IpFamily family) {
  Template result;
  result.family = family;
  result.daddr = FromWire(wire.id.daddr, family);
  result.saddr = FromWire(wire.saddr, family);
  result.spi = Spi(be32::FromRaw(wire.id.spi).value());
  result.proto = wire.id.proto;
  result.mode = wire.mode;
  result.share = wire.share;
  result.optional = wire.optional != 0;
  result.reqid = Reqid(wire.reqid);
  result.aalgos = wire.aalgos;
  result.ealgos = wire.ealgos;
  result.calgos = wire.calgos;
  return result;
}

Result<std::vector<Template>> DecodeTemplates(const xfrm_userpolicy_info& info,
                                              const AttributeTable& attributes) {
  std::vector<Template> templates;
  const auto payload = attributes.Payload(XFRMA_TMPL);
  // An incomplete template at the end is ignored.
  const std::size_t count = payload.size() / sizeof(xfrm_user_tmpl);
  if (count > kMaxTemplates) return Invalid("Template count must be <= XFRM_MAX_DEPTH (6)");
  const auto policy_family = static_cast<IpFamily>(info.sel.family);
  IpFamily previous = policy_family;
  for (std::size_t i = 0; i < count; ++i) {
    const auto wire = *ReadAt<xfrm_user_tmpl>(payload, i * sizeof(xfrm_user_tmpl));
    // Old clients leave the family 0: it is that of the policy.
    const IpFamily family = wire.family != 0 ? static_cast<IpFamily>(wire.family) : policy_family;
    CYGNET_RETURN_IF_ERROR(VerifyTemplate(wire, family, previous, info.dir));
    templates.push_back(DecodeTemplate(wire, family));
    previous = family;
  }
  return templates;
}

// Policies can only be offloaded in packet mode (xfrm_dev_policy_add). The control plane decides
// whether the device takes the policy.
Status DecodePolicyOffload(const AttributeTable& attributes, PolicySpec* spec) {
  const auto wire = attributes.Get<xfrm_user_offload>(XFRMA_OFFLOAD_DEV);
  if (!wire) return {};
  if (wire->flags != kOffloadPacket) return Invalid("Unrecognized flags in offload request");
  spec->offload = OffloadRequest{.mode = OffloadMode::kPacket,
                                 .ifindex = wire->ifindex,
                                 .inbound = spec->direction == PolicyDirection::kIn};
  return {};
}

PolicySpec DecodeInfo(const xfrm_userpolicy_info& info) {
  PolicySpec spec;
  spec.selector = FromWire(info.sel);
  spec.limits = PolicyLimitsFromWire(info.lft);
  spec.priority = info.priority;
  spec.index = info.index;
  spec.direction = static_cast<PolicyDirection>(info.dir);
  spec.action = static_cast<PolicyAction>(info.action);
  spec.flags = info.flags;
  spec.share = info.share;
  return spec;
}

// For policies, unlike for SAs, Linux drops value bits outside the mask.
Mark PolicyMarkOf(const AttributeTable& attributes) {
  const Mark mark = MarkOf(attributes);
  return {.value = mark.value & mark.mask, .mask = mark.mask};
}

struct PolicyKey {
  const xfrm_selector& selector;
  uint32_t index;
  uint8_t dir;
};

// The order of xfrm_get_policy: type, direction, and the context only if the selector is used.
Result<PolicyId> DecodeId(const PolicyKey& key, const AttributeTable& attributes) {
  const auto type = DecodePolicyType(attributes);
  if (!type) return type.error();
  const auto direction = DecodeDirection(key.dir);
  if (!direction) return direction.error();
  if (key.index == 0) CYGNET_RETURN_IF_ERROR(CheckSecurityContext(attributes));
  PolicyId id;
  id.selector = FromWire(key.selector);
  id.index = key.index;
  id.direction = *direction;
  id.type = *type;
  const Mark mark =
      MarkOf(attributes);  // unmodified: a value with bits outside its mask matches nothing
  id.mark_value = mark.value;
  id.mark_mask = mark.mask;
  id.if_id = attributes.GetOr<uint32_t>(XFRMA_IF_ID, 0);
  return id;
}

}  // namespace

Result<PolicyType> DecodePolicyType(const AttributeTable& attributes) {
  const auto wire = attributes.Get<xfrm_userpolicy_type>(XFRMA_POLICY_TYPE);
  if (!wire) return PolicyType::kMain;
  if (wire->type > XFRM_POLICY_TYPE_SUB) return Invalid("Invalid policy type");
  return static_cast<PolicyType>(wire->type);
}

Result<PolicySpec> DecodePolicy(const Request& request) {
  auto spec = DecodePolicyInfo(request.Fixed<xfrm_userpolicy_info>(), request.attributes);
  if (!spec) return spec.error();
  CYGNET_RETURN_IF_ERROR(RefusePolicy(*spec, request.attributes));
  return spec;
}

uint64_t DecodePolicyAddTime(const Request& request) {
  return request.Fixed<xfrm_userpolicy_info>().curlft.add_time;
}

Result<PolicySpec> DecodePolicyInfo(const xfrm_userpolicy_info& info,
                                    const AttributeTable& attributes) {
  CYGNET_RETURN_IF_ERROR(VerifyPolicy(info));
  CYGNET_RETURN_IF_ERROR(CheckSecurityContext(attributes));
  PolicySpec spec = DecodeInfo(info);
  const auto type = DecodePolicyType(attributes);
  if (!type) return type.error();
  spec.type = *type;
  auto templates = DecodeTemplates(info, attributes);
  if (!templates) return templates.error();
  spec.templates = std::move(*templates);
  const Mark mark = PolicyMarkOf(attributes);
  spec.mark_value = mark.value;
  spec.mark_mask = mark.mask;
  spec.if_id = attributes.GetOr<uint32_t>(XFRMA_IF_ID, 0);
  CYGNET_RETURN_IF_ERROR(DecodePolicyOffload(attributes, &spec));
  return spec;
}

Result<PolicyId> DecodePolicyId(const Request& request) {
  const auto wire = request.Fixed<xfrm_userpolicy_id>();
  return DecodeId({wire.sel, wire.index, wire.dir}, request.attributes);
}

Result<ExpirePolicy> DecodePolicyExpire(const Request& request) {
  const auto wire = request.Fixed<xfrm_user_polexpire>();
  const auto id = DecodeId({wire.pol.sel, wire.pol.index, wire.pol.dir}, request.attributes);
  if (!id) return id.error();
  return ExpirePolicy{.id = *id, .hard = wire.hard != 0};
}

Result<PolicyType> DecodeFlushPolicy(const Request& request) {
  return DecodePolicyType(request.attributes);
}

}  // namespace cygnet::xfrm
