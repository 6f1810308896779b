#include "daemon/operator/capture_comment.h"

#include <array>
#include <span>

#include "net/esp_view.h"
#include "net/ethernet.h"

namespace cygnet {

std::string PlacementComment(const OperatorControl& control, const CapturedFrame& frame) {
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
  const Half half = HalfFor(frame.direction == CaptureDirection::kInbound);
  const std::string placement =
      control.PlacementOf(Spi{esp.spi}, ip->flow.daddr, ip->flow.family, half);
  if (placement.empty()) return {};
  return "placement " + std::string(Name(half)) + ": " + placement;
}

}  // namespace cygnet
