// Ethernet framing of frames at the ports.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/endian.h"

namespace cygnet {

inline constexpr uint32_t kEthernetHeader = 14;
inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;
inline constexpr uint16_t kFirstEtherType = 0x0600;  // smaller values are lengths (IEEE 802.3)

using MacAddress = std::array<uint8_t, 6>;

struct EtherTypeView {
  uint16_t type = 0;
  uint16_t l3_offset = 0;  // first byte after the Ethernet header and its tags
  bool IsIp() const { return type == kEtherTypeIpv4 || type == kEtherTypeIpv6; }
};

// Type of the frame's payload. VLAN tags are skipped, because a tag must not carry a packet past
// policy. nullopt if the frame ends before its type.
inline std::optional<EtherTypeView> ParseEtherType(std::span<const uint8_t> frame) {
  constexpr uint16_t kVlan = 0x8100;
  constexpr uint16_t kServiceVlan = 0x88a8;
  for (uint32_t offset = kEthernetHeader; offset <= frame.size(); offset += 4) {
    const uint16_t type = LoadBe16(frame.data() + offset - 2);
    if (type != kVlan && type != kServiceVlan) {
      return EtherTypeView{type, static_cast<uint16_t>(offset)};
    }
  }
  return std::nullopt;
}

}  // namespace cygnet
