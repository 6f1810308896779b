// Operations common to all modes: open and close gaps after the Ethernet header, write the ESP
// header and the trailer. Internal to esp/.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/endian.h"
#include "esp/size.h"
#include "net/esp_view.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// Moves the first `keep` bytes of the frame so that there are `growth` more bytes between them and
// byte `keep`. If negative, it overwrites that many of the following bytes. The caller writes the
// gap. REQUIRES: growth ≤ headroom, -growth ≤ length - keep.
inline void MoveFront(uint32_t keep, int32_t growth, Packet* packet) {
  const uint8_t* old_front = packet->data();
  if (growth >= 0) {
    packet->Prepend(static_cast<uint32_t>(growth));
  } else {
    packet->TrimFront(static_cast<uint32_t>(-growth));
  }
  if (keep == kEthernetHeader) {  // through registers, because the two places may overlap
    uint64_t first;
    uint64_t last;
    std::memcpy(&first, old_front, 8);
    std::memcpy(&last, old_front + kEthernetHeader - 8, 8);
    std::memcpy(packet->data(), &first, 8);
    std::memcpy(packet->data() + kEthernetHeader - 8, &last, 8);
    return;
  }
  std::memmove(packet->data(), old_front, keep);
}

// A new identification for every packet of the SA. Each SA starts at another value, so that
// fragments of two SAs between the same hosts do not mix.
inline uint16_t FreshId(const OutboundSa& sa, uint64_t seq) {
  return static_cast<uint16_t>(seq + (sa.iv_mask >> 48));
}

// The DF bit of an IPv4 header around this packet. IPv6 has no DF bit: its sender is notified when
// a packet does not fit, except for packets that it has already fragmented (dont_fragment is then
// false) and packets of up to 1280 bytes, which it cannot make smaller.
inline bool MustNotBeCut(const IpPacketView& inner) {
  return inner.dont_fragment &&
         (inner.flow.family == IpFamily::kV4 || inner.total_length > kMinIpv6Mtu);
}

// Sets the frame's type, after any VLAN tags, to that of the IP family.
inline void WriteEtherType(IpFamily family, Packet* packet) {
  if (packet->l3_offset >= kEthernetHeader) {
    StoreBe16(packet->data() + packet->l3_offset - 2,
              family == IpFamily::kV4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  }
}

// Pad bytes 1, 2, 3, pad length, next header. Writes up to two bytes more, which the ICV
// overwrites. REQUIRES: pad < 4.
inline void WriteShortTrailer(uint32_t pad, uint8_t next_header, uint8_t* out) {
  static constexpr uint32_t kPads[4] = {0x00, 0x0101, 0x020201, 0x03030201};
  std::memcpy(out, &kPads[pad], sizeof(kPads[pad]));
  out[pad + 1] = next_header;
}

// RFC 4303 sections 2.4 – 2.8: `tfc` zeros, pad bytes 1, 2, 3, …, pad length, next header, room for
// the ICV. `payload`: number of protected bytes before them.
inline void AppendTrailer(const OutboundSa& sa, uint32_t payload, uint32_t tfc, uint8_t next_header,
                          Packet* packet) {
  const uint32_t pad = PadFor(payload + tfc, sa.layout.align);
  uint8_t* out = packet->Append(tfc + pad + kTrailer + sa.layout.icv);
  if (tfc != 0) std::memset(out, 0, tfc);
  out += tfc;
  if (pad < 4) {  // writes a whole word: trailer and ICV follow the pad
    constexpr uint8_t kPad[4] = {1, 2, 3, 4};
    std::memcpy(out, kPad, sizeof(kPad));
  } else {
    for (uint32_t i = 0; i < pad; ++i) out[i] = static_cast<uint8_t>(i + 1);
  }
  out[pad] = static_cast<uint8_t>(pad);
  out[pad + 1] = next_header;
  if (sa.layout.icv == 16) {
    std::memset(out + pad + kTrailer, 0, 16);
  } else {
    std::memset(out + pad + kTrailer, 0, sa.layout.icv);
  }
}

// Writes the UDP header if any, then SPI, sequence number, IV. `out` points just after the IP
// header; `esp_length` counts from the SPI to the end of the ICV.
inline void WriteEspHeader(const OutboundSa& sa, uint64_t seq, uint32_t esp_length, uint8_t* out) {
  const uint8_t* spi = sa.header.data() + sa.header_length - 4;
  if (sa.layout.udp != 0) {
    std::memcpy(out, spi - 8, 8);
    StoreBe32(out, sa.udp_ports.load(std::memory_order_relaxed));
    StoreBe16(out + 4, static_cast<uint16_t>(esp_length + 8));
  }
  uint8_t* esp = out + sa.layout.udp;
  // As one word, because the seal proof and the jobs read it as one word.
  const uint64_t spi_and_seq = uint64_t{LoadBe32(spi)} << 32 | static_cast<uint32_t>(seq);
  StoreBe64(esp, spi_and_seq);
  // For counter modes this is the IV; for block modes it is the block that becomes the IV
  // (IvForm::kSealed).
  if (sa.layout.iv >= 8) {
    StoreBe64(esp + kEspHeader, seq ^ sa.iv_mask);
    if (sa.layout.iv > 8) std::memset(esp + kEspHeader + 8, 0, sa.layout.iv - 8u);
  }
}

}  // namespace cygnet::esp
