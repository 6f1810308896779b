#include "net/esp_view.h"

#include <algorithm>

#include "base/endian.h"

namespace cygnet {
namespace {

constexpr uint32_t kUdpHeader = 8;

}  // namespace

EspView ClassifyUdp(const IpPacketView& ip, std::span<const uint8_t> bytes,
                    std::span<const uint16_t> encap_ports) {
  EspView view;
  const std::span<const uint8_t> upper =
      bytes.subspan(ip.header_length, ip.total_length - ip.header_length);
  if (upper.size() < kUdpHeader ||
      !std::binary_search(encap_ports.begin(), encap_ports.end(), ip.flow.dport)) {
    return view;
  }
  // ESP in UDP (RFC 3948): one byte 0xff is a keep-alive; four zero bytes mark IKE; anything else
  // is ESP. As in the kernel, a payload no longer than the ESP header is not ESP.
  const uint32_t udp_length = LoadBe16(upper.data() + 4);
  if (udp_length < kUdpHeader || udp_length > upper.size()) {
    return view;
  }
  const std::span<const uint8_t> payload = upper.subspan(kUdpHeader, udp_length - kUdpHeader);
  if (payload.size() == 1 && payload[0] == 0xff) {
    view.kind = WireKind::kKeepalive;
  } else if (payload.size() > kEspHeader && LoadBe32(payload.data()) != 0) {
    view = ReadEspHeader(payload, ip.header_length + kUdpHeader);
    view.udp_encapsulated = true;
  }
  return view;
}

}  // namespace cygnet
