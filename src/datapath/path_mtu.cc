#include "datapath/path_mtu.h"

#include <algorithm>
#include <array>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint32_t kIcmpHeader = 8;
constexpr uint32_t kUdpHeader = 8;
constexpr int kMaxExtensionHeaders = 8;

// RFC 1191 section 7.
constexpr std::array<uint16_t, 10> kPlateaus = {32000, 17914, 8166, 4352, 2002,
                                                1492,  1006,  508,  296,  68};

uint32_t PlateauBelow(uint32_t total_length) {
  for (const uint16_t plateau : kPlateaus) {
    if (plateau < total_length) return plateau;
  }
  return kPlateaus.back();
}

// The quoted packet, which may be truncated.
struct Quoted {
  IpAddress saddr;
  IpAddress daddr;
  uint8_t proto = 0;
  uint32_t total_length = 0;  // as its header says
  Bytes upper;                // from the upper-layer header on; empty in a later fragment
};

std::optional<Quoted> ReadQuotedV4(Bytes b) {
  if (b.size() < 20 || b[0] >> 4 != 4) return std::nullopt;
  const std::size_t header = (b[0] & 0x0fu) * 4;
  if (header < 20 || header > b.size()) return std::nullopt;
  Quoted q;
  q.saddr = IpAddress::V4(b.data() + 12);
  q.daddr = IpAddress::V4(b.data() + 16);
  q.proto = b[9];
  q.total_length = LoadBe16(b.data() + 2);
  if ((LoadBe16(b.data() + 6) & 0x1fff) == 0) q.upper = b.subspan(header);
  return q;
}

// Skips the extension headers. A fragment header is possible, because this host fragments outer
// IPv6 packets.
std::optional<Quoted> ReadQuotedV6(Bytes b) {
  if (b.size() < 40 || b[0] >> 4 != 6) return std::nullopt;
  Quoted q;
  q.saddr = IpAddress::V6(b.data() + 8);
  q.daddr = IpAddress::V6(b.data() + 24);
  q.total_length = 40u + LoadBe16(b.data() + 4);
  q.proto = b[6];
  Bytes rest = b.subspan(40);
  for (int i = 0; i < kMaxExtensionHeaders; ++i) {
    const bool options =
        q.proto == kProtoHopByHop || q.proto == kProtoRouting || q.proto == kProtoDestOpts;
    if (!options && q.proto != kProtoFragment) {
      q.upper = rest;
      return q;
    }
    if (rest.size() < 8) return std::nullopt;
    const std::size_t length = options ? (std::size_t{rest[1]} + 1) * 8 : 8;
    const bool later = !options && (LoadBe16(rest.data() + 2) & 0xfff8) != 0;
    q.proto = rest[0];
    if (later) return q;
    if (length > rest.size()) return std::nullopt;
    rest = rest.subspan(length);
  }
  return std::nullopt;
}

// Reads SPI and ports. False if the quoted packet is not ESP.
bool ReadUpper(const Quoted& q, OuterError* error) {
  if (q.proto == kProtoEsp) {
    if (q.upper.size() >= 4) error->spi = LoadBe32(q.upper.data());
    return true;
  }
  if (q.proto != kProtoUdp || q.upper.size() < kUdpHeader) return false;
  error->udp_encapsulated = true;
  error->sport = LoadBe16(q.upper.data());
  error->dport = LoadBe16(q.upper.data() + 2);
  if (q.upper.size() >= kUdpHeader + 4) error->spi = LoadBe32(q.upper.data() + kUdpHeader);
  return error->spi != 0u;  // the non-ESP marker: IKE (RFC 3948 section 2.2)
}

std::optional<OuterError::Kind> KindOf(IpFamily family, Bytes icmp) {
  const uint8_t type = icmp[0];
  if (family == IpFamily::kV4) {
    if (type != 3) return std::nullopt;
    return icmp[1] == 4 ? OuterError::Kind::kPacketTooBig : OuterError::Kind::kUnreachable;
  }
  if (type == 2) return OuterError::Kind::kPacketTooBig;
  return type == 1 ? std::optional(OuterError::Kind::kUnreachable) : std::nullopt;
}

bool ChecksumHolds(const FlowKey& flow, Bytes icmp) {
  const uint32_t length = static_cast<uint32_t>(icmp.size());
  const uint64_t pseudo =
      flow.family == IpFamily::kV4
          ? 0
          : PseudoHeaderSum(flow.saddr, flow.daddr, flow.family, kProtoIcmpv6, length);
  return ChecksumFinish(ChecksumAdd(icmp, pseudo)) == 0;
}

uint32_t Floor(const OutboundSa& sa) {
  return sa.family == IpFamily::kV4 ? kMinPathMtuV4 : kMinIpv6Mtu;
}

}  // namespace

std::optional<OuterError> ParseOuterIcmp(const IpPacketView& ip, std::span<const uint8_t> l3) {
  const bool v4 = ip.flow.family == IpFamily::kV4;
  if (ip.flow.proto != (v4 ? kProtoIcmp : kProtoIcmpv6) || ip.fragment) return std::nullopt;
  const Bytes icmp = l3.subspan(ip.header_length, ip.total_length - ip.header_length);
  if (icmp.size() < kIcmpHeader) return std::nullopt;
  const std::optional<OuterError::Kind> kind = KindOf(ip.flow.family, icmp);
  if (!kind) return std::nullopt;
  const Bytes rest = icmp.subspan(kIcmpHeader);
  const std::optional<Quoted> quoted = v4 ? ReadQuotedV4(rest) : ReadQuotedV6(rest);
  OuterError error;
  if (!quoted || !ReadUpper(*quoted, &error) || !ChecksumHolds(ip.flow, icmp)) return std::nullopt;
  error.kind = *kind;
  error.code = icmp[1];
  error.family = ip.flow.family;
  error.saddr = quoted->saddr;
  error.daddr = quoted->daddr;
  if (*kind == OuterError::Kind::kPacketTooBig) {
    error.mtu = v4 ? LoadBe16(icmp.data() + 6) : LoadBe32(icmp.data() + 4);
    if (v4 && error.mtu == 0) error.mtu = PlateauBelow(quoted->total_length);
  }
  return error;
}

bool IsAbout(const OuterError& error, const OutboundSa& sa) {
  const SaSpec& spec = sa.sa->spec();  // only immutable fields are read
  if (error.family != sa.family || error.daddr != spec.daddr) return false;
  // RFC 792 requires routers to quote eight bytes; for ESP in UDP those are the UDP header.
  if (error.spi.has_value() ? *error.spi != spec.spi.value : !error.udp_encapsulated) return false;
  // A transport SA may have no source address.
  if (error.saddr != spec.saddr && !spec.saddr.IsAny()) return false;
  if (error.udp_encapsulated != (sa.layout.udp != 0)) return false;
  const uint32_t ports = uint32_t{error.sport} << 16 | error.dport;
  return !error.udp_encapsulated || ports == sa.udp_ports.load(std::memory_order_relaxed);
}

bool LearnPathMtu(OutboundSa* sa, uint32_t mtu, uint32_t wire_mtu, uint64_t now) {
  if (mtu < Floor(*sa) && sa->family == IpFamily::kV6) return false;
  mtu = std::max(mtu, Floor(*sa));
  if (mtu >= EffectivePathMtu(*sa, wire_mtu, now)) return false;
  sa->path_mtu_until.store(now + kPathMtuSeconds, std::memory_order_relaxed);
  sa->path_mtu.store(mtu, std::memory_order_relaxed);
  return true;
}

}  // namespace cygnet
