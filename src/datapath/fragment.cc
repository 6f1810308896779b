#include "datapath/fragment.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kFragmentHeader = 8;
constexpr uint16_t kMoreFragments = 0x2000;
constexpr uint32_t kLargestFrame = kJumboPacketBytes - kPacketHeadroom;

constexpr uint8_t kOptionEnd = 0;
constexpr uint8_t kOptionNop = 1;
constexpr uint8_t kOptionCopied = 0x80;  // RFC 791: goes into every fragment

// Copies the options that every fragment carries, padded to whole words. Options come from the
// sender's packet: the first malformed one ends the list. Returns the bytes written.
uint32_t CopyOptions(std::span<const uint8_t> options, uint8_t* out) {
  uint32_t written = 0;
  for (std::size_t i = 0; i < options.size() && options[i] != kOptionEnd;) {
    if (options[i] == kOptionNop) {
      ++i;
      continue;
    }
    if (i + 1 == options.size() || options[i + 1] < 2 || options[i + 1] > options.size() - i) break;
    const uint32_t length = options[i + 1];
    if ((options[i] & kOptionCopied) != 0) {
      std::memcpy(out + written, options.data() + i, length);
      written += length;
    }
    i += length;
  }
  while (written % 4 != 0) out[written++] = kOptionEnd;
  return written;
}

}  // namespace

bool Fragmenter::Begin(const Packet& packet, const IpPacketView& ip, uint32_t mtu, uint32_t id) {
  packet_ = &packet;
  ip_ = ip;
  mtu_ = mtu;
  id_ = id;
  at_ = end_ = 0;
  const bool v4 = ip.flow.family == IpFamily::kV4;
  if (ip.total_length <= mtu || ip.fragment || (v4 && ip.dont_fragment)) return false;
  // A device seals whole packets, so a packet must not be cut before that.
  const OffloadStatus status = packet.offload.status;
  if (status == OffloadStatus::kSealRequested || status == OffloadStatus::kProtectRequested) {
    return false;
  }
  if (packet.l3_offset + mtu > kLargestFrame) return false;
  if (v4) {
    BeginV4(packet.l3());
  } else if (!BeginV6(packet.l3())) {
    return false;
  }
  const uint32_t headers = front_ + (v4 ? 0 : kFragmentHeader);
  if (mtu < headers + 8) return false;
  at_ = front_;
  end_ = ip.total_length;
  return true;
}

void Fragmenter::BeginV4(std::span<const uint8_t> l3) {
  front_ = ip_.ip_header_length;
  std::memcpy(later_header_.data(), l3.data(), 20);
  later_length_ = 20 + CopyOptions(l3.subspan(20, front_ - 20), later_header_.data() + 20);
  later_header_[0] = static_cast<uint8_t>(0x40 | later_length_ / 4);
}

// RFC 8200 section 4.5: every fragment repeats the headers up to the routing header, or else the
// hop-by-hop options. Destination options after those are data. The first fragment must hold all
// headers (RFC 7112).
bool Fragmenter::BeginV6(std::span<const uint8_t> l3) {
  front_ = 40;
  next_header_at_ = 6;
  uint32_t at = 40;
  uint32_t named_at = 6;
  while (at < ip_.esp_offset_v6) {  // the parser has checked these lengths
    const uint8_t type = l3[named_at];
    named_at = at;
    at += (uint32_t{l3[at + 1]} + 1) * 8;
    if (type == kProtoHopByHop || type == kProtoRouting) {
      front_ = at;
      next_header_at_ = named_at;
    }
  }
  const uint32_t largest_piece = (mtu_ - std::min(mtu_, front_ + kFragmentHeader)) & ~7u;
  return ip_.header_length - front_ <= largest_piece;
}

Packet* Fragmenter::Next(PacketCaches* caches) {
  const bool v4 = ip_.flow.family == IpFamily::kV4;
  const uint32_t offset = at_ - front_;
  const uint32_t header = !v4 ? front_ + kFragmentHeader : offset == 0 ? front_ : later_length_;
  const uint32_t room = mtu_ - header;
  const uint32_t left = end_ - at_;
  const uint32_t payload = left <= room ? left : room & ~7u;
  const uint32_t frame_length = packet_->l3_offset + header + payload;
  const bool small = frame_length <= kSmallPacketBytes - kPacketHeadroom;
  Packet* out = small ? caches->small.Take() : caches->TakeLong(frame_length);
  if (out == nullptr) return nullptr;
  out->l3_offset = packet_->l3_offset;
  out->TakeOrigin(*packet_);
  out->offload = packet_->offload;
  out->protection = packet_->protection;
  out->proof = packet_->proof;
  uint8_t* frame = out->Append(frame_length);
  std::memcpy(frame, packet_->data(), packet_->l3_offset);
  uint8_t* l3 = frame + packet_->l3_offset;
  std::memcpy(l3 + header, packet_->l3().data() + at_, payload);
  if (v4) {
    WriteV4(offset, payload, l3);
  } else {
    WriteV6(offset, payload, l3);
  }
  at_ += payload;
  return out;
}

void Fragmenter::WriteV4(uint32_t offset, uint32_t payload, uint8_t* l3) const {
  const uint32_t header = offset == 0 ? front_ : later_length_;
  std::memcpy(l3, offset == 0 ? packet_->l3().data() : later_header_.data(), header);
  StoreBe16(l3 + 2, static_cast<uint16_t>(header + payload));
  const bool more = front_ + offset + payload < end_;
  StoreBe16(l3 + 6, static_cast<uint16_t>(offset / 8 | (more ? kMoreFragments : 0)));
  WriteIpv4HeaderChecksum(l3);
}

void Fragmenter::WriteV6(uint32_t offset, uint32_t payload, uint8_t* l3) const {
  std::memcpy(l3, packet_->l3().data(), front_);
  StoreBe16(l3 + 4, static_cast<uint16_t>(front_ - 40 + kFragmentHeader + payload));
  l3[next_header_at_] = kProtoFragment;
  uint8_t* header = l3 + front_;
  header[0] = packet_->l3()[next_header_at_];
  header[1] = 0;
  const bool more = front_ + offset + payload < end_;
  StoreBe16(header + 2, static_cast<uint16_t>(offset | (more ? 1 : 0)));
  StoreBe32(header + 4, id_);
}

}  // namespace cygnet
