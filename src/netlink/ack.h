// Answers of the netlink protocol: NLMSG_ERROR (errors and ACKs) and NLMSG_DONE.
#pragma once

#include <cstdint>

#include "netlink/buffer.h"
#include "netlink/extended_ack.h"
#include "netlink/message.h"

namespace cygnet::netlink {

// The answer to `request`: error number 0 is an ACK. Errors echo the whole request unless capped.
// Only clients that requested extended ACKs get text and offsets.
Buffer BuildAck(const MessageView& request, int error_number, const ExtendedAck& ack,
                AckOptions options, uint32_t port_id);

// The end of a dump. A failed dump has its error number here, not in an NLMSG_ERROR.
Buffer BuildDone(uint32_t seq, int error_number, const ExtendedAck& ack, AckOptions options,
                 uint32_t port_id);

}  // namespace cygnet::netlink
