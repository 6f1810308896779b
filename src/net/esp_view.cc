#include "net/esp_view.h"

#include <algorithm>

#include "base/endian.h"

namespace cygnet {
namespace {

constexpr uint32_t kUdpHeader = 8;

void ReadEsp(std::span<const uint8_t> esp, uint32_t offset, EspView* view) {
  view->esp_offset = offset;
  if (esp.size() < kEspHeader) {
    view->kind = WireKind::kEspTooShort;
    return;
  }
  view->kind = WireKind::kEsp;
  view->spi = LoadBe32(esp.data());
  view->seq_low = LoadBe32(esp.data() + 4);
}

}  // namespace

EspView ClassifyWirePacket(const IpPacketView& ip, std::span<const uint8_t> bytes,
                           std::span<const uint16_t> encap_ports) {
  EspView view;
  const std::span<const uint8_t> upper =
      bytes.subspan(ip.header_length, ip.total_length - ip.header_length);
  if (ip.flow.proto == kProtoEsp) {
    ReadEsp(upper, ip.header_length, &view);
    return view;
  }
  if (ip.flow.proto != kProtoUdp || upper.size() < kUdpHeader ||
      !std::binary_search(encap_ports.begin(), encap_ports.end(), ip.flow.dport)) {
    return view;
  }
  // ESP in UDP (RFC 3948): one byte 0xff is a keep-alive; four zero bytes mark IKE; else ESP. As in
  // the kernel, only payloads longer than the ESP header are taken for ESP.
  const uint32_t udp_length = LoadBe16(upper.data() + 4);
  if (udp_length < kUdpHeader || udp_length > upper.size()) {
    return view;
  }
  const std::span<const uint8_t> payload = upper.subspan(kUdpHeader, udp_length - kUdpHeader);
  if (payload.size() == 1 && payload[0] == 0xff) {
    view.kind = WireKind::kKeepalive;
  } else if (payload.size() > kEspHeader && LoadBe32(payload.data()) != 0) {
    view.udp_encapsulated = true;
    ReadEsp(payload, ip.header_length + kUdpHeader, &view);
  }
  return view;
}

}  // namespace cygnet
