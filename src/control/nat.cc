#include "control/nat.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint16_t kUdpBytes = 9;  // header and one byte of payload
constexpr uint8_t kKeepalive = 0xff;
constexpr uint8_t kTtl = 64;
constexpr uint64_t kSecondNs = 1'000'000'000;

void WriteEthernet(const NatKeepalive& way, uint8_t* out) {
  std::memcpy(out, way.next_hop_mac.data(), 6);
  std::memcpy(out + 6, way.source_mac.data(), 6);
  StoreBe16(out + 12, way.family == IpFamily::kV4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
}

// Sets DF; then the ID has no meaning (RFC 6864 section 4.1).
void WriteIpv4(const NatKeepalive& way, uint8_t* out) {
  constexpr uint8_t kDontFragment = 0x40;
  std::memset(out, 0, 20);
  out[0] = 0x45;
  StoreBe16(out + 2, 20 + kUdpBytes);
  out[6] = kDontFragment;
  out[8] = kTtl;
  out[9] = kProtoUdp;
  std::memcpy(out + 12, way.saddr.bytes.data(), 4);
  std::memcpy(out + 16, way.daddr.bytes.data(), 4);
  WriteIpv4HeaderChecksum(out);
}

void WriteIpv6(const NatKeepalive& way, uint8_t* out) {
  std::memset(out, 0, 40);
  out[0] = 0x60;
  StoreBe16(out + 4, kUdpBytes);
  out[6] = kProtoUdp;
  out[7] = kTtl;
  std::memcpy(out + 8, way.saddr.bytes.data(), 16);
  std::memcpy(out + 24, way.daddr.bytes.data(), 16);
}

void WriteUdp(const NatKeepalive& way, uint8_t* out) {
  StoreBe16(out, way.sport);
  StoreBe16(out + 2, way.dport);
  StoreBe16(out + 4, kUdpBytes);
  StoreBe16(out + 6, 0);
  out[8] = kKeepalive;
  const uint16_t sum = ChecksumFinish(ChecksumAdd(
      {out, kUdpBytes}, PseudoHeaderSum(way.saddr, way.daddr, way.family, kProtoUdp, kUdpBytes)));
  StoreBe16(out + 6, sum != 0 ? sum : 0xffff);  // 0 would mean "no checksum" (RFC 768)
}

}  // namespace

void WriteNatKeepalive(const NatKeepalive& way, Packet* packet) {
  const uint32_t ip_bytes = way.family == IpFamily::kV4 ? 20 : 40;
  uint8_t* frame = packet->Append(kEthernetHeader + ip_bytes + kUdpBytes);
  packet->l3_offset = kEthernetHeader;
  WriteEthernet(way, frame);
  uint8_t* ip = frame + kEthernetHeader;
  if (way.family == IpFamily::kV4) {
    WriteIpv4(way, ip);
  } else {
    WriteIpv6(way, ip);
  }
  WriteUdp(way, ip + ip_bytes);
}

bool MappingLimiter::Admit(const IpAddress& address, uint16_t port, uint32_t interval_seconds,
                           uint64_t now_ns) {
  const auto known = std::find_if(places_.begin(), places_.end(), [&](const Place& place) {
    return place.reported_at_ns != 0 && place.port == port && place.address == address;
  });
  if (known != places_.end()) {
    const uint64_t interval = uint64_t{std::max(interval_seconds, 1u)} * kSecondNs;
    if (now_ns - known->reported_at_ns < interval) return false;
    known->reported_at_ns = now_ns;
    return true;
  }
  const auto oldest = std::min_element(
      places_.begin(), places_.end(),
      [](const Place& a, const Place& b) { return a.reported_at_ns < b.reported_at_ns; });
  if (oldest->reported_at_ns != 0 && now_ns - oldest->reported_at_ns < kSecondNs) return false;
  *oldest = {.address = address, .port = port, .reported_at_ns = now_ns};
  return true;
}

}  // namespace cygnet
