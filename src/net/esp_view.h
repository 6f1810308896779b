// EspView: an ESP packet on the wire, bare or in UDP, its lengths checked against the bytes there.
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
  kKeepalive,    // NAT keep-alive (RFC 3948, section 2.3): swallowed
};

struct EspView {
  WireKind kind = WireKind::kOther;
  bool udp_encapsulated = false;
  uint32_t esp_offset = 0;  // from the start of the IP header
  uint32_t spi = 0;         // host order
  uint32_t seq_low = 0;
};

// The UDP port that ESP and IKE share when nothing else was said (RFC 3948).
inline constexpr std::array<uint16_t, 1> kNatTPorts = {kPortIkeNatT};

// `ip` describes the packet `bytes` (starting at the IP header); the caller has dealt with
// fragments. `encap_ports`: the local UDP ports that carry encapsulated ESP, ascending, host order:
// only what is sent TO one of them is taken for ESP, wherever it comes from (a NAT may have changed
// that; a server's port at the other end says nothing about the client's own). The UDP checksum is
// not looked at, neither over IPv4 nor IPv6 (RFC 3948 section 2.1, RFC 6935): the ICV says more.
inline EspView ClassifyWirePacket(const IpPacketView& ip, std::span<const uint8_t> bytes,
                                  std::span<const uint16_t> encap_ports);

// --- Implementation ---

// `esp` begins `offset` bytes behind the start of the IP packet.
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

// As ClassifyWirePacket, for UDP.
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
