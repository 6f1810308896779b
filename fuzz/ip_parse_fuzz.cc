// Any frame can be parsed: what the parsers say about it lies inside it.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "net/esp_view.h"
#include "net/ethernet.h"
#include "net/flow_key.h"

namespace {

void CheckIp(std::span<const uint8_t> l3) {
  const auto ip = cygnet::ParseIpPacket(l3);
  if (!ip) return;
  CYGNET_CHECK(ip->total_length <= l3.size());
  CYGNET_CHECK(ip->ip_header_length >= 20 && ip->ip_header_length <= ip->header_length);
  CYGNET_CHECK(ip->header_length <= ip->total_length);
  CYGNET_CHECK(!ip->later_fragment || ip->fragment);
  CYGNET_CHECK(!ip->later_fragment || (ip->flow.sport == 0 && ip->flow.dport == 0));
  CYGNET_CHECK(ip->flow == ip->flow.Reversed().Reversed());
  if (ip->flow.family == cygnet::IpFamily::kV6) {
    CYGNET_CHECK(ip->esp_offset_v6 >= 40 && ip->esp_offset_v6 <= ip->header_length);
    CYGNET_CHECK(ip->esp_nexthdr_offset_v6 < ip->esp_offset_v6);
  }
  const cygnet::EspView esp = cygnet::ClassifyWirePacket(*ip, l3, cygnet::kNatTPorts);
  if (esp.kind == cygnet::WireKind::kEsp) {
    CYGNET_CHECK(esp.esp_offset + cygnet::kEspHeader <= ip->total_length);
    CYGNET_CHECK(!esp.udp_encapsulated || esp.spi != 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::span<const uint8_t> frame(data, size);
  CheckIp(frame);
  const auto type = cygnet::ParseEtherType(frame.first(std::min<std::size_t>(size, 65535)));
  if (type) {
    CYGNET_CHECK(type->l3_offset >= cygnet::kEthernetHeader && type->l3_offset <= size);
    CheckIp(frame.subspan(type->l3_offset));
  }
  return 0;
}
