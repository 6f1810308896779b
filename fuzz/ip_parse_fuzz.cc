// Parses any frame: all reported offsets and lengths must lie inside it.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "net/esp_view.h"
#include "net/ether_types.h"
#include "net/flow_key.h"
#include "net/ike_message.h"
#include "net/ip_options.h"
#include "net/link_message.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program

// Walks the chain again, byte by byte, up to the place for ESP and to the upper protocol, and
// checks every offset that the parser returned.
void CheckV6Chain(const IpPacketView& ip, std::span<const uint8_t> l3) {
  CYGNET_CHECK(ip.esp_offset_v6 >= 40 && ip.esp_offset_v6 <= ip.header_length);
  CYGNET_CHECK(ip.esp_nexthdr_offset_v6 < ip.esp_offset_v6);
  CYGNET_CHECK(ip.proto_offset < ip.header_length && l3[ip.proto_offset] == ip.flow.proto);
  uint32_t named_at = 6;
  uint32_t offset = 40;
  bool esp_seen = false;
  for (int i = 0; i <= 9; ++i) {
    if (offset == ip.esp_offset_v6) {
      CYGNET_CHECK(named_at == ip.esp_nexthdr_offset_v6);
      esp_seen = true;
    }
    if (offset == ip.header_length) break;
    const uint8_t header = l3[named_at];
    CYGNET_CHECK(header == kProtoHopByHop || header == kProtoRouting || header == kProtoFragment ||
                 header == kProtoDestOpts);
    CYGNET_CHECK(header != kProtoHopByHop || offset == 40);
    CYGNET_CHECK(!esp_seen || offset >= ip.esp_offset_v6);
    named_at = offset;
    offset += header == kProtoFragment ? 8 : (l3[offset + 1] + 1u) * 8;
    CYGNET_CHECK(offset <= ip.header_length);
  }
  CYGNET_CHECK(esp_seen && offset == ip.header_length && named_at == ip.proto_offset);
}

void CheckWireView(const IpPacketView& ip, std::span<const uint8_t> l3,
                   std::span<const uint16_t> ports) {
  const EspView esp = ClassifyWirePacket(ip, l3, ports);
  const bool to_our_port = std::find(ports.begin(), ports.end(), ip.flow.dport) != ports.end();
  switch (esp.kind) {
    case WireKind::kOther:
      CYGNET_CHECK(ip.flow.proto != kProtoEsp);
      break;
    case WireKind::kEspTooShort:
      CYGNET_CHECK(ip.flow.proto == kProtoEsp && ip.total_length - ip.header_length < kEspHeader);
      break;
    case WireKind::kKeepalive:
      CYGNET_CHECK(ip.flow.proto == kProtoUdp && to_our_port && l3[ip.header_length + 8] == 0xff);
      break;
    case WireKind::kEsp:
      CYGNET_CHECK(esp.esp_offset + kEspHeader <= ip.total_length);
      CYGNET_CHECK(esp.udp_encapsulated == (ip.flow.proto == kProtoUdp));
      CYGNET_CHECK(!esp.udp_encapsulated || (esp.spi != 0 && to_our_port));
      break;
  }
}

// A packet that passes in clear must match its description, and at most one of them.
void CheckClear(const IpPacketView& ip, std::span<const uint8_t> l3) {
  const bool discovery = IsNeighbourDiscovery(ip, l3);
  const bool listeners = IsListenerDiscovery(ip, l3);
  CYGNET_CHECK(!(discovery && listeners));
  CYGNET_CHECK(!(discovery || listeners) || (ip.flow.proto == kProtoIcmpv6 && !ip.fragment));
  CYGNET_CHECK(!discovery || (!ip.has_options && l3[7] == 255));
  (void)QuotesPacket(ip, l3);
  // A router refuses nothing that a host accepts.
  CYGNET_CHECK(HasRefusedOptions(ip, l3, Addressee::kHost) ||
               !HasRefusedOptions(ip, l3, Addressee::kOther));
  // With segments left, a host refuses the packet.
  CYGNET_CHECK(!FurtherWayOf(ip, l3).left || HasRefusedOptions(ip, l3, Addressee::kHost));
  const auto upper = l3.subspan(ip.header_length, ip.total_length - ip.header_length);
  CYGNET_CHECK(!IsIkeMessage(upper, 500) || upper.size() >= 36);
}

void CheckIp(std::span<const uint8_t> l3) {
  const auto ip = ParseIpPacket(l3);
  if (!ip) return;
  CYGNET_CHECK(ip->total_length <= l3.size());
  CYGNET_CHECK(ip->ip_header_length >= 20 && ip->ip_header_length <= ip->header_length);
  CYGNET_CHECK(ip->header_length <= ip->total_length);
  CYGNET_CHECK(!ip->later_fragment || ip->fragment);
  CYGNET_CHECK(!ip->later_fragment || (ip->flow.sport == 0 && ip->flow.dport == 0));
  CYGNET_CHECK(ip->flow == ip->flow.Reversed().Reversed());
  if (ip->flow.family == IpFamily::kV6) {
    CheckV6Chain(*ip, l3);
  } else {
    CYGNET_CHECK(ip->proto_offset == 9);
  }
  CheckClear(*ip, l3);
  constexpr uint16_t kPorts[] = {1, 4500, 0x4141};
  CheckWireView(*ip, l3, kNatTPorts);
  CheckWireView(*ip, l3, kPorts);
  CheckWireView(*ip, l3, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::span<const uint8_t> frame(data, size);
  CheckIp(frame);
  const auto type = ParseEtherType(frame.first(std::min<std::size_t>(size, 65535)));
  if (type) {
    CYGNET_CHECK(type->l3_offset >= kEthernetHeader && type->l3_offset <= size);
    const EtherTypes none;
    CYGNET_CHECK(!none.MayPass(*type, frame) || type->type == kEtherTypeArp);
    CheckIp(frame.subspan(type->l3_offset));
  }
  return 0;
}
