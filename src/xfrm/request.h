// Request: one message from a client whose length and attributes have been checked.
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

  // The fixed part. REQUIRES: T is what ParseRequest demanded for this type, or a leading part.
  template <typename T>
  T Fixed() const {
    const auto value = ReadAt<T>(message.payload());
    CYGNET_CHECK(value.has_value());
    return *value;
  }
};

// True for a type that an XFRM socket may be sent at all; others are EINVAL before anything else.
bool IsKnownType(uint16_t nlmsg_type);

// GETSA and GETPOLICY with a dump flag: list everything. Other types ignore those flags.
bool IsDump(const netlink::MessageView& message);

// Checks the fixed part's length and the attributes (xfrm_user_rcv_msg).
// REQUIRES: IsKnownType, not IsDump.
Result<Request> ParseRequest(const netlink::MessageView& message, netlink::ExtendedAck& ack);

// A GETSA dump has no fixed part: attributes follow the header. (A client's usersa_id there parses
// as attributes nobody looks at.)
Result<netlink::AttributeTable> ParseSaDump(const netlink::MessageView& message,
                                            netlink::ExtendedAck& ack);

}  // namespace cygnet::xfrm
