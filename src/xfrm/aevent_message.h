// NEWAE and GETAE: read, set and report the changing parts of an SA (sequence numbers, usage).
// MAPPING: reports a new address or port of a peer behind a NAT.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "netlink/buffer.h"
#include "requests/control_event.h"
#include "requests/xfrm_control.h"
#include "sa/sa_view.h"
#include "xfrm/request.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {

// GETAE: the SA, and XFRM_AE_* flags that select the content.
struct GetAevent {
  SaId id;
  uint32_t flags = 0;
};
Result<GetAevent> DecodeGetAevent(const Request& request);

// NEWAE as a request.
Result<AeventChange> DecodeNewAevent(const Request& request);

// Thresholds for the SA's NEWAE; 0: none.
struct AeventThresholds {
  uint32_t max_diff = 0;  // packets
  uint32_t max_age = 0;   // 100 ms units
};

// The answer to GETAE; echoes the `flags` of the request.
netlink::Buffer EncodeAevent(const SaView& sa, const AeventThresholds& thresholds, uint32_t flags,
                             ReplyTo to);
// Group kAevents.
netlink::Buffer EncodeAeventChange(const SaView& sa, AeventCause cause, ReplyTo to);

// Group kMapping. Ports in host order.
struct MappingImage {
  const SaSpec& spec;
  IpAddress new_saddr;
  uint16_t new_sport = 0;
};
netlink::Buffer EncodeMapping(const MappingImage& mapping);

}  // namespace cygnet::xfrm
