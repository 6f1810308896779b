#include "xfrm/event_message.h"

#include "xfrm/policy_encode.h"
#include "xfrm/protocol.h"
#include "xfrm/sa_encode.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::Buffer;
using netlink::MessageBuilder;

MessageBuilder Event(uint16_t type, ReplyTo to) {
  return MessageBuilder({.type = type, .flags = 0, .seq = to.seq, .pid = to.pid});
}

// Actions of the stack itself have no request.
constexpr ReplyTo kNobody{};

Buffer EncodeSaChange(uint16_t type, const SaView& sa, ReplyTo to) {
  auto builder = Event(type, to);
  Zeroed<xfrm_usersa_info> info;
  FillSaInfo(sa, *info);
  builder.PutBytes(info.bytes());
  PutSaAttributes(builder, sa);
  return std::move(builder).Finish();
}

Buffer EncodePolicyChange(uint16_t type, const PolicyImage& policy, ReplyTo to) {
  auto builder = Event(type, to);
  Zeroed<xfrm_userpolicy_info> info;
  FillPolicyInfo(policy.spec, policy.usage, *info);
  builder.PutBytes(info.bytes());
  PutPolicyAttributes(builder, policy.spec);
  return std::move(builder).Finish();
}

}  // namespace

Buffer EncodeSaAdded(const SaView& sa, ReplyTo to) {
  return EncodeSaChange(XFRM_MSG_NEWSA, sa, to);
}
Buffer EncodeSaUpdated(const SaView& sa, ReplyTo to) {
  return EncodeSaChange(XFRM_MSG_UPDSA, sa, to);
}

Buffer EncodeSaDeleted(const SaView& sa, ReplyTo to) {
  auto builder = Event(XFRM_MSG_DELSA, to);
  Zeroed<xfrm_usersa_id> id;
  FillSaId(*sa.spec, *id);
  builder.PutBytes(id.bytes());
  Zeroed<xfrm_usersa_info> info;
  FillSaInfo(sa, *info);
  builder.AttributeBytes(XFRMA_SA, info.bytes());
  PutSaAttributes(builder, sa);
  return std::move(builder).Finish();
}

Buffer EncodeSaGone(const SaSpec& sa) {
  auto builder = Event(XFRM_MSG_DELSA, kNobody);
  Zeroed<xfrm_usersa_id> id;
  FillSaId(sa, *id);
  builder.PutBytes(id.bytes());
  return std::move(builder).Finish();
}

Buffer EncodeSaFlushed(uint8_t proto, ReplyTo to) {
  auto builder = Event(XFRM_MSG_FLUSHSA, to);
  builder.Put(xfrm_usersa_flush{.proto = proto});
  return std::move(builder).Finish();
}

Buffer EncodeSaExpired(const SaView& sa, bool hard, uint32_t pid) {
  auto builder = Event(XFRM_MSG_EXPIRE, {.seq = 0, .pid = pid});
  Zeroed<xfrm_user_expire> wire;
  FillSaInfo(sa, wire->state);
  wire->hard = hard ? 1 : 0;
  builder.PutBytes(wire.bytes());
  PutSaSelection(builder, *sa.spec);
  return std::move(builder).Finish();
}

Buffer EncodePolicyExpired(const PolicyImage& policy, bool hard, uint32_t pid) {
  auto builder = Event(XFRM_MSG_POLEXPIRE, {.seq = 0, .pid = pid});
  Zeroed<xfrm_user_polexpire> wire;
  FillPolicyInfo(policy.spec, policy.usage, wire->pol);
  wire->hard = hard ? 1 : 0;
  builder.PutBytes(wire.bytes());
  PutPolicyAttributes(builder, policy.spec);
  return std::move(builder).Finish();
}

Buffer EncodePolicyAdded(const PolicyImage& policy, ReplyTo to) {
  return EncodePolicyChange(XFRM_MSG_NEWPOLICY, policy, to);
}
Buffer EncodePolicyUpdated(const PolicyImage& policy, ReplyTo to) {
  return EncodePolicyChange(XFRM_MSG_UPDPOLICY, policy, to);
}

Buffer EncodePolicyDeleted(const PolicyImage& policy, const PolicyId& id, ReplyTo to) {
  auto builder = Event(XFRM_MSG_DELPOLICY, to);
  Zeroed<xfrm_userpolicy_id> wire;
  wire->dir = static_cast<uint8_t>(policy.spec.direction);
  if (id.index != 0) {
    wire->index = policy.spec.index;
  } else {
    Fill(policy.spec.selector, wire->sel);
  }
  builder.PutBytes(wire.bytes());
  Zeroed<xfrm_userpolicy_info> info;
  FillPolicyInfo(policy.spec, policy.usage, *info);
  builder.AttributeBytes(XFRMA_POLICY, info.bytes());
  PutPolicyAttributes(builder, policy.spec);
  return std::move(builder).Finish();
}

Buffer EncodePolicyFlushed(PolicyType type, ReplyTo to) {
  auto builder = Event(XFRM_MSG_FLUSHPOLICY, to);
  PutPolicyType(builder, type);
  return std::move(builder).Finish();
}

Buffer EncodeAcquire(const AcquireImage& acquire) {
  const PolicySpec& policy = acquire.policy.spec;
  auto builder = Event(XFRM_MSG_ACQUIRE, kNobody);
  Zeroed<xfrm_user_acquire> wire;
  wire->id.daddr = ToWire(acquire.daddr);
  wire->id.proto = acquire.wanted.proto;
  wire->saddr = ToWire(acquire.saddr);
  Fill(FlowSelector(acquire.flow, acquire.ifindex), wire->sel);
  FillPolicyInfo(policy, acquire.policy.usage, wire->policy);
  wire->aalgos = acquire.wanted.aalgos;
  wire->ealgos = acquire.wanted.ealgos;
  wire->calgos = acquire.wanted.calgos;
  wire->seq = acquire.seq;
  builder.PutBytes(wire.bytes());
  PutPolicyAttributes(builder, policy);
  if (acquire.cpu) builder.Attribute(kAttrSaPcpu, *acquire.cpu);
  return std::move(builder).Finish();
}

}  // namespace cygnet::xfrm
