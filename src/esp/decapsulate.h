// Inbound half of RFC 4303 after authentication: checks the trailer, strips ESP, rebuilds the
// packet that was protected. What it reads comes from the peer: a key holder may still be hostile.
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

// `esp_offset`: of the ESP header from the start of the IP header; the payload is opened. Reads pad
// length and next header and checks them against the bytes there (RFC 4303, section 3.4.4.1).
DropReason ReadTrailer(const InboundSa& sa, const Packet& packet, uint32_t esp_offset,
                       Trailer* trailer);

// Strips ESP in place. `outer` describes the packet as it arrived, whose frame ends with the ICV.
// On a reason other than kNone (kInModeMismatch: what is inside does not fit the SA's mode) the
// packet must be dropped.
DropReason Decapsulate(const InboundSa& sa, const IpPacketView& outer, uint32_t esp_offset,
                       const Trailer& trailer, Packet* packet);

}  // namespace cygnet::esp
