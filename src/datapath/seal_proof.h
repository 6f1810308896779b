// Seal proof: checks that an ESP packet was sealed, without its key and independent of who sealed
// it. Before sealing, the pipeline saves the first bytes of the plaintext and writes its own word
// where the ICV will end. Sealing changes both. Either stays the same by chance in one of 2^64
// cases.
#pragma once

#include <cstring>
#include <optional>

#include "net/esp_view.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet {

// Marks a packet that esp::Encapsulate built as not sealed yet (OwesSeal()). Returns false if the
// text lies too far into the buffer to be recorded.
//
// Some packets cannot show both proofs. The null cipher and GMAC do not change the text. An ICV
// shorter than 8 bytes is not used. A text shorter than 8 bytes (transport mode, almost no payload)
// is not used.
inline bool OweSeal(const EspLayout& layout, uint64_t unsealed_word, Packet* packet);

// True if the packet's bytes show that it was sealed after OweSeal. REQUIRES: OweSeal was called.
inline bool ShowsSeal(const Packet& packet, uint64_t unsealed_word);

// True if the frame is still the ESP packet that OweSeal saw: the IP header names ESP, bare or in
// UDP, and the text is at the same place. Assumes nothing about what a device did to the frame.
inline bool StillEsp(const Packet& packet);

// The same for a packet in clear that a device will build and seal in place (packet offload): the
// text, which begins `text` bytes into the frame, stays where it is in the buffer. Returns false if
// it lies too far into the buffer to be recorded. The ICV's place is unknown, so a packet whose
// text stays in clear, or is shorter than 8 bytes, shows only that it is ESP of the SA.
bool OweDeviceSeal(const EspLayout& layout, uint32_t spi, uint32_t text, Packet* packet);
bool ShowsDeviceSeal(const Packet& packet);

// Where the ESP header of a frame begins, bare or in UDP, from the start of the frame. Assumes
// nothing about the frame. nullopt: it is not ESP.
std::optional<uint32_t> EspBegins(const Packet& packet);
// True if OweDeviceSeal saw this SPI.
bool SpiIs(const Packet& packet, uint32_t spi);

// --- Implementation ---

namespace seal_proof {

inline constexpr uint32_t kWord = sizeof(uint64_t);

inline uint64_t Load(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, kWord);
  return word;
}

// Checksum of SPI and sequence number. 16 bits suffice, because it detects mistakes, not attacks.
inline uint16_t HeaderSum(const uint8_t* esp) {
  const uint64_t word = Load(esp) * 0x9E3779B97F4A7C15u;
  return static_cast<uint16_t>(word >> 48);
}

// True if the ESP header `esp` bytes into the frame is the one that OweSeal saw, and the recorded
// text follows it. REQUIRES: the frame has a whole ESP header there.
inline bool LiesAt(const Packet& packet, uint32_t esp) {
  constexpr uint32_t kLongestIv = 16;
  const uint32_t behind_header = packet.head + esp + kEspHeader;
  return packet.proof_at >= behind_header && packet.proof_at <= behind_header + kLongestIv &&
         HeaderSum(packet.data() + esp) == packet.proof_header;
}

}  // namespace seal_proof

// StillEsp for any frame.
bool StillEspSlowly(const Packet& packet);

inline bool StillEsp(const Packet& packet) {
  // Bare ESP after an IPv4 header without options, and no VLAN tag.
  constexpr uint32_t kEsp = kEthernetHeader + 20;
  const uint8_t* frame = packet.data();
  const bool plain = packet.length >= kEsp + kEspHeader && LoadBe16(frame + 12) == kEtherTypeIpv4 &&
                     frame[kEthernetHeader] == 0x45 && frame[kEthernetHeader + 9] == kProtoEsp;
  return plain ? seal_proof::LiesAt(packet, kEsp) : StillEspSlowly(packet);
}

inline bool OweSeal(const EspLayout& layout, uint64_t unsealed_word, Packet* packet) {
  using seal_proof::kWord;
  const uint32_t esp = packet->offload.esp_offset;
  const uint32_t text = esp + kEspHeader + layout.iv;
  const uint32_t at = packet->head + text;
  if (at > 0xffff) return false;
  packet->proof_at = static_cast<uint16_t>(at);
  packet->proof_header = seal_proof::HeaderSum(packet->data() + esp);
  const bool by_icv = layout.icv >= kWord;
  const bool by_text = layout.encrypts && text + kWord <= packet->length;
  if (by_icv) std::memcpy(packet->data() + packet->length - kWord, &unsealed_word, kWord);
  if (by_text) packet->proof = seal_proof::Load(packet->buffer + at);
  packet->protection = by_text ? (by_icv ? Protection::kOwed : Protection::kOwedText)
                               : (by_icv ? Protection::kOwedIcv : Protection::kOwedNothing);
  return true;
}

inline bool ShowsSeal(const Packet& packet, uint64_t unsealed_word) {
  using seal_proof::kWord;
  using seal_proof::Load;
  const Protection p = packet.protection;
  const uint32_t end = packet.head + packet.length;
  if (packet.proof_at < packet.head || packet.length < kWord) return false;
  const bool icv = p == Protection::kOwed || p == Protection::kOwedIcv;
  if (icv && Load(packet.buffer + end - kWord) == unsealed_word) return false;
  if (p != Protection::kOwed && p != Protection::kOwedText) return true;
  return packet.proof_at + kWord <= end && Load(packet.buffer + packet.proof_at) != packet.proof;
}

}  // namespace cygnet
