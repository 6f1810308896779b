#include "device/wires/super_sender.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/endian.h"
#include "device/host/virtio_header.h"
#include "device/send_error.h"
#include "device/wire_mark.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/flow_key.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kIpv4Header = 20;
constexpr uint32_t kIpv6Header = 40;
constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kMaxHeaders = kEthernetHeader + 8 + kIpv6Header + kUdpHeader;  // two tags
constexpr uint32_t kMaxIpPacket = 65535;

// A datagram that may be part of a run.
struct Datagram {
  uint32_t upper_at = 0;  // of the UDP header, from the start of the frame; 0: none
  uint32_t payload = 0;
};

bool IsSealed(Protection protection) {
  return protection == Protection::kProven || OwesSeal(protection);
}

// IPv4 without options and fragments, or IPv6 without extension headers, and nothing behind.
Datagram Examine(const Packet& packet) {
  if (!IsSealed(packet.protection) || packet.csum_partial || packet.gso_type != GsoType::kNone ||
      packet.l3_offset > kMaxHeaders - kIpv6Header - kUdpHeader ||
      packet.length < packet.l3_offset + kIpv6Header + kUdpHeader) {
    return {};
  }
  const uint8_t* l3 = packet.data() + packet.l3_offset;
  const bool v4 = l3[0] == 0x45;
  if (!v4 && l3[0] >> 4 != 6) return {};
  if (l3[v4 ? 9 : 6] != kProtoUdp || (v4 && (LoadBe16(l3 + 6) & 0x3fff) != 0)) return {};
  const uint32_t header = v4 ? kIpv4Header : kIpv6Header;
  const uint32_t total = v4 ? LoadBe16(l3 + 2) : kIpv6Header + LoadBe16(l3 + 4);
  const uint32_t udp = LoadBe16(l3 + header + 4);
  if (packet.l3_offset + total != packet.length || udp + header != total || udp <= kUdpHeader) {
    return {};
  }
  return {packet.l3_offset + header, udp - kUdpHeader};
}

// The headers are equal but for lengths and checksums. IPv4 identifications count up, as the kernel
// counts them when it cuts.
bool Continues(const Packet& first, const Packet& next, uint32_t upper_at, uint32_t number) {
  const uint32_t at = first.l3_offset;
  const uint8_t* a = first.data();
  const uint8_t* b = next.data();
  if (next.l3_offset != at || std::memcmp(a, b, at) != 0) return false;
  if (std::memcmp(a + upper_at, b + upper_at, 4) != 0) return false;  // ports
  a += at;
  b += at;
  if (a[0] == 0x45) {
    return LoadBe16(b + 4) == static_cast<uint16_t>(LoadBe16(a + 4) + number) &&
           std::memcmp(a, b, 2) == 0 && std::memcmp(a + 6, b + 6, 4) == 0 &&
           std::memcmp(a + 12, b + 12, 8) == 0;
  }
  return std::memcmp(a, b, 4) == 0 && std::memcmp(a + 6, b + 6, 34) == 0;
}

// The headers of all together, with the unfinished checksum of the kernel's form.
void WriteHeaders(uint8_t* frame, uint32_t l3_offset, uint32_t upper_at, uint32_t payload) {
  uint8_t* l3 = frame + l3_offset;
  const bool v4 = l3[0] == 0x45;
  const uint32_t udp = kUdpHeader + payload;
  StoreBe16(l3 + (v4 ? 2 : 4), static_cast<uint16_t>(udp + (v4 ? kIpv4Header : 0)));
  if (v4) WriteIpv4HeaderChecksum(l3);
  StoreBe16(frame + upper_at + 4, static_cast<uint16_t>(udp));
  std::array<uint8_t, 4> last{0, kProtoUdp, static_cast<uint8_t>(udp >> 8),
                              static_cast<uint8_t>(udp)};
  const uint64_t addresses = ChecksumAdd(
      v4 ? std::span<const uint8_t>(l3 + 12, 8) : std::span<const uint8_t>(l3 + 8, 32), 0);
  StoreBe16(frame + upper_at + 6,
            static_cast<uint16_t>(~ChecksumFinish(ChecksumAdd(last, addresses))));
}

}  // namespace

bool SuperSender::Prepare(int fd) {
  const uint32_t mark = WireMark();
  const int send_bytes = 4 * 1024 * 1024;
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
  return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;
}

// Waits briefly for room in the socket, as the transmit ring does.
DropReason SuperSender::SendParts(int fd, std::span<iovec> parts) {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  while (sendmsg(fd, &message, MSG_DONTWAIT) < 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error != EAGAIN || waits_ == 0) return SendErrorReason(error);
    --waits_;
    pollfd room{fd, POLLOUT, 0};
    (void)poll(&room, 1, kWaitMs);
  }
  return DropReason::kNone;
}

DropReason SuperSender::Send(int fd, const Packet& packet) {
  VirtioNetHeader header = WriteVirtioHeader(packet);
  // sendmsg only reads.
  std::array<iovec, 2> parts = {
      {{&header, kVirtioHeader}, {const_cast<uint8_t*>(packet.data()), packet.length}}};
  return SendParts(fd, parts);
}

uint32_t SuperSender::RunOf(std::span<Packet* const> packets) const {
  if (!cuts_datagrams_ || packets.size() < 2) return 1;
  const Datagram first = Examine(*packets[0]);
  if (first.upper_at == 0) return 1;
  uint32_t total = packets[0]->length - packets[0]->l3_offset;
  uint32_t n = 1;
  const std::size_t most = std::min<std::size_t>(packets.size(), kMaxRun);
  for (bool full = true; full && n < most; ++n) {
    const Datagram next = Examine(*packets[n]);
    if (next.upper_at != first.upper_at || next.payload > first.payload ||
        total + next.payload > kMaxIpPacket ||
        !Continues(*packets[0], *packets[n], first.upper_at, n)) {
      break;
    }
    total += next.payload;
    full = next.payload == first.payload;
  }
  return n;
}

DropReason SuperSender::SendRun(int fd, std::span<Packet* const> packets) {
  const Packet& first = *packets[0];
  const Datagram size = Examine(first);
  const uint32_t headers = size.upper_at + kUdpHeader;
  std::array<uint8_t, kMaxHeaders> front;
  std::memcpy(front.data(), first.data(), headers);
  VirtioNetHeader virtio{.flags = kVirtioNeedsCsum,
                         .gso_type = kVirtioGsoUdp,
                         .hdr_len = static_cast<uint16_t>(headers),
                         .gso_size = static_cast<uint16_t>(size.payload),
                         .csum_start = static_cast<uint16_t>(size.upper_at),
                         .csum_offset = ChecksumField(GsoType::kUdp)};
  std::array<iovec, kMaxRun + 2> parts;
  parts[0] = {&virtio, kVirtioHeader};
  parts[1] = {front.data(), headers};
  std::size_t n = 2;
  uint32_t payload = 0;
  for (Packet* packet : packets) {
    parts[n++] = {packet->data() + headers, packet->length - headers};
    payload += packet->length - headers;
  }
  WriteHeaders(front.data(), first.l3_offset, size.upper_at, payload);
  const DropReason reason = SendParts(fd, std::span(parts).first(n));
  if (reason == DropReason::kPortRefused) cuts_datagrams_ = false;
  return reason;
}

}  // namespace cygnet
