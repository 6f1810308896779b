// EspView: an ESP packet on the wire, bare or in UDP, its lengths checked against the bytes there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/flow_key.h"

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

// `ip` describes the packet `bytes` (starting at the IP header); the caller has dealt with
// fragments.
EspView ClassifyWirePacket(const IpPacketView& ip, std::span<const uint8_t> bytes);

}  // namespace cygnet
