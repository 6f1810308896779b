#include "xfrm/policy_encode.h"

#include "base/endian.h"
#include "xfrm/policy_message.h"
#include "xfrm/sa_encode.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::MessageBuilder;

Zeroed<xfrm_user_tmpl> EncodeTemplate(const Template& policy_template) {
  Zeroed<xfrm_user_tmpl> wire;
  wire->id.daddr = ToWire(policy_template.daddr);
  wire->id.spi = be32(policy_template.spi.value).raw();
  wire->id.proto = policy_template.proto;
  wire->family = static_cast<uint16_t>(policy_template.family);
  wire->saddr = ToWire(policy_template.saddr);
  wire->reqid = policy_template.reqid.value;
  wire->mode = policy_template.mode;
  wire->share = policy_template.share;
  wire->optional = policy_template.optional ? 1 : 0;
  wire->aalgos = policy_template.aalgos;
  wire->ealgos = policy_template.ealgos;
  wire->calgos = policy_template.calgos;
  return wire;
}

}  // namespace

void FillPolicyInfo(const PolicySpec& policy, const LifetimeUsage& usage,
                    xfrm_userpolicy_info& info) {
  Fill(policy.selector, info.sel);
  info.lft = ToWire(policy.limits);
  info.curlft = ToWire(usage);
  info.priority = policy.priority;
  info.index = policy.index;
  info.dir = static_cast<uint8_t>(policy.direction);
  if (policy.of_socket) info.dir = static_cast<uint8_t>(info.dir + XFRM_POLICY_MAX);
  info.action = static_cast<uint8_t>(policy.action);
  info.flags = policy.flags;
  info.share = XFRM_SHARE_ANY;  // Linux does not keep the requested value
}

void PutPolicyType(MessageBuilder& builder, PolicyType type) {
  Zeroed<xfrm_userpolicy_type> wire;
  wire->type = static_cast<uint8_t>(type);
  builder.AttributeBytes(XFRMA_POLICY_TYPE, wire.bytes());
}

void PutPolicyAttributes(MessageBuilder& builder, const PolicySpec& policy) {
  if (!policy.templates.empty()) {
    const std::size_t list = builder.BeginList(XFRMA_TMPL);
    for (const Template& policy_template : policy.templates) {
      builder.PutBytes(EncodeTemplate(policy_template).bytes());
    }
    builder.EndNest(list);
  }
  PutPolicyType(builder, policy.type);
  PutMark(builder, {.value = policy.mark_value, .mask = policy.mark_mask});
  PutIfId(builder, policy.if_id);
  if (policy.offload) PutOffload(builder, *policy.offload);
}

netlink::Buffer EncodePolicy(const PolicySpec& policy, const LifetimeUsage& usage, ReplyTo to,
                             DumpPart part, netlink::Buffer behind) {
  MessageBuilder builder({.type = XFRM_MSG_NEWPOLICY,
                          .flags = part == DumpPart::kYes ? uint16_t{NLM_F_MULTI} : uint16_t{0},
                          .seq = to.seq,
                          .pid = to.pid},
                         std::move(behind));
  Zeroed<xfrm_userpolicy_info> info;
  FillPolicyInfo(policy, usage, *info);
  builder.PutBytes(info.bytes());
  PutPolicyAttributes(builder, policy);
  return std::move(builder).Finish();
}

}  // namespace cygnet::xfrm
