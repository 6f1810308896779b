#include "daemon/operator/capture_comment.h"

#include <fmt/format.h>

#include <array>
#include <span>
#include <string>
#include <utility>

#include "net/esp_view.h"
#include "net/ethernet.h"

namespace cygnet {
namespace {

Half HalfOf(const CapturedFrame& frame) {
  return HalfFor(frame.facts.direction == CaptureDirection::kInbound);
}

std::string PlacementOf(const OperatorControl& control, const CapturedFrame& frame,
                        const CaptureLink& link) {
  return control.PlacementOf(Spi{link.spi}, link.daddr, link.family, HalfOf(frame));
}

// Reads the link from the bytes of an ESP packet.
CaptureLink ReadLink(const OperatorControl& control, const CapturedFrame& frame) {
  std::span<const uint8_t> bytes = frame.bytes;
  // The parser needs a packet of the original length; bytes after the snap length do not matter.
  std::vector<uint8_t> whole;
  if (frame.original_length > bytes.size()) {
    whole.assign(bytes.begin(), bytes.end());
    whole.resize(frame.original_length);
    bytes = whole;
  }
  const auto type = ParseEtherType(bytes);
  if (!type || !type->IsIp()) return {};
  bytes = bytes.subspan(type->l3_offset);
  const auto ip = ParseIpPacket(bytes);
  if (!ip || ip->fragment) return {};
  // Any port may carry ESP; a number that is not an SPI finds no SA.
  const std::array<uint16_t, 1> ports = {ip->flow.dport};
  const EspView esp = ClassifyWirePacket(*ip, bytes, ports);
  if (esp.kind != WireKind::kEsp) return {};
  const CaptureLink link{
      .spi = esp.spi, .seq = esp.seq_low, .daddr = ip->flow.daddr, .family = ip->flow.family};
  if (esp.udp_encapsulated && PlacementOf(control, frame, link).empty()) return {};
  return link;
}

// Who did the cryptography of this packet: " sealed by device nic0 (crypto offload)".
std::string DoneBy(const CaptureFacts& facts, std::string_view device) {
  const char* verb = facts.direction == CaptureDirection::kInbound ? "opened" : "sealed";
  switch (facts.place) {
    case CapturePlace::kEngine:
      return fmt::format(", {} by an engine", verb);
    case CapturePlace::kDevice:
      return fmt::format(", {} by device {} (crypto offload)", verb,
                         facts.device.empty() ? device : facts.device);
    case CapturePlace::kPacketDevice:
      return fmt::format(", {} by device {} (packet offload)", verb,
                         facts.device.empty() ? device : facts.device);
    default:
      return {};
  }
}

// FNV-1a, folded to 32 bits.
uint32_t HashOf(const CaptureLink& link) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  for (const uint8_t byte : link.daddr.bytes) mix(byte);
  for (uint32_t shift = 0; shift < 32; shift += 8) mix(static_cast<uint8_t>(link.spi >> shift));
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

}  // namespace

CaptureLink LinkOf(const OperatorControl& control, const CapturedFrame& frame) {
  return frame.facts.link.spi != 0 ? frame.facts.link : ReadLink(control, frame);
}

uint64_t PacketIdOf(const CaptureLink& link) {
  return uint64_t{HashOf(link)} << 32 | static_cast<uint32_t>(link.seq);
}

pcapng::PacketNotes NotesOf(const OperatorControl& control, const CapturedFrame& frame,
                            const CaptureLink& link, std::string_view device) {
  const CaptureFacts& facts = frame.facts;
  pcapng::PacketNotes notes;
  if (facts.reason != DropReason::kNone) {
    const DropReasonInfo& why = Describe(facts.reason);
    notes.comments.push_back(fmt::format("dropped: {}: {}", why.name, why.text));
  }
  if (link.spi != 0) {
    std::string number = ", the device numbers";
    if (link.seq != 0) {
      notes.packet_id = PacketIdOf(link);
      number = fmt::format(", sequence number {}", link.seq);
    }
    notes.comments.push_back(
        fmt::format("ESP SPI {:#010x}{}{}", link.spi, number, DoneBy(facts, device)));
    std::string placement = PlacementOf(control, frame, link);
    if (!placement.empty()) {
      notes.comments.push_back(fmt::format("placement {}: {}", Name(HalfOf(frame)), placement));
    }
  } else if (facts.place == CapturePlace::kClear) {
    notes.comments.emplace_back("in clear");
  }
  return notes;
}

}  // namespace cygnet
