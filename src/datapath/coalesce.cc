#include "datapath/coalesce.h"

#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint8_t kTcpAck = 0x10;
constexpr uint8_t kTcpPsh = 0x08;
constexpr uint32_t kMaxIpPacket = 65535;

bool TcpChecksumHolds(const IpPacketView& ip, std::span<const uint8_t> tcp) {
  const uint64_t pseudo = PseudoHeaderSum(ip.flow.saddr, ip.flow.daddr, ip.flow.family, kProtoTcp,
                                          static_cast<uint32_t>(tcp.size()));
  return ChecksumFinish(ChecksumAdd(tcp, pseudo)) == 0;
}

// True if the IP headers differ only in length, identification and checksum.
bool SameIpHeader(const uint8_t* a, const uint8_t* b, IpFamily family) {
  if (family == IpFamily::kV4) {
    return a[0] == b[0] && a[1] == b[1] && std::memcmp(a + 6, b + 6, 4) == 0 &&
           std::memcmp(a + 12, b + 12, 8) == 0;
  }
  return std::memcmp(a, b, 4) == 0 && std::memcmp(a + 6, b + 6, 34) == 0;
}

}  // namespace

// Eligible are data segments with no flag but ACK (and PSH) and a correct checksum. A wrong
// checksum must reach the receiver's TCP; joining would hide it.
Coalescer::Segment Coalescer::Examine(const Packet& packet) {
  Segment s;
  if (packet.gso_type != GsoType::kNone || packet.csum_partial ||
      packet.l3_offset != kEthernetHeader) {
    return s;
  }
  const auto ip = ParseIpPacket(packet.l3());
  if (!ip || ip->flow.proto != kProtoTcp || ip->fragment || ip->has_options ||
      ip->total_length < ip->header_length + 20) {
    return s;
  }
  s.ip = *ip;
  s.tcp_at = packet.l3_offset + ip->header_length;
  const uint8_t* tcp = packet.data() + s.tcp_at;
  s.headers = s.tcp_at + (tcp[12] >> 4) * 4u;
  const uint32_t end = packet.l3_offset + ip->total_length;
  if (s.headers < s.tcp_at + 20 || s.headers >= end || end != packet.length) return s;
  s.payload = end - s.headers;
  s.seq = LoadBe32(tcp + 4);
  s.pushed = (tcp[13] & kTcpPsh) != 0;
  s.eligible = (tcp[13] & ~kTcpPsh) == kTcpAck && TcpChecksumHolds(*ip, {tcp, end - s.tcp_at});
  return s;
}

bool Coalescer::Continues(const Packet& first, const Segment& a, const Packet& next,
                          const Segment& b, uint32_t expected_seq) {
  if (!b.eligible || b.seq != expected_seq || b.payload > a.payload || b.headers != a.headers ||
      b.ip.flow.family != a.ip.flow.family) {
    return false;
  }
  const uint8_t* ta = first.data() + a.tcp_at;
  const uint8_t* tb = next.data() + b.tcp_at;
  // Ports; acknowledgement number, header length and flags; window; options.
  return SameIpHeader(first.l3().data(), next.l3().data(), a.ip.flow.family) &&
         std::memcmp(ta, tb, 4) == 0 && std::memcmp(ta + 8, tb + 8, 5) == 0 &&
         std::memcmp(ta + 14, tb + 14, 2) == 0 &&
         std::memcmp(ta + 20, tb + 20, a.headers - a.tcp_at - 20) == 0 &&
         std::memcmp(first.data(), next.data(), kEthernetHeader) == 0;
}

Packet* Coalescer::Join(const PacketBatch& batch, uint32_t begin, uint32_t end,
                        PacketCache* cache) {
  Packet* out = cache->Take();
  if (out == nullptr) return nullptr;
  const Segment& first = segments_[begin];
  out->TakeOrigin(*batch[begin]);
  out->l3_offset = batch[begin]->l3_offset;
  std::memcpy(out->Append(first.headers), batch[begin]->data(), first.headers);
  bool pushed = false;
  for (uint32_t i = begin; i < end; ++i) {
    const Segment& s = segments_[i];
    std::memcpy(out->Append(s.payload), batch[i]->data() + s.headers, s.payload);
    pushed = pushed || s.pushed;
  }
  uint8_t* l3 = out->data() + out->l3_offset;
  const uint32_t total = out->length - out->l3_offset;
  const bool v4 = first.ip.flow.family == IpFamily::kV4;
  if (v4) {
    StoreBe16(l3 + 2, static_cast<uint16_t>(total));
    WriteIpv4HeaderChecksum(l3);
  } else {
    StoreBe16(l3 + 4, static_cast<uint16_t>(total - 40));
  }
  uint8_t* tcp = out->data() + first.tcp_at;
  if (pushed) tcp[13] = static_cast<uint8_t>(tcp[13] | kTcpPsh);
  // Unfinished checksum in the form that the host expects from a device: the pseudo-header's sum,
  // not complemented.
  const uint64_t pseudo =
      PseudoHeaderSum(first.ip.flow.saddr, first.ip.flow.daddr, first.ip.flow.family, kProtoTcp,
                      out->length - first.tcp_at);
  StoreBe16(tcp + 16, static_cast<uint16_t>(~ChecksumFinish(pseudo)));
  out->csum_partial = true;
  out->csum_start = static_cast<uint16_t>(first.tcp_at);
  out->csum_offset = 16;
  out->gso_type = v4 ? GsoType::kTcpV4 : GsoType::kTcpV6;
  out->gso_size = static_cast<uint16_t>(first.payload);
  return out;
}

void Coalescer::Run(PacketBatch* batch, DropSink* sink) {
  if (batch->size() < 2) return;
  for (uint32_t i = 0; i < batch->size(); ++i) segments_[i] = Examine(*(*batch)[i]);
  std::array<Packet*, kMaxBatch> out;
  uint32_t kept = 0;
  for (uint32_t begin = 0; begin < batch->size();) {
    const Segment& first = segments_[begin];
    uint32_t end = begin + 1;
    uint32_t total = (*batch)[begin]->length;
    uint32_t seq = first.seq + first.payload;
    bool open = first.eligible && !first.pushed;
    while (open && end < batch->size() && total + segments_[end].payload <= kMaxIpPacket &&
           Continues(*(*batch)[begin], first, *(*batch)[end], segments_[end], seq)) {
      total += segments_[end].payload;
      seq += segments_[end].payload;
      open = !segments_[end].pushed && segments_[end].payload == first.payload;
      ++end;
    }
    Packet* joined = end - begin > 1 ? Join(*batch, begin, end, &sink->caches()->jumbo) : nullptr;
    for (uint32_t i = begin; i < end; ++i) {
      if (joined != nullptr) {
        sink->Recycle((*batch)[i]);
      } else {
        out[kept++] = (*batch)[i];
      }
    }
    if (joined != nullptr) out[kept++] = joined;
    begin = end;
  }
  batch->ReleaseAll();
  for (uint32_t i = 0; i < kept; ++i) batch->Push(out[i]);
}

}  // namespace cygnet
