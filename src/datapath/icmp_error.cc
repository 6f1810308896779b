#include "datapath/icmp_error.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kQuoteV4 = 576 - 28;          // RFC 1812, section 4.3.2.3
constexpr uint32_t kQuoteV6 = kMinIpv6Mtu - 48;  // RFC 4443, section 2.4
constexpr uint32_t kMinMtuV4 = 68;               // RFC 791: every link carries it
constexpr uint8_t kTtl = 64;

bool IsIcmpError(const IpPacketView& ip) {
  if (ip.flow.proto == kProtoIcmp) {
    return ip.flow.sport != 0 && ip.flow.sport != 8;  // anything but echo counts as an error
  }
  constexpr uint16_t kRedirect = 137;
  return ip.flow.proto == kProtoIcmpv6 && (ip.flow.sport < 128 || ip.flow.sport == kRedirect);
}

// The first eight bytes of the message, without its checksum.
struct Message {
  uint8_t type = 0;
  uint8_t code = 0;
  uint32_t rest = 0;
  const IpAddress* own = nullptr;  // its source
};

// Without another source it is the packet's destination: the one address that the host certainly
// routes to this interface, so its reverse-path filter accepts the answer.
const IpAddress& SourceOf(const IpPacketView& ip, const Message& message) {
  return message.own != nullptr ? *message.own : ip.flow.daddr;
}

void WriteV4(const IpPacketView& ip, uint32_t quote, const Message& message, uint8_t* l3) {
  l3[0] = 0x45;
  l3[1] = 0;
  StoreBe16(l3 + 2, static_cast<uint16_t>(28 + quote));
  StoreBe32(l3 + 4, 0);
  l3[8] = kTtl;
  l3[9] = kProtoIcmp;
  std::memcpy(l3 + 12, SourceOf(ip, message).bytes.data(), 4);
  std::memcpy(l3 + 16, ip.flow.saddr.bytes.data(), 4);
  WriteIpv4HeaderChecksum(l3);
  uint8_t* icmp = l3 + 20;
  icmp[0] = message.type;
  icmp[1] = message.code;
  StoreBe16(icmp + 2, 0);
  StoreBe32(icmp + 4, message.rest);
  StoreBe16(icmp + 2, Checksum({icmp, 8 + quote}));
}

void WriteV6(const IpPacketView& ip, uint32_t quote, const Message& message, uint8_t* l3) {
  std::memset(l3, 0, 40);
  l3[0] = 0x60;
  StoreBe16(l3 + 4, static_cast<uint16_t>(8 + quote));
  l3[6] = kProtoIcmpv6;
  l3[7] = kTtl;
  std::memcpy(l3 + 8, SourceOf(ip, message).bytes.data(), 16);
  std::memcpy(l3 + 24, ip.flow.saddr.bytes.data(), 16);
  uint8_t* icmp = l3 + 40;
  icmp[0] = message.type;
  icmp[1] = message.code;
  StoreBe16(icmp + 2, 0);
  StoreBe32(icmp + 4, message.rest);
  const uint64_t pseudo =
      PseudoHeaderSum(SourceOf(ip, message), ip.flow.saddr, IpFamily::kV6, kProtoIcmpv6, 8 + quote);
  StoreBe16(icmp + 2, ChecksumFinish(ChecksumAdd({icmp, 8 + quote}, pseudo)));
}

Packet* MakeError(const Packet& packet, const IpPacketView& ip, const Message& message,
                  PacketCache* cache) {
  if (!MayAnswerWithError(packet, ip)) return nullptr;
  const bool v4 = ip.flow.family == IpFamily::kV4;
  const uint32_t quote = std::min(ip.total_length, v4 ? kQuoteV4 : kQuoteV6);
  const uint32_t headers = v4 ? 28 : 48;
  Packet* out = cache->Take();
  if (out == nullptr) return nullptr;
  if (out->tailroom() < packet.l3_offset + headers + quote) {  // too many VLAN tags
    cache->Give(out);
    return nullptr;
  }
  out->l3_offset = packet.l3_offset;
  out->TakeOrigin(packet);
  uint8_t* frame = out->Append(packet.l3_offset + headers + quote);
  // Back to the sender: swapped Ethernet addresses, same tags.
  std::memcpy(frame, packet.data() + 6, 6);
  std::memcpy(frame + 6, packet.data(), 6);
  std::memcpy(frame + 12, packet.data() + 12, packet.l3_offset - 12u);
  uint8_t* l3 = frame + packet.l3_offset;
  std::memcpy(l3 + headers, packet.l3().data(), quote);
  if (v4) {
    WriteV4(ip, quote, message, l3);
  } else {
    WriteV6(ip, quote, message, l3);
  }
  return out;
}

}  // namespace

bool MayAnswerWithError(const Packet& packet, const IpPacketView& ip) {
  const bool to_many_at_once = (packet.data()[0] & 1) != 0;  // Ethernet group address
  return !IsIcmpError(ip) && !ip.later_fragment && !to_many_at_once &&
         !IsMulticastOrBroadcast(ip.flow.daddr, ip.flow.family) &&
         IsOneHost(ip.flow.saddr, ip.flow.family);
}

Packet* MakePacketTooBig(const Packet& packet, const IpPacketView& ip, uint32_t mtu,
                         PacketCache* cache, const IpAddress* own) {
  if (ip.flow.family == IpFamily::kV4) {
    mtu = std::clamp(mtu, kMinMtuV4, 0xffffu);
    return MakeError(packet, ip, {.type = 3, .code = 4, .rest = mtu, .own = own}, cache);
  }
  mtu = std::max(mtu, kMinIpv6Mtu);
  return MakeError(packet, ip, {.type = 2, .code = 0, .rest = mtu, .own = own}, cache);
}

Packet* MakeUnreachable(const Packet& packet, const IpPacketView& ip, PacketCache* cache,
                        const IpAddress* own) {
  const bool v4 = ip.flow.family == IpFamily::kV4;
  const Message message =
      v4 ? Message{.type = 3, .code = 1, .own = own} : Message{.type = 1, .code = 3, .own = own};
  return MakeError(packet, ip, message, cache);
}

}  // namespace cygnet
