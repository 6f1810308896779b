#include "xfrm/socket_policy_message.h"

#include "base/bytes.h"
#include "netlink/unix_transport.h"
#include "xfrm/policy_decode.h"
#include "xfrm/protocol.h"
#include "xfrm/unsupported.h"

namespace cygnet::xfrm {

bool IsSocketPolicy(const netlink::MessageView& message) {
  return message.header.nlmsg_type == transport::kSocketPolicy;
}

// The order of xfrm_compile_policy.
Result<SocketPolicyChange> DecodeSocketPolicy(const netlink::MessageView& message) {
  const auto head = ReadAt<transport::SocketPolicyPayload>(message.payload());
  if (!head) return MakeError(Errc::kInvalid, "Message is too short");
  SocketPolicyChange change;
  change.cookie = head->cookie;
  change.family = static_cast<IpFamily>(head->family);
  change.proto = static_cast<uint8_t>(head->protocol);
  change.port = head->port;
  change.retold = (head->flags & transport::kRetold) != 0;
  if (AddressBits(change.family) == 0 || change.proto != head->protocol) {
    return MakeError(Errc::kNotSupported, "Not a socket of IPv4 or IPv6");
  }
  const auto value = message.payload().subspan(sizeof(transport::SocketPolicyPayload));
  if (value.empty()) return change;
  const auto info = ReadAt<xfrm_userpolicy_info>(value);
  if (!info) return MakeError(Errc::kInvalid, "Policy is too short");
  netlink::AttributeTable attributes;
  attributes.Set(XFRMA_TMPL, value.subspan(sizeof(*info)));
  auto spec = DecodePolicyInfo(*info, attributes);
  if (!spec) return spec.error();
  CYGNET_RETURN_IF_ERROR(RefusePolicy(*spec, attributes));
  if (spec->direction == PolicyDirection::kForward) {
    return MakeError(Errc::kInvalid, "A socket does not forward");
  }
  change.spec = *std::move(spec);
  return change;
}

}  // namespace cygnet::xfrm
