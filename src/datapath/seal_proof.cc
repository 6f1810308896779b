#include "datapath/seal_proof.h"

#include <cstring>
#include <optional>

#include "net/esp_view.h"
#include "net/ethernet.h"
#include "net/flow_key.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kWord = sizeof(uint64_t);
constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kLongestIv = 16;

uint64_t Load(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, kWord);
  return word;
}

// Of SPI and sequence number. Enough to tell that they are there: nobody is asked to guess it.
uint16_t HeaderSum(const uint8_t* esp) {
  const uint64_t word = Load(esp) * 0x9E3779B97F4A7C15u;
  return static_cast<uint16_t>(word >> 48);
}

// Where ESP would begin behind this protocol number, from the start of the frame.
std::optional<uint32_t> BehindHeader(uint8_t proto, uint32_t at) {
  if (proto == kProtoEsp) return at;
  if (proto == kProtoUdp) return at + kUdpHeader;
  return std::nullopt;
}

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

}  // namespace

bool OweSeal(const EspLayout& layout, uint64_t unsealed_word, Packet* packet) {
  const uint32_t esp = packet->offload.esp_offset;
  const uint32_t text = esp + kEspHeader + layout.iv;
  const uint32_t at = packet->head + text;
  if (at > 0xffff) return false;
  packet->proof_at = static_cast<uint16_t>(at);
  packet->proof_header = HeaderSum(packet->data() + esp);
  const bool by_icv = layout.icv >= kWord;
  const bool by_text = layout.encrypts && text + kWord <= packet->length;
  if (by_icv) std::memcpy(packet->data() + packet->length - kWord, &unsealed_word, kWord);
  if (by_text) packet->proof = Load(packet->buffer + at);
  packet->protection = by_text ? (by_icv ? Protection::kOwed : Protection::kOwedText)
                               : (by_icv ? Protection::kOwedIcv : Protection::kOwedNothing);
  return true;
}

bool ShowsSeal(const Packet& packet, uint64_t unsealed_word) {
  const Protection p = packet.protection;
  const uint32_t end = packet.head + packet.length;
  if (packet.proof_at < packet.head || packet.length < kWord) return false;
  const bool icv = p == Protection::kOwed || p == Protection::kOwedIcv;
  if (icv && Load(packet.buffer + end - kWord) == unsealed_word) return false;
  if (p != Protection::kOwed && p != Protection::kOwedText) return true;
  return packet.proof_at + kWord <= end && Load(packet.buffer + packet.proof_at) != packet.proof;
}

bool StillEsp(const Packet& packet) {
  const auto esp = EspBegins(packet);
  if (!esp || *esp + kEspHeader > packet.length) return false;
  const uint32_t behind_header = packet.head + *esp + kEspHeader;
  return packet.proof_at >= behind_header && packet.proof_at <= behind_header + kLongestIv &&
         HeaderSum(packet.data() + *esp) == packet.proof_header;
}

}  // namespace cygnet
