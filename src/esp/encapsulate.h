// Outbound half of RFC 4303 without the cryptography: turns an inner packet into an ESP packet
// whose payload is still in clear, followed by room for the ICV. Pure functions of one SA and one
// packet.
#pragma once

#include <cstdint>

#include "esp/framing.h"
#include "esp/outer_ipv4.h"
#include "esp/size.h"
#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// Builds the ESP packet in place around packet->l3(), which `ip` describes. Sets the packet's
// offload.esp_offset and esn_high. The Ethernet header keeps its addresses; its type becomes that
// of the outer family. `path_mtu` bounds TFC padding. On any reason other than kNone the packet is
// half built and must be dropped: kOutModeError (the packet does not fit the SA's mode), kOutNoRoom
// (the buffer lacks FrontLength in front or RoomBehind at the end), kOutTooBig (exceeds IP's length
// field).
DropReason Encapsulate(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                       uint32_t path_mtu, Packet* packet);

// Encapsulate for many packets of one SA: what they share is read once. What most SAs are, a tunnel
// with IPv4 outside or transport mode over IPv4, with an AEAD of RFC 4106, is built here; every
// other one by Encapsulate.
class Encapsulator {
 public:
  // `sa` outlives this object. `path_mtu`: of all packets.
  Encapsulator(const OutboundSa& sa, uint32_t path_mtu)
      : sa_(sa),
        path_mtu_(path_mtu),
        shape_(ShapeOf(sa)),
        outer_(sa),
        spi_(uint64_t{LoadBe32(sa.header.data() + sa.header_length - 4)} << 32),
        iv_mask_(sa.iv_mask) {}

  // As Encapsulate.
  DropReason Build(const IpPacketView& ip, uint64_t seq, Packet* packet) const {
    const bool v4 = ip.flow.family == IpFamily::kV4;
    if (packet->l3_offset == kEthernetHeader && shape_ == Shape::kTunnel) {
      return BuildTunnel({.length = ip.total_length,
                          .tos = ip.tos,
                          .next_header = v4 ? kProtoIpip : kProtoIpv6,
                          .must_not_be_cut = MustNotBeCut(ip)},
                         seq, packet);
    }
    if (packet->l3_offset == kEthernetHeader && shape_ == Shape::kTransport && v4 && !ip.fragment &&
        ip.ip_header_length == kIpv4Header) {
      return BuildTransport(ip.total_length, seq, packet);
    }
    return Encapsulate(sa_, ip, seq, path_mtu_, packet);
  }

  enum class Shape : uint8_t { kTunnel, kTransport, kOther };
  Shape shape() const { return shape_; }
  // What a tunnel needs to know of the packet inside.
  struct Inside {
    uint32_t length;  // of the IP packet
    uint8_t tos;
    uint8_t next_header;   // kProtoIpip, kProtoIpv6
    bool must_not_be_cut;  // MustNotBeCut
  };
  // As Build. REQUIRES: the shape is kTunnel, packet->l3_offset is kEthernetHeader.
  DropReason BuildTunnel(Inside inside, uint64_t seq, Packet* packet) const;
  // As Build. REQUIRES: the shape is kTransport, packet->l3_offset is kEthernetHeader; the packet
  // is of IPv4 without options, not a fragment. `length`: of the IP packet.
  DropReason BuildTransport(uint32_t length, uint64_t seq, Packet* packet) const;

 private:
  static constexpr uint32_t kIv = 8;
  static constexpr uint32_t kIcv = 16;
  static constexpr uint32_t kAlign = 4;
  static constexpr uint32_t kBack = kAlign - 1 + kTrailer + kIcv;

