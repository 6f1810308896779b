// RTM_NEWLINK and RTM_DELLINK, as the preload shim passes them on (transport::kLink).
#pragma once

#include "base/result.h"
#include "netlink/message.h"
#include "requests/link_control.h"

namespace cygnet::xfrm {

// The payload of such a message is the client's own message, unchanged.
bool IsLink(const netlink::MessageView& message);

// Refuses what nobody could fulfil later, with the text for the client. REQUIRES: IsLink(message).
Result<LinkRequest> DecodeLink(const netlink::MessageView& message);

}  // namespace cygnet::xfrm
