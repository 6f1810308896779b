// Inbound half of RFC 4303 after authentication: checks the trailer, strips ESP, rebuilds the
// protected packet. All input comes from the peer: even a key holder may be hostile.
#pragma once

#include <cstdint>

#include "esp/framing.h"
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
inline DropReason ReadTrailer(const InboundSa& sa, const Packet& packet, uint32_t esp_offset,
                              Trailer* trailer);

// Strips ESP in place. `outer` describes the packet as it arrived; its frame ends with the ICV. On
// any reason other than kNone the packet must be dropped (kInModeMismatch: the content does not fit
// the SA's mode).
DropReason Decapsulate(const InboundSa& sa, const IpPacketView& outer, uint32_t esp_offset,
                       const Trailer& trailer, Packet* packet);

// The end of Decapsulate in tunnel mode, for a caller that has checked the inner packet. It has
// `length` bytes and begins `payload_at` bytes behind the start of the outer header. REQUIRES: an
// IP header of `family` is there, and the frame does not end before the inner packet.
inline void StripTunnel(const InboundSa& sa, uint8_t outer_tos, uint32_t payload_at,
                        uint32_t length, IpFamily family, Packet* packet);

// --- Implementation ---

// Applies DSCP and congestion marks of the outer header to the inner one.
void PropagateTos(const InboundSa& sa, uint8_t outer_tos, uint8_t* inner);

// False: PropagateTos would change nothing.
inline bool MayChangeTos(const InboundSa& sa, uint8_t outer_tos) {
  constexpr uint8_t kCe = 0x03;
  return (sa.flags & kSaFlagDecapDscp) != 0 || (outer_tos & kCe) == kCe;
}

inline DropReason ReadTrailer(const InboundSa& sa, const Packet& packet, uint32_t esp_offset,
                              Trailer* trailer) {
  const uint32_t front = packet.l3_offset + esp_offset + kEspHeader + sa.layout.iv;
  if (packet.length < front + 2u + sa.layout.icv) return DropReason::kInTruncated;
  const uint32_t text = packet.length - front - sa.layout.icv;
  const uint8_t* end = packet.data() + front + text;
  const uint32_t pad = end[-2];
  if (pad + 2 > text) return DropReason::kInBadTrailer;
  trailer->next_header = end[-1];
  trailer->payload_length = text - pad - 2;
  if (trailer->next_header == kProtoNone) return DropReason::kInDummy;
  // RFC 4303 section 2.4 allows a receiver to check the monotonic pad bytes; the kernel does not.
  return DropReason::kNone;
}

inline void StripTunnel(const InboundSa& sa, uint8_t outer_tos, uint32_t payload_at,
                        uint32_t length, IpFamily family, Packet* packet) {
  uint8_t* inner = packet->data() + packet->l3_offset + payload_at;
  if (MayChangeTos(sa, outer_tos)) PropagateTos(sa, outer_tos, inner);
  packet->TrimTo(packet->l3_offset + payload_at + length);
  MoveFront(packet->l3_offset, -static_cast<int32_t>(payload_at), packet);
  WriteEtherType(family, packet);
}

}  // namespace cygnet::esp
