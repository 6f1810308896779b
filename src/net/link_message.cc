#include "net/link_message.h"

#include <array>
#include <cstring>

namespace cygnet {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint32_t kIpv6Header = 40;
constexpr uint32_t kMaxMessage = 1280;  // every link carries that

constexpr uint16_t kRouterSolicitation = 133;
constexpr uint16_t kRouterAdvertisement = 134;
constexpr uint16_t kRedirect = 137;
constexpr uint8_t kRedirectedHeader = 4;

constexpr uint16_t kListenerQuery = 130;
constexpr uint16_t kListenerReport = 131;
constexpr uint16_t kListenerDone = 132;
constexpr uint16_t kListenerReportV2 = 143;

bool IsLinkLocal(const IpAddress& a) { return a.bytes[0] == 0xfe && (a.bytes[1] & 0xc0) == 0x80; }

Bytes Message(const IpPacketView& ip, Bytes l3) {
  return l3.subspan(ip.header_length, ip.total_length - ip.header_length);
}

bool IsIcmpv6(const IpPacketView& ip, uint8_t hop_limit, Bytes l3) {
  return ip.flow.family == IpFamily::kV6 && ip.flow.proto == kProtoIcmpv6 && !ip.fragment &&
         l3[7] == hop_limit && ip.flow.dport == 0 && ip.total_length <= kMaxMessage;
}

// Bytes in front of the options; 0: no message of neighbour discovery.
uint32_t FixedPart(uint16_t type) {
  constexpr std::array<uint8_t, 5> kFixed = {8, 16, 24, 24, 40};
  return type < kRouterSolicitation || type > kRedirect ? 0 : kFixed[type - kRouterSolicitation];
}

// Calls see(type) for each option. False: their lengths do not make up `options`.
template <typename See>
bool WalkOptions(Bytes options, See see) {
  while (!options.empty()) {
    if (options.size() < 8) return false;
    const uint32_t length = options[1] * 8u;
    if (length == 0 || length > options.size()) return false;
    see(options[0]);
    options = options.subspan(length);
  }
  return true;
}

// The groups that a report of version 2 lists are as many as it says and fill it.
bool RecordsFit(Bytes message) {
  if (message.size() < 8) return false;
  Bytes rest = message.subspan(8);
  for (uint32_t left = LoadBe16(message.data() + 6); left > 0; --left) {
    if (rest.size() < 20) return false;
    const uint32_t length = 20u + LoadBe16(rest.data() + 2) * 16u + rest[1] * 4u;
    if (length > rest.size()) return false;
    rest = rest.subspan(length);
  }
  return rest.empty();
}

bool ListenerMessageFits(uint16_t type, Bytes message) {
  switch (type) {
    case kListenerQuery:
      return message.size() == 24 ||
             (message.size() >= 28 && message.size() == 28u + LoadBe16(message.data() + 26) * 16u);
    case kListenerReport:
    case kListenerDone:
      return message.size() == 24;
    case kListenerReportV2:
      return RecordsFit(message);
    default:
      return false;
  }
}

}  // namespace

bool IsNeighbourDiscovery(const IpPacketView& ip, Bytes l3) {
  if (!IsIcmpv6(ip, 255, l3) || ip.header_length != kIpv6Header) return false;
  const uint16_t type = ip.flow.sport;
  const uint32_t fixed = FixedPart(type);
  const Bytes message = Message(ip, l3);
  if (fixed == 0 || message.size() < fixed) return false;
  const bool from_router = type == kRouterAdvertisement || type == kRedirect;
  if (from_router && !IsLinkLocal(ip.flow.saddr)) return false;
  return WalkOptions(message.subspan(fixed), [](uint8_t) {});
}

bool QuotesPacket(const IpPacketView& ip, Bytes l3) {
  if (ip.flow.sport != kRedirect) return false;
  bool quotes = false;
  const Bytes message = Message(ip, l3);
  const bool fits = message.size() >= FixedPart(kRedirect) &&
                    WalkOptions(message.subspan(FixedPart(kRedirect)), [&](uint8_t type) {
                      quotes = quotes || type == kRedirectedHeader;
                    });
  return quotes || !fits;
}

bool IsListenerDiscovery(const IpPacketView& ip, Bytes l3) {
  constexpr std::array<uint8_t, 8> kRouterAlert = {kProtoIcmpv6, 0, 5, 2, 0, 0, 1, 0};
  if (!IsIcmpv6(ip, 1, l3) || ip.header_length != kIpv6Header + kRouterAlert.size() ||
      l3[6] != kProtoHopByHop) {
    return false;
  }
  if (std::memcmp(l3.data() + kIpv6Header, kRouterAlert.data(), kRouterAlert.size()) != 0) {
    return false;
  }
  const bool source = IsLinkLocal(ip.flow.saddr) || ip.flow.saddr.IsAny();
  return source && IsMulticastOrBroadcast(ip.flow.daddr, IpFamily::kV6) &&
         ListenerMessageFits(ip.flow.sport, Message(ip, l3));
}

}  // namespace cygnet
