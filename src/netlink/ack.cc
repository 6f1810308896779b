#include "netlink/ack.h"

#include <string_view>
#include <utility>

#include "netlink/attribute.h"
#include "netlink/builder.h"

namespace cygnet::netlink {
namespace {

// Attributes of an extended ACK (enum nlmsgerr_attrs), and of the attribute policy in it (enum
// netlink_policy_type_attr).
constexpr uint16_t kAckMessage = 1;
constexpr uint16_t kAckOffset = 2;
constexpr uint16_t kAckPolicy = 4;
constexpr uint16_t kPolicyType = 1;
constexpr uint16_t kPolicyMinUnsigned = 4;
constexpr uint16_t kPolicyMaxUnsigned = 5;

uint64_t LargestOf(const AttributeRule& rule) {
  switch (rule.kind) {
    case AttributeKind::kU8:
      return rule.max_value < 0xff ? rule.max_value : 0xff;
    case AttributeKind::kU16:
      return 0xffff;
    case AttributeKind::kU32:
      return 0xffffffff;
    default:
      return ~uint64_t{0};
  }
}

void PutPolicy(MessageBuilder& builder, const AttributeRule& rule) {
  if (rule.kind == AttributeKind::kOpaque) return;  // the kernel describes only typed attributes
  const std::size_t nest = builder.BeginNest(kAckPolicy);
  if (rule.kind != AttributeKind::kFlag) {
    builder.Attribute(kPolicyMinUnsigned, uint64_t{rule.min_value});
    builder.Attribute(kPolicyMaxUnsigned, LargestOf(rule));
  }
  builder.Attribute(kPolicyType, static_cast<uint32_t>(rule.kind));
  builder.EndNest(nest);
}

bool HasTlvs(const ExtendedAck& ack, bool failed) {
  return !ack.message.empty() || (failed && ack.attr_offset.has_value());
}

void PutTlvs(MessageBuilder& builder, const ExtendedAck& ack, bool failed) {
  if (!ack.message.empty()) {
    // Includes the NUL, which c_str() guarantees.
    const auto* text = reinterpret_cast<const uint8_t*>(ack.message.c_str());
    builder.AttributeBytes(kAckMessage, {text, ack.message.size() + 1});
  }
  if (!failed) return;
  if (ack.attr_offset) builder.Attribute(kAckOffset, *ack.attr_offset);
  if (ack.rule != nullptr) PutPolicy(builder, *ack.rule);
}

}  // namespace

Buffer BuildAck(const MessageView& request, int error_number, const ExtendedAck& ack,
                AckOptions options, uint32_t port_id) {
  const bool failed = error_number != 0;
  const bool capped = !failed || options.capped;
  const bool tlvs = options.extended && HasTlvs(ack, failed);
  MessageHeader header{.type = NLMSG_ERROR, .seq = request.header.nlmsg_seq, .pid = port_id};
  if (capped) header.flags |= NLM_F_CAPPED;
  if (tlvs) header.flags |= NLM_F_ACK_TLVS;
  Buffer room;  // of the usual answer exactly: all of it is wiped
  if (!failed && !tlvs) room.reserve(2 * kHeaderSize + sizeof(int32_t));
  MessageBuilder builder(header, std::move(room));
  builder.Put(static_cast<int32_t>(-error_number));
  builder.Put(request.header);
  if (!capped) builder.PutBytes(request.payload());
  if (tlvs) PutTlvs(builder, ack, failed);
  return std::move(builder).Finish();
}

Buffer BuildDone(uint32_t seq, int error_number, const ExtendedAck& ack, AckOptions options,
                 uint32_t port_id) {
  const bool failed = error_number != 0;
  const bool tlvs = options.extended && HasTlvs(ack, failed);
  MessageHeader header{.type = NLMSG_DONE, .flags = NLM_F_MULTI, .seq = seq, .pid = port_id};
  if (tlvs) header.flags |= NLM_F_ACK_TLVS;
  MessageBuilder builder(header);
  builder.Put(static_cast<int32_t>(-error_number));
  if (tlvs) PutTlvs(builder, ack, failed);
  return std::move(builder).Finish();
}

}  // namespace cygnet::netlink
