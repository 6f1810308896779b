#include "device/segment.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kTcpHeader = 20;  // without options
constexpr uint32_t kUdpHeader = 8;
// The kernel joins no more (UDP_MAX_SEGMENTS). Who writes frames to a virtual wire could.
constexpr uint32_t kMostDatagrams = 128;
constexpr uint8_t kTcpFin = 0x01;
constexpr uint8_t kTcpPsh = 0x08;
constexpr uint8_t kTcpCwr = 0x80;

}  // namespace

bool FinishChecksum(Packet* packet) {
  if (!packet->csum_partial) return true;
  const uint32_t start = packet->csum_start;
  const uint32_t field = start + packet->csum_offset;
  if (field + 2 > packet->length) return false;
  // The field already holds the pseudo-header's sum, and is part of the summed bytes.
  const uint16_t sum = Checksum({packet->data() + start, packet->length - start});
  StoreBe16(packet->data() + field, sum == 0 ? 0xffff : sum);
  packet->csum_partial = false;
  return true;
}

void VouchForChecksum(const IpPacketView& ip, Packet* packet) {
  const bool tcp = ip.flow.proto == kProtoTcp;
  const uint32_t upper = ip.total_length - ip.header_length;
  if ((!tcp && ip.flow.proto != kProtoUdp) || ip.fragment || upper < (tcp ? 20u : 8u)) return;
  const uint32_t start = packet->l3_offset + ip.header_length;
  const uint32_t field = tcp ? 16 : 6;
  if (!tcp && LoadBe16(packet->data() + start + field) == 0) return;  // UDP without one
  const uint64_t pseudo =
      PseudoHeaderSum(ip.flow.saddr, ip.flow.daddr, ip.flow.family, ip.flow.proto, upper);
  StoreBe16(packet->data() + start + field, static_cast<uint16_t>(~ChecksumFinish(pseudo)));
  packet->csum_partial = true;
  packet->csum_start = static_cast<uint16_t>(start);
  packet->csum_offset = static_cast<uint16_t>(field);
}

bool Segmenter::Begin(const Packet& packet, const IpPacketView& ip, Sum sum) {
  packet_ = &packet;
  ip_ = ip;
  sum_ = sum;
  number_ = 0;
  tcp_ = packet.gso_type != GsoType::kUdp;
  const uint32_t least = tcp_ ? kTcpHeader : kUdpHeader;
  if (ip.flow.proto != (tcp_ ? kProtoTcp : kProtoUdp) || ip.fragment ||
      ip.total_length < ip.header_length + least) {
    return false;
  }
  upper_at_ = packet.l3_offset + ip.header_length;
  headers_ = upper_at_ + (tcp_ ? (packet.data()[upper_at_ + 12] >> 4) * 4u : kUdpHeader);
  offset_ = headers_;
  end_ = packet.l3_offset + ip.total_length;  // Ethernet may have padded the frame
  if (!tcp_ && end_ > headers_ + kMostDatagrams * packet.gso_size) return false;
  return headers_ >= upper_at_ + least && headers_ < end_ &&
         headers_ + packet.gso_size <= kJumboFrame;
}

uint32_t Segmenter::LargestSegment() const {
  const uint32_t payload = end_ - headers_;
  return headers_ - packet_->l3_offset + std::min<uint32_t>(payload, packet_->gso_size);
}

Packet* Segmenter::Next(PacketCaches* caches, IpPacketView* ip) {
  const uint32_t payload = std::min<uint32_t>(packet_->gso_size, end_ - offset_);
  Packet* out = caches->TakeFor(headers_ + payload);
  if (out == nullptr) return nullptr;
  const bool last = offset_ + payload == end_;
  out->TakeOrigin(*packet_);
  out->protection = packet_->protection;
  out->proof = packet_->proof;
  out->l3_offset = packet_->l3_offset;
  uint8_t* frame = out->Append(headers_ + payload);
  std::memcpy(frame, packet_->data(), headers_);
  std::memcpy(frame + headers_, packet_->data() + offset_, payload);

  *ip = ip_;
  ip->total_length = headers_ - packet_->l3_offset + payload;
  WriteIp(frame + packet_->l3_offset, ip->total_length);
  if (tcp_) {
    WriteTcp(frame + upper_at_, last);
  } else {
    StoreBe16(frame + upper_at_ + 4, static_cast<uint16_t>(kUdpHeader + payload));
  }
  WriteChecksum(out);
  offset_ += payload;
  ++number_;
  return out;
}

void Segmenter::WriteIp(uint8_t* l3, uint32_t total) const {
  if (ip_.flow.family == IpFamily::kV4) {
    StoreBe16(l3 + 2, static_cast<uint16_t>(total));
    StoreBe16(l3 + 4, static_cast<uint16_t>(LoadBe16(l3 + 4) + number_));
    WriteIpv4HeaderChecksum(l3);
  } else {
    StoreBe16(l3 + 4, static_cast<uint16_t>(total - 40));
  }
}

void Segmenter::WriteTcp(uint8_t* tcp, bool last) const {
  StoreBe32(tcp + 4, LoadBe32(tcp + 4) + (offset_ - headers_));
  if (!last) tcp[13] = static_cast<uint8_t>(tcp[13] & ~(kTcpFin | kTcpPsh));
  if (number_ > 0) tcp[13] = static_cast<uint8_t>(tcp[13] & ~kTcpCwr);  // RFC 3168: once
}

void Segmenter::WriteChecksum(Packet* segment) const {
  const uint32_t length = segment->length - upper_at_;
  uint8_t* const upper = segment->data() + upper_at_;
  uint8_t* const field = upper + (tcp_ ? 16 : 6);
  const uint64_t pseudo =
      PseudoHeaderSum(ip_.flow.saddr, ip_.flow.daddr, ip_.flow.family, ip_.flow.proto, length);
  if (sum_ == Sum::kLeftToHost) {
    StoreBe16(field, static_cast<uint16_t>(~ChecksumFinish(pseudo)));
    segment->csum_partial = true;
    segment->csum_start = static_cast<uint16_t>(upper_at_);
    segment->csum_offset = tcp_ ? 16 : 6;
    return;
  }
  StoreBe16(field, 0);
  const uint16_t sum = ChecksumFinish(ChecksumAdd({upper, length}, pseudo));
  StoreBe16(field, !tcp_ && sum == 0 ? 0xffff : sum);  // 0 means: UDP without a checksum
}

}  // namespace cygnet
