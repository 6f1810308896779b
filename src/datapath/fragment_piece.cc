#include "datapath/fragment_piece.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kFragmentHeader = 8;
constexpr uint8_t kEcnMask = 3;

// Bytes of the upper-layer header that the first fragment must hold (RFC 7112: all of them). For
// ESP no check is needed: its header is eight bytes, the smallest piece.
uint32_t UpperHeaderLength(uint8_t proto) {
  switch (proto) {
    case kProtoTcp:
      return 20;
    case kProtoUdp:
    case kProtoIcmpv6:
      return 8;
    default:
      return 0;
  }
}

bool HoldsHeaderChain(const IpPacketView& ip) {
  // A second fragment header ends parsing early; the view is then that of a later fragment.
  if (ip.later_fragment) return false;
  return ip.total_length - ip.header_length >= UpperHeaderLength(ip.flow.proto);
}

void ReadV4(std::span<const uint8_t> l3, const IpPacketView& ip, FragmentPiece* piece) {
  const uint16_t field = LoadBe16(l3.data() + 6);
  piece->key.id = LoadBe16(l3.data() + 4);
  piece->key.proto = ip.flow.proto;
  piece->more = (field & 0x2000) != 0;
  piece->fragment.offset = static_cast<uint16_t>((field & 0x1fff) * 8);
  piece->fragment.data_at = ip.header_length;
}

// The fragment header follows the per-hop headers; the parser found both. Returns false if the
// fragment header is missing, or if the first fragment lacks headers.
bool ReadV6(std::span<const uint8_t> l3, const IpPacketView& ip, FragmentPiece* piece) {
  const uint32_t at = ip.esp_offset_v6;
  if (l3[ip.esp_nexthdr_offset_v6] != kProtoFragment || ip.total_length < at + kFragmentHeader) {
    return false;
  }
  const uint16_t field = LoadBe16(l3.data() + at + 2);
  piece->key.id = LoadBe32(l3.data() + at + 4);
  piece->more = (field & 1) != 0;
  piece->next_header_at = static_cast<uint16_t>(ip.esp_nexthdr_offset_v6);
  piece->fragment.offset = static_cast<uint16_t>(field & 0xfff8);
  piece->fragment.data_at = at + kFragmentHeader;
  return piece->fragment.offset != 0 || HoldsHeaderChain(ip);
}

// IPv6 has a separate header for fragmentation.
uint32_t HeaderToRemove(const Fragment& fragment) {
  return fragment.packet->l3()[0] >> 4 == 4 ? 0 : kFragmentHeader;
}

// Moves the front of the frame over the fragment header, and ends the frame after the first piece.
void KeepFirstPiece(const Fragment& first, uint32_t gap, Packet* packet) {
  const uint32_t front = first.data_at - gap;
  std::memmove(packet->data() + gap, packet->data(), front);
  packet->TrimFront(gap);
  packet->TrimTo(front + first.length);
}

Packet* CopyFirstPiece(const Fragment& first, uint32_t gap, uint32_t frame_length,
                       PacketCaches* caches) {
  Packet* out = caches->TakeFor(frame_length);
  if (out == nullptr) return nullptr;
  if (out->tailroom() < frame_length + kPacketTailroom) {  // too many VLAN tags
    caches->Give(out);
    return nullptr;
  }
  const uint32_t front = first.data_at - gap;
  std::memcpy(out->Append(front), first.packet->data(), front);
  std::memcpy(out->Append(first.length), first.data().data(), first.length);
  out->l3_offset = first.packet->l3_offset;
  out->TakeOrigin(*first.packet);
  out->offload = first.packet->offload;
  return out;
}

void WriteHeaderV4(const JoinedHeader& header, std::span<uint8_t> l3) {
  StoreBe16(l3.data() + 2, static_cast<uint16_t>(l3.size()));
  StoreBe16(l3.data() + 6, 0);
  if (header.congestion_experienced) l3[1] |= kEcnMask;
  WriteIpv4HeaderChecksum(l3.data());
}

void WriteHeaderV6(const JoinedHeader& header, uint8_t next_header, std::span<uint8_t> l3) {
  StoreBe16(l3.data() + 4, static_cast<uint16_t>(l3.size() - 40));
  l3[header.next_header_at] = next_header;
  if (header.congestion_experienced) l3[1] = static_cast<uint8_t>(l3[1] | kEcnMask << 4);
}

}  // namespace

std::optional<FragmentPiece> ReadFragment(Packet* packet, const IpPacketView& ip) {
  FragmentPiece piece;
  piece.key.saddr = ip.flow.saddr;
  piece.key.daddr = ip.flow.daddr;
  piece.key.family = ip.flow.family;
  piece.ecn = ip.tos & kEcnMask;
  const std::span<const uint8_t> l3 = packet->l3();
  if (ip.flow.family == IpFamily::kV4) {
    ReadV4(l3, ip, &piece);
  } else if (!ReadV6(l3, ip, &piece)) {
    return std::nullopt;
  }
  const uint32_t length = ip.total_length - piece.fragment.data_at;
  if (length == 0 || length > kMaxIpPacket || (piece.more && length % 8 != 0)) return std::nullopt;
  piece.fragment.length = static_cast<uint16_t>(length);
  piece.fragment.data_at += packet->l3_offset;
  piece.fragment.packet = packet;
  if (JoinedLength({&piece.fragment, 1}) > kMaxIpPacket) return std::nullopt;
  return piece;
}

uint32_t JoinedLength(std::span<const Fragment> fragments) {
  const Fragment& first = fragments.front();
  return first.data_at - first.packet->l3_offset - HeaderToRemove(first) + fragments.back().end();
}

Packet* JoinFragments(std::span<const Fragment> fragments, const JoinedHeader& header,
                      PacketCaches* caches) {
  const Fragment& first = fragments.front();
  const uint32_t gap = HeaderToRemove(first);
  const bool v4 = gap == 0;
  const uint8_t next_header = v4 ? uint8_t{0} : first.packet->data()[first.data_at - gap];
  const uint32_t frame_length = first.packet->l3_offset + JoinedLength(fragments);
  Packet* out = first.packet;
  if (out->head + gap + frame_length + kPacketTailroom <= out->capacity) {
    KeepFirstPiece(first, gap, out);
  } else {
    out = CopyFirstPiece(first, gap, frame_length, caches);
    if (out == nullptr) return nullptr;
  }
  for (const Fragment& fragment : fragments.subspan(1)) {
    std::memcpy(out->Append(fragment.length), fragment.data().data(), fragment.length);
  }
  // What a virtio header said was of the first fragment, not of this packet.
  out->csum_partial = false;
  out->gso_type = GsoType::kNone;
  if (v4) {
    WriteHeaderV4(header, out->l3());
  } else {
    WriteHeaderV6(header, next_header, out->l3());
  }
  return out;
}

}  // namespace cygnet
