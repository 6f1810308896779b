// Request: a message from a client with checked length and attributes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/check.h"
#include "base/result.h"
#include "netlink/attribute.h"
#include "netlink/extended_ack.h"
#include "netlink/message.h"
#include "xfrm/message_type.h"

namespace cygnet::xfrm {

struct Request {
  RequestType type = RequestType::kNewSa;
  netlink::MessageView message;
  netlink::AttributeTable attributes;

  // The fixed part. REQUIRES: T is the structure that ParseRequest checked for this type, or its
  // beginning.
  template <typename T>
  T Fixed() const {
    const auto value = ReadAt<T>(message.payload());
    CYGNET_CHECK(value.has_value());
    return *value;
  }
};

// True for request types of XFRM sockets. All others are EINVAL, before any other check.
bool IsKnownType(uint16_t nlmsg_type);

// GETSA or GETPOLICY with a dump flag: list everything. Other types ignore the flag.
bool IsDump(const netlink::MessageView& message);

// Checks the fixed part's length and the attributes (xfrm_user_rcv_msg).
// REQUIRES: IsKnownType, not IsDump.
Result<Request> ParseRequest(const netlink::MessageView& message, netlink::ExtendedAck& ack);

// What was stored: exactly one message, of this type. Its views are into `bytes`.
Result<Request> ParseStored(std::span<const uint8_t> bytes, RequestType type);

// A GETSA dump has no fixed part: attributes follow the header. (If a client sends a usersa_id
// there, it is parsed as attributes that are ignored.)
Result<netlink::AttributeTable> ParseSaDump(const netlink::MessageView& message,
                                            netlink::ExtendedAck& ack);

}  // namespace cygnet::xfrm
