// Encodes the control plane's events as notifications.
#pragma once

#include "netlink/buffer.h"
#include "requests/control_event.h"
#include "requests/xfrm_control.h"
#include "xfrm/message_type.h"

namespace cygnet {

xfrm::EventGroup GroupOf(const ControlEvent& event);

// The notification, with nlmsg_flags 0. `control` provides the state of SAs.
netlink::Buffer EncodeEvent(const ControlEvent& event, const RequestOrigin& origin,
                            const XfrmControl& control);

}  // namespace cygnet
