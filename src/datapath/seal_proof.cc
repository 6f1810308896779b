#include "datapath/seal_proof.h"

#include <optional>

#include "base/endian.h"
#include "net/esp_view.h"
#include "net/ethernet.h"
#include "net/flow_key.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kLongestIv = 16;

uint16_t SpiSum(uint32_t spi) {
  return static_cast<uint16_t>((uint64_t{spi} * 0x9E3779B97F4A7C15u) >> 48);
}

// Offset of ESP from the start of the frame, given the IP protocol number and the end of the IP
// header.
std::optional<uint32_t> BehindHeader(uint8_t proto, uint32_t at) {
  if (proto == kProtoEsp) return at;
  if (proto == kProtoUdp) return at + kUdpHeader;
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> EspBegins(const Packet& packet) {
  const auto type = ParseEtherType(packet.bytes());
  if (!type || !type->IsIp()) return std::nullopt;
  const uint32_t l3_at = type->l3_offset;
  const std::span<const uint8_t> l3 = packet.bytes().subspan(l3_at);
  if (type->type == kEtherTypeIpv4) {
    if (l3.size() < 20) return std::nullopt;
    return BehindHeader(l3[9], l3_at + (l3[0] & 0x0fu) * 4);
  }
  if (l3.size() >= 40 && (l3[6] == kProtoEsp || l3[6] == kProtoUdp)) {
    return BehindHeader(l3[6], l3_at + 40);
  }
  const auto ip = ParseIpPacket(l3);  // extension headers
  return ip ? BehindHeader(ip->flow.proto, l3_at + ip->header_length) : std::nullopt;
}

bool SpiIs(const Packet& packet, uint32_t spi) { return SpiSum(spi) == packet.proof_header; }

bool OweDeviceSeal(const EspLayout& layout, uint32_t spi, uint32_t text, Packet* packet) {
  const uint32_t at = packet->head + text;
  if (at > 0xffff) return false;
  const bool by_text = layout.encrypts && text + seal_proof::kWord <= packet->length;
  packet->proof_at = static_cast<uint16_t>(at);
  packet->proof_header = SpiSum(spi);
  packet->proof = by_text ? seal_proof::Load(packet->buffer + at) : 0;
  packet->protection = by_text ? Protection::kOwedByDevice : Protection::kOwedByDeviceNoText;
  return true;
}

bool ShowsDeviceSeal(const Packet& packet) {
  const auto esp = EspBegins(packet);
  if (!esp || *esp + kEspHeader > packet.length) return false;
  const uint32_t behind_header = packet.head + *esp + kEspHeader;
  if (packet.proof_at < behind_header || packet.proof_at > behind_header + kLongestIv ||
      SpiSum(LoadBe32(packet.data() + *esp)) != packet.proof_header) {
    return false;
  }
  if (packet.protection == Protection::kOwedByDeviceNoText) return true;
  return packet.proof_at + seal_proof::kWord <= packet.head + packet.length &&
         seal_proof::Load(packet.buffer + packet.proof_at) != packet.proof;
}

bool StillEspSlowly(const Packet& packet) {
  const auto esp = EspBegins(packet);
  return esp && *esp + kEspHeader <= packet.length && seal_proof::LiesAt(packet, *esp);
}

}  // namespace cygnet
