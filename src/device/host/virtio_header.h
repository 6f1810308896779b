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
inline constexpr uint8_t kVirtioGsoUdp = 5;  // since Linux 6.2
inline constexpr uint8_t kVirtioGsoEcn = 0x80;

// kNone: a type that nothing here cuts.
inline GsoType GsoTypeOf(uint8_t virtio_type) {
  switch (virtio_type) {
    case kVirtioGsoTcpV4:
      return GsoType::kTcpV4;
    case kVirtioGsoTcpV6:
      return GsoType::kTcpV6;
    case kVirtioGsoUdp:
      return GsoType::kUdp;
    default:
      return GsoType::kNone;
  }
}
// REQUIRES: not kNone.
inline uint8_t VirtioTypeOf(GsoType type) {
  if (type == GsoType::kUdp) return kVirtioGsoUdp;
  return type == GsoType::kTcpV4 ? kVirtioGsoTcpV4 : kVirtioGsoTcpV6;
}
// Offset of the checksum in a TCP or UDP header.
inline uint16_t ChecksumField(GsoType type) { return type == GsoType::kUdp ? 6 : 16; }

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
  const GsoType gso = GsoTypeOf(type);
  if (gso == GsoType::kNone || header.gso_size == 0 || !packet->csum_partial) return false;
  if (header.csum_offset != ChecksumField(gso)) return false;
  packet->gso_type = gso;
  packet->gso_size = header.gso_size;
  return true;
}

// Bytes of a super-packet's Ethernet, IP and TCP or UDP headers. REQUIRES: it is one, as
// ReadVirtioHeader checks them: csum_start is where TCP or UDP begins.
inline uint16_t SuperPacketHeaders(const Packet& packet) {
  constexpr uint32_t kUdpHeader = 8;
  const uint32_t upper = packet.gso_type == GsoType::kUdp
                             ? kUdpHeader
                             : (packet.data()[packet.csum_start + 12u] >> 4) * 4u;
  return static_cast<uint16_t>(packet.csum_start + upper);
}

// TCP's flag CWR belongs on the first segment only, and not every NIC cuts so (RFC 3168).
inline bool HasCwr(const Packet& packet) {
  return packet.gso_type != GsoType::kUdp && (packet.data()[packet.csum_start + 13u] & 0x80) != 0;
}

// REQUIRES: of a super-packet, its headers are complete.
inline VirtioNetHeader WriteVirtioHeader(const Packet& packet) {
  VirtioNetHeader header;
  if (packet.csum_partial) {
    header.flags = kVirtioNeedsCsum;
    header.csum_start = packet.csum_start;
    header.csum_offset = packet.csum_offset;
  }
  if (packet.gso_type != GsoType::kNone) {
    header.gso_type = VirtioTypeOf(packet.gso_type);
    header.gso_size = packet.gso_size;
    header.hdr_len = SuperPacketHeaders(packet);
    if (HasCwr(packet)) header.gso_type |= kVirtioGsoEcn;
  }
  return header;
}

}  // namespace cygnet
