// EspView: an ESP packet on the wire, bare or in UDP. Its lengths are checked against the bytes
// present.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "net/flow_key.h"
#include "net/ip_protocol.h"

namespace cygnet {

inline constexpr uint32_t kEspHeader = 8;  // SPI, sequence number

enum class WireKind : uint8_t {
  kOther,  // not for IPsec: plaintext, IKE, …
  kEsp,
  kEspTooShort,  // protocol 50, but no room for SPI and sequence number
  kKeepalive,    // NAT keep-alive (RFC 3948, section 2.3): discarded
};

struct EspView {
  WireKind kind = WireKind::kOther;
  bool udp_encapsulated = false;
  uint32_t esp_offset = 0;  // from the start of the IP header
  uint32_t spi = 0;         // host order
  uint32_t seq_low = 0;
};

// The default UDP port that ESP and IKE share (RFC 3948).
inline constexpr std::array<uint16_t, 1> kNatTPorts = {kPortIkeNatT};

// `ip` describes the packet `bytes` (starting at the IP header). REQUIRES: not a fragment.
// `encap_ports`: the local UDP ports that carry encapsulated ESP, ascending, host order. Only
// packets sent TO one of them are taken for ESP; the source port does not matter (a NAT may have
// changed it, and a server's port at the other end says nothing about the client's own). The UDP
// checksum is ignored over IPv4 and IPv6 (RFC 3948 section 2.1, RFC 6935), because the ICV is
// stronger.
inline EspView ClassifyWirePacket(const IpPacketView& ip, std::span<const uint8_t> bytes,
                                  std::span<const uint16_t> encap_ports);

// --- Implementation ---

// `offset` is the offset of `esp` from the start of the IP packet.
inline EspView ReadEspHeader(std::span<const uint8_t> esp, uint32_t offset) {
  EspView view;
  view.esp_offset = offset;
  view.kind = esp.size() < kEspHeader ? WireKind::kEspTooShort : WireKind::kEsp;
  if (view.kind == WireKind::kEsp) {
    view.spi = LoadBe32(esp.data());
    view.seq_low = LoadBe32(esp.data() + 4);
  }
  return view;
}

// ClassifyWirePacket for UDP packets.
EspView ClassifyUdp(const IpPacketView& ip, std::span<const uint8_t> bytes,
                    std::span<const uint16_t> encap_ports);

inline EspView ClassifyWirePacket(const IpPacketView& ip, std::span<const uint8_t> bytes,
                                  std::span<const uint16_t> encap_ports) {
  if (ip.flow.proto == kProtoEsp) {
    return ReadEspHeader(bytes.subspan(ip.header_length, ip.total_length - ip.header_length),
                         ip.header_length);
  }
  return ip.flow.proto == kProtoUdp ? ClassifyUdp(ip, bytes, encap_ports) : EspView{};
}

}  // namespace cygnet
