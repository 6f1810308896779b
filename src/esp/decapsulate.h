// Inbound half of RFC 4303 after authentication: checks the trailer, strips ESP, rebuilds the
// protected packet. All input comes from the peer: even a key holder may be hostile.
#pragma once

#include <cstdint>

#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

struct Trailer {
  uint8_t next_header = 0;
  uint32_t payload_length = 0;  // without padding and trailer
};

// Reads pad length and next header and checks them against the bytes present (RFC 4303, section
// 3.4.4.1). `esp_offset`: of the ESP header, from the start of the IP header. REQUIRES: the payload
// is opened.
DropReason ReadTrailer(const InboundSa& sa, const Packet& packet, uint32_t esp_offset,
                       Trailer* trailer);

// Strips ESP in place. `outer` describes the packet as it arrived; its frame ends with the ICV. On
// any reason other than kNone the packet must be dropped (kInModeMismatch: the content does not fit
// the SA's mode).
DropReason Decapsulate(const InboundSa& sa, const IpPacketView& outer, uint32_t esp_offset,
                       const Trailer& trailer, Packet* packet);

}  // namespace cygnet::esp
