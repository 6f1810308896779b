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

// Encapsulate for many packets of one SA: what they share is read once. The tunnel that most SAs
// are, IPv4 outside with an AEAD of RFC 4106, is built here; every other one by Encapsulate.
class Encapsulator {
 public:
  // `sa` outlives this object. `path_mtu`: of all packets.
  Encapsulator(const OutboundSa& sa, uint32_t path_mtu)
      : sa_(sa),
        path_mtu_(path_mtu),
        plain_(sa.mode == SaMode::kTunnel && sa.family == IpFamily::kV4 && sa.tfc_pad == 0 &&
               sa.layout.udp == 0 && sa.layout.iv == kIv && sa.layout.icv == kIcv &&
               sa.layout.align == kAlign),
        outer_(sa),
        spi_(uint64_t{LoadBe32(sa.header.data() + sa.header_length - 4)} << 32),
        iv_mask_(sa.iv_mask) {}

  // As Encapsulate.
  DropReason Build(const IpPacketView& ip, uint64_t seq, Packet* packet) const {
    if (!plain_ || packet->l3_offset != kEthernetHeader) {
      return Encapsulate(sa_, ip, seq, path_mtu_, packet);
    }
    const bool v4 = ip.flow.family == IpFamily::kV4;
    return BuildPlain({.length = ip.total_length,
                       .tos = ip.tos,
                       .next_header = v4 ? kProtoIpip : kProtoIpv6,
                       .must_not_be_cut = MustNotBeCut(ip)},
                      seq, packet);
  }

  // True if BuildPlain can build the SA's packets.
  bool plain() const { return plain_; }
  // What a tunnel needs to know of the packet inside.
  struct Inside {
    uint32_t length;  // of the IP packet
    uint8_t tos;
    uint8_t next_header;   // kProtoIpip, kProtoIpv6
    bool must_not_be_cut;  // MustNotBeCut
  };
  // As Build. REQUIRES: plain(), packet->l3_offset is kEthernetHeader.
  DropReason BuildPlain(Inside inside, uint64_t seq, Packet* packet) const;

 private:
  static constexpr uint32_t kIv = 8;
  static constexpr uint32_t kIcv = 16;
  static constexpr uint32_t kAlign = 4;
  static constexpr uint32_t kFront = kIpv4Header + kEspHeader + kIv;

  const OutboundSa& sa_;
  const uint32_t path_mtu_;
  const bool plain_;
  const OuterIpv4 outer_;
  const uint64_t spi_;  // in the high word
  const uint64_t iv_mask_;
};

// --- Implementation ---

// The same bytes as EncapsulateTunnel writes, in fewer and wider stores.
[[gnu::always_inline]] inline DropReason Encapsulator::BuildPlain(Inside inside, uint64_t seq,
                                                                  Packet* packet) const {
  const uint32_t inner = inside.length;
  const uint32_t in_frame = kEthernetHeader + inner;
  constexpr uint32_t kBack = kAlign - 1 + kTrailer + kIcv;
  if (packet->head < kFront || packet->capacity - packet->head - in_frame < kBack) {
    return DropReason::kOutNoRoom;
  }
  if (in_frame + kFront + kBack > 0xffff) return DropReason::kOutTooBig;
  uint8_t* old_frame = packet->data();
  const uint32_t pad = PadFor(inner, kAlign);
  WriteShortTrailer(pad, inside.next_header, old_frame + in_frame);
  std::memset(old_frame + in_frame + pad + kTrailer, 0, kIcv);
  uint64_t front;
  uint64_t back;  // to the end of the Ethernet header, whose type becomes that of IPv4
  std::memcpy(&front, old_frame, sizeof(front));
  std::memcpy(&back, old_frame + kEthernetHeader - sizeof(back), sizeof(back));
  constexpr uint64_t kType = ByteSwap(kEtherTypeIpv4);
  back = (back & 0xffffffffffff) | kType << 48;
  uint8_t* frame = old_frame - kFront;
  std::memcpy(frame, &front, sizeof(front));
  std::memcpy(frame + kEthernetHeader - sizeof(back), &back, sizeof(back));
  const uint32_t outer_length = kFront + inner + pad + kTrailer + kIcv;
  outer_.Write(inside.tos, inside.must_not_be_cut, seq, outer_length, frame + kEthernetHeader);
  uint8_t* esp = frame + kEthernetHeader + kIpv4Header;
  StoreBe64(esp, spi_ | static_cast<uint32_t>(seq));
  StoreBe64(esp + kEspHeader, seq ^ iv_mask_);
  packet->head -= kFront;
  packet->length = kEthernetHeader + outer_length;
  packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
  packet->offload.esp_offset = kEthernetHeader + kIpv4Header;
  return DropReason::kNone;
}

}  // namespace cygnet::esp