  static Shape ShapeOf(const OutboundSa& sa) {
    const bool plain = sa.family == IpFamily::kV4 && sa.tfc_pad == 0 && sa.layout.udp == 0 &&
                       sa.layout.iv == kIv && sa.layout.icv == kIcv && sa.layout.align == kAlign;
    if (plain && sa.mode == SaMode::kTunnel) return Shape::kTunnel;
    return plain && sa.mode == SaMode::kTransport ? Shape::kTransport : Shape::kOther;
  }
  static bool HasRoom(uint32_t front, uint32_t in_frame, const Packet& packet) {
    return packet.head >= front && packet.capacity - packet.head - in_frame >= kBack;
  }
  static bool Fits(uint32_t front, uint32_t in_frame) { return in_frame + front + kBack <= 0xffff; }
  // Trailer and room for the ICV behind `payload` bytes, which end at `end`. Returns how many bytes
  // they are.
  static uint32_t WriteEnd(uint32_t payload, uint8_t next_header, uint8_t* end) {
    const uint32_t pad = PadFor(payload, kAlign);
    WriteShortTrailer(pad, next_header, end);
    std::memset(end + pad + kTrailer, 0, kIcv);
    return pad + kTrailer + kIcv;
  }
  // Moves the Ethernet header `front` bytes ahead; its type becomes that of IPv4.
  static uint8_t* MoveEthernet(uint32_t front, uint8_t* old_frame) {
    uint64_t begin;
    uint64_t end;
    std::memcpy(&begin, old_frame, sizeof(begin));
    std::memcpy(&end, old_frame + kEthernetHeader - sizeof(end), sizeof(end));
    constexpr uint64_t kType = ByteSwap(kEtherTypeIpv4);
    end = (end & 0xffffffffffff) | kType << 48;
    uint8_t* frame = old_frame - front;
    std::memcpy(frame, &begin, sizeof(begin));
    std::memcpy(frame + kEthernetHeader - sizeof(end), &end, sizeof(end));
    return frame;
  }
  // The headers of ESP, and what the packet tells of them. `front`: bytes that it has grown by in
  // front, `length`: of the IP packet now.
  void WriteEsp(uint64_t seq, uint32_t front, uint32_t length, uint8_t* esp, Packet* packet) const {
    StoreBe64(esp, spi_ | static_cast<uint32_t>(seq));
    StoreBe64(esp + kEspHeader, seq ^ iv_mask_);
    packet->head -= front;
    packet->length = kEthernetHeader + length;
    packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
    packet->offload.esp_offset = kEthernetHeader + kIpv4Header;
  }

  const OutboundSa& sa_;
  const uint32_t path_mtu_;
  const Shape shape_;
  const OuterIpv4 outer_;
  const uint64_t spi_;  // in the high word
  const uint64_t iv_mask_;
};

// --- Implementation ---

// The same bytes as EncapsulateTunnel writes, in fewer and wider stores.
[[gnu::always_inline]] inline DropReason Encapsulator::BuildTunnel(Inside inside, uint64_t seq,
                                                                   Packet* packet) const {
  constexpr uint32_t kFront = kIpv4Header + kEspHeader + kIv;
  const uint32_t in_frame = kEthernetHeader + inside.length;
  if (!HasRoom(kFront, in_frame, *packet)) return DropReason::kOutNoRoom;
  if (!Fits(kFront, in_frame)) return DropReason::kOutTooBig;
  uint8_t* old_frame = packet->data();
  const uint32_t length =
      kFront + inside.length + WriteEnd(inside.length, inside.next_header, old_frame + in_frame);
  uint8_t* outer = MoveEthernet(kFront, old_frame) + kEthernetHeader;
  outer_.Write(inside.tos, inside.must_not_be_cut, seq, length, outer);
  WriteEsp(seq, kFront, length, outer + kIpv4Header, packet);
  return DropReason::kNone;
}

// The same bytes as EncapsulateTransport writes.
[[gnu::always_inline]] inline DropReason Encapsulator::BuildTransport(uint32_t length, uint64_t seq,
                                                                      Packet* packet) const {
  constexpr uint32_t kFront = kEspHeader + kIv;
  const uint32_t in_frame = kEthernetHeader + length;
  if (!HasRoom(kFront, in_frame, *packet)) return DropReason::kOutNoRoom;
  if (!Fits(kFront, in_frame)) return DropReason::kOutTooBig;
  uint8_t* old_frame = packet->data();
  const KeptIpv4 header(old_frame + kEthernetHeader);
  const uint32_t grown =
      kFront + length + WriteEnd(length - kIpv4Header, header.protocol(), old_frame + in_frame);
  uint8_t* ip = MoveEthernet(kFront, old_frame) + kEthernetHeader;
  header.Write(grown, kProtoEsp, ip);
  WriteEsp(seq, kFront, grown, ip + kIpv4Header, packet);
  return DropReason::kNone;
}

}  // namespace cygnet::esp
