// Builds IP packets and frames byte by byte, independently of the code under test, and takes them
// apart again.
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "net/address.h"
#include "packet/packet_pool.h"

namespace cygnet::test {

using Bytes = std::vector<uint8_t>;

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes ToBytes(std::span<const uint8_t> span) { return {span.begin(), span.end()}; }

inline ParsedAddress Addr(const std::string& text) {
  ParsedAddress out;
  if (inet_pton(AF_INET, text.c_str(), out.address.bytes.data()) == 1) {
    out.family = IpFamily::kV4;
  } else if (inet_pton(AF_INET6, text.c_str(), out.address.bytes.data()) == 1) {
    out.family = IpFamily::kV6;
  } else {
    throw std::invalid_argument("address: " + text);
  }
  return out;
}

inline IpAddress Ip(const std::string& text) { return Addr(text).address; }

inline void Put16(Bytes* out, std::size_t at, uint32_t v) {
  out->at(at) = static_cast<uint8_t>(v >> 8);
  out->at(at + 1) = static_cast<uint8_t>(v);
}
inline void Put32(Bytes* out, std::size_t at, uint32_t v) {
  Put16(out, at, v >> 16);
  Put16(out, at + 2, v & 0xffff);
}
inline uint16_t Get16(std::span<const uint8_t> b, std::size_t at) {
  return static_cast<uint16_t>(b[at] << 8 | b[at + 1]);
}
inline uint32_t Get32(std::span<const uint8_t> b, std::size_t at) {
  return uint32_t{Get16(b, at)} << 16 | Get16(b, at + 2);
}

// The oracle: word by word, as in RFC 1071.
inline uint32_t NaiveSum(std::span<const uint8_t> b, uint32_t sum = 0) {
  for (std::size_t i = 0; i < b.size(); i += 2) {
    sum += static_cast<uint32_t>(b[i] << 8 | (i + 1 < b.size() ? b[i + 1] : 0));
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}
inline uint16_t NaiveChecksum(std::span<const uint8_t> b, uint32_t sum = 0) {
  return static_cast<uint16_t>(~NaiveSum(b, sum));
}

struct IpFields {
  std::string src = "10.1.0.1";
  std::string dst = "10.2.0.1";
  uint8_t proto = 17;
  uint8_t tos = 0;  // IPv6: traffic class
  uint8_t ttl = 64;
  bool dont_fragment = false;
  uint16_t fragment = 0;  // IPv4: offset in units of 8 and the MF bit 0x2000
  uint16_t id = 0x1234;
  uint32_t flow_label = 0;
  Bytes options = {};        // IPv4: a multiple of 4; IPv6: extension headers, the first one's
  uint8_t first_header = 0;  // IPv6 with options: the next-header value of the fixed header
};

inline uint32_t NaivePseudoSum(const IpFields& f, uint32_t length) {
  const ParsedAddress s = Addr(f.src);
  const ParsedAddress d = Addr(f.dst);
  const std::size_t n = s.family == IpFamily::kV4 ? 4 : 16;
  uint32_t sum = NaiveSum({s.address.bytes.data(), n});
  sum = NaiveSum({d.address.bytes.data(), n}, sum);
  return sum + f.proto + (length >> 16) + (length & 0xffff);
}

inline Bytes IpPacket(const IpFields& f, const Bytes& upper) {
  const ParsedAddress s = Addr(f.src);
  const ParsedAddress d = Addr(f.dst);
  Bytes out;
  if (s.family == IpFamily::kV4) {
    out.assign(20, 0);
    out[0] = static_cast<uint8_t>(0x45 + f.options.size() / 4);
    out[1] = f.tos;
    Put16(&out, 2, static_cast<uint32_t>(20 + f.options.size() + upper.size()));
    Put16(&out, 4, f.id);
    Put16(&out, 6, f.fragment | (f.dont_fragment ? 0x4000u : 0u));
    out[8] = f.ttl;
    out[9] = f.proto;
    std::memcpy(&out[12], s.address.bytes.data(), 4);
    std::memcpy(&out[16], d.address.bytes.data(), 4);
    out = out + f.options;
    Put16(&out, 10, NaiveChecksum(out));
  } else {
    out.assign(40, 0);
    Put32(&out, 0, 0x60000000u | uint32_t{f.tos} << 20 | f.flow_label);
    Put16(&out, 4, static_cast<uint32_t>(f.options.size() + upper.size()));
    out[6] = f.options.empty() ? f.proto : f.first_header;
    out[7] = f.ttl;
    std::memcpy(&out[8], s.address.bytes.data(), 16);
    std::memcpy(&out[24], d.address.bytes.data(), 16);
    out = out + f.options;
  }
  return out + upper;
}

// Bytes that depend on their position, so that a shift or a swap is noticed.
inline Bytes Pattern(std::size_t n, uint8_t seed = 1) {
  Bytes out(n);
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = static_cast<uint8_t>(i * 7 + (i >> 8) * 13 + seed);
  }
  return out;
}

inline Bytes Udp(IpFields f, uint16_t sport, uint16_t dport, const Bytes& payload) {
  Bytes udp(8);
  Put16(&udp, 0, sport);
  Put16(&udp, 2, dport);
  Put16(&udp, 4, static_cast<uint32_t>(8 + payload.size()));
  udp = udp + payload;
  f.proto = 17;
  const uint16_t sum = NaiveChecksum(udp, NaivePseudoSum(f, static_cast<uint32_t>(udp.size())));
  Put16(&udp, 6, sum == 0 ? 0xffff : sum);
  return IpPacket(f, udp);
}

struct TcpFields {
  uint16_t sport = 1000;
  uint16_t dport = 2000;
  uint32_t seq = 1;
  uint32_t ack = 77;
  uint8_t flags = 0x10;
  uint16_t window = 512;
  Bytes options = {};  // a multiple of 4
};

inline Bytes Tcp(IpFields f, const TcpFields& t, const Bytes& payload) {
  Bytes tcp(20);
  Put16(&tcp, 0, t.sport);
  Put16(&tcp, 2, t.dport);
  Put32(&tcp, 4, t.seq);
  Put32(&tcp, 8, t.ack);
  tcp[12] = static_cast<uint8_t>((5 + t.options.size() / 4) << 4);
  tcp[13] = t.flags;
  Put16(&tcp, 14, t.window);
  tcp = tcp + t.options + payload;
  f.proto = 6;
  Put16(&tcp, 16, NaiveChecksum(tcp, NaivePseudoSum(f, static_cast<uint32_t>(tcp.size()))));
  return IpPacket(f, tcp);
}

// True if the packet's TCP or UDP checksum is correct (no options, no extension headers).
inline bool UpperChecksumHolds(std::span<const uint8_t> ip) {
  const bool v4 = ip[0] >> 4 == 4;
  const std::size_t header = v4 ? (ip[0] & 15u) * 4u : 40u;
  const std::size_t n = v4 ? 4 : 16;
  const std::span<const uint8_t> upper = ip.subspan(header);
  uint32_t sum = NaiveSum(ip.subspan(v4 ? 12 : 8, 2 * n));
  sum += (v4 ? ip[9] : ip[6]) + static_cast<uint32_t>(upper.size());
  return NaiveChecksum(upper, sum) == 0;
}

inline bool Ipv4HeaderChecksumHolds(std::span<const uint8_t> ip) {
  return NaiveChecksum(ip.first((ip[0] & 15u) * 4u)) == 0;
}

inline Bytes EthernetHeader(uint16_t type, const Bytes& tags = {}) {
  Bytes out = {2, 0, 0, 0, 0, 0x22, 2, 0, 0, 0, 0, 0x11};
  out = out + tags;
  out.push_back(static_cast<uint8_t>(type >> 8));
  out.push_back(static_cast<uint8_t>(type));
  return out;
}

// The frame around an IP packet. `tags`: VLAN tags, type and TCI each.
inline Bytes Frame(const Bytes& ip, const Bytes& tags = {}) {
  return EthernetHeader(ip.at(0) >> 4 == 4 ? 0x0800 : 0x86dd, tags) + ip;
}

inline Packet* MakePacket(PacketPools* pools, std::span<const uint8_t> frame) {
  PacketPool* pool = frame.size() <= kSmallFrame                                ? &pools->small
                     : frame.size() <= kLargeFrame && pools->large.count() != 0 ? &pools->large
                                                                                : &pools->jumbo;
  Packet* packet = nullptr;
  if (pool->Take(&packet, 1) != 1) throw std::runtime_error("pool empty");
  const PacketPool* owner = packet->pool;
  uint8_t* buffer = packet->buffer;
  const uint32_t capacity = packet->capacity;
  *packet = Packet{};
  packet->buffer = buffer;
  packet->SetCapacity(capacity);
  packet->pool = const_cast<PacketPool*>(owner);
  packet->head = pool->headroom();
  packet->l3_offset = 14;
  std::copy(frame.begin(), frame.end(), packet->Append(static_cast<uint32_t>(frame.size())));
  return packet;
}

inline void FreePacket(Packet* packet) { packet->pool->Give(&packet, 1); }

}  // namespace cygnet::test
