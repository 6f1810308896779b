// What all modes do to a frame: make and close gaps behind the Ethernet header, write the ESP
// header and the trailer. Internal to esp/.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/endian.h"
#include "net/ethernet.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// The first `keep` bytes of the frame move so that `growth` bytes more lie between them and what
// follows byte `keep`; when negative, that many of what follows are overwritten. The bytes of the
// gap are the caller's to write. REQUIRES: growth ≤ headroom, -growth ≤ length - keep.
inline void MoveFront(uint32_t keep, int32_t growth, Packet* packet) {
  const uint8_t* old_front = packet->data();
  if (growth >= 0) {
    packet->Prepend(static_cast<uint32_t>(growth));
  } else {
    packet->TrimFront(static_cast<uint32_t>(-growth));
  }
  std::memmove(packet->data(), old_front, keep);
}

// The type of the frame becomes that of an IP packet of this family, behind any VLAN tags.
inline void WriteEtherType(IpFamily family, Packet* packet) {
  if (packet->l3_offset >= kEthernetHeader) {
    StoreBe16(packet->data() + packet->l3_offset - 2,
              family == IpFamily::kV4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  }
}

// RFC 4303 sections 2.4 – 2.8: `tfc` zeros, pad bytes 1, 2, 3, …, pad length, next header, room for
// the ICV. `payload`: bytes in front of it that ESP protects.
void AppendTrailer(const OutboundSa& sa, uint32_t payload, uint32_t tfc, uint8_t next_header,
                   Packet* packet);

// UDP header if any, then SPI, sequence number, IV. `out` points behind the IP header;
// `esp_length` counts from the SPI to the end of the ICV.
void WriteEspHeader(const OutboundSa& sa, uint64_t seq, uint32_t esp_length, uint8_t* out);

}  // namespace cygnet::esp
