// The virtio-net header that TAP and AF_PACKET put before a frame, and its conversion from and to a
// Packet.
#pragma once

#include <cstdint>

#include "packet/packet.h"

namespace cygnet {

// Layout and values of <linux/virtio_net.h>, which C++ cannot include (it names a field "class").
struct VirtioNetHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t hdr_len = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
};
inline constexpr uint32_t kVirtioHeader = sizeof(VirtioNetHeader);
static_assert(kVirtioHeader == 10);
inline constexpr uint8_t kVirtioNeedsCsum = 1;
inline constexpr uint8_t kVirtioGsoNone = 0;
inline constexpr uint8_t kVirtioGsoTcpV4 = 1;
inline constexpr uint8_t kVirtioGsoTcpV6 = 4;
inline constexpr uint8_t kVirtioGsoEcn = 0x80;

// Fields are in host byte order (legacy form). False if the header does not fit its frame.
inline bool ReadVirtioHeader(const VirtioNetHeader& header, Packet* packet) {
  if ((header.flags & kVirtioNeedsCsum) != 0) {
    if (uint32_t{header.csum_start} + header.csum_offset + 2 > packet->length) return false;
    packet->csum_partial = true;
    packet->csum_start = header.csum_start;
    packet->csum_offset = header.csum_offset;
  }
  const uint8_t type = header.gso_type & static_cast<uint8_t>(~kVirtioGsoEcn);
  if (type == kVirtioGsoNone) return true;
  if (type != kVirtioGsoTcpV4 && type != kVirtioGsoTcpV6) return false;
  if (header.gso_size == 0 || !packet->csum_partial) return false;
  packet->gso_type = type == kVirtioGsoTcpV4 ? GsoType::kTcpV4 : GsoType::kTcpV6;
  packet->gso_size = header.gso_size;
  return true;
}

// `header_length`: bytes of a super-packet's Ethernet, IP and TCP headers.
inline VirtioNetHeader WriteVirtioHeader(const Packet& packet, uint16_t header_length) {
  VirtioNetHeader header;
  if (packet.csum_partial) {
    header.flags = kVirtioNeedsCsum;
    header.csum_start = packet.csum_start;
    header.csum_offset = packet.csum_offset;
  }
  if (packet.gso_type != GsoType::kNone) {
    header.gso_type = packet.gso_type == GsoType::kTcpV4 ? kVirtioGsoTcpV4 : kVirtioGsoTcpV6;
    header.gso_size = packet.gso_size;
    header.hdr_len = header_length;
  }
  return header;
}

}  // namespace cygnet
