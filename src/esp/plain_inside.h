// What most tunnels carry: whole IPv4 packets without options.
#pragma once

#include <cstdint>

#include "esp/decapsulate.h"
#include "net/esp_view.h"
#include "net/flow_key.h"
#include "net/ip_protocol.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// Of an opened packet in tunnel mode.
struct PlainInside {
  uint32_t at = 0;       // where the inner packet begins, from the start of the outer header
  uint32_t length = 0;   // of the inner packet; 0: it is something else, or the trailer is wrong
  uint32_t payload = 0;  // Trailer::payload_length
};

// Reads trailer and inner header. Other packets are for ReadTrailer and Decapsulate; for these,
// StripTunnel may follow. Arguments as for ReadTrailer.
inline PlainInside ReadPlainInside(const InboundSa& sa, const Packet& packet, uint32_t esp_offset) {
  Trailer trailer;
  if (ReadTrailer(sa, packet, esp_offset, &trailer) != DropReason::kNone ||
      trailer.next_header != kProtoIpip) {
    return {};
  }
  const uint32_t at = esp_offset + kEspHeader + sa.layout.iv;
  const uint8_t* inner = packet.data() + packet.l3_offset + at;
  return {at, PlainV4Length({inner, trailer.payload_length}), trailer.payload_length};
}

}  // namespace cygnet::esp
