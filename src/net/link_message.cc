#include "net/link_message.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "net/ip_protocol.h"

namespace cygnet {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint32_t kIpv6Header = 40;

constexpr uint16_t kRouterSolicitation = 133;
constexpr uint16_t kRouterAdvertisement = 134;
constexpr uint16_t kNeighbourSolicitation = 135;
constexpr uint16_t kRedirect = 137;

// Options: RFC 4861 section 4.6, RFC 3971 (nonce), and those that router advertisements carry today
// (RFC 6275, 7839, 4191, 8106, 5175, 8801, 8910, 8781).
constexpr uint8_t kSourceLink = 1;
constexpr uint8_t kTargetLink = 2;
constexpr uint8_t kRedirectedHeader = 4;
constexpr uint8_t kNonce = 14;
constexpr std::array<uint8_t, 12> kOfRouters = {1, 3, 5, 7, 8, 21, 24, 25, 26, 31, 37, 38};

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
         l3[7] == hop_limit && ip.flow.dport == 0 && ip.total_length <= kMinIpv6Mtu &&
         l3.size() == ip.total_length;  // nothing follows the packet
}

// Length of the message without options; 0 if the type is not neighbour discovery.
uint32_t FixedPart(uint16_t type) {
  constexpr std::array<uint8_t, 5> kFixed = {8, 16, 24, 24, 40};
  return type < kRouterSolicitation || type > kRedirect ? 0 : kFixed[type - kRouterSolicitation];
}

// Calls see(type, length) for each option. False if the lengths do not add up to `options`.
template <typename See>
bool WalkOptions(Bytes options, See see) {
  while (!options.empty()) {
    if (options.size() < 8) return false;
    const uint32_t length = options[1] * 8u;
    if (length == 0 || length > options.size()) return false;
    see(options[0], length);
    options = options.subspan(length);
  }
  return true;
}

// Options allowed for the type. An unknown option could carry anything in clear.
bool MayCarry(uint16_t type, uint8_t option, uint32_t length) {
  if (type == kRouterAdvertisement) {
    return std::find(kOfRouters.begin(), kOfRouters.end(), option) != kOfRouters.end();
  }
  if (type == kRedirect && option == kRedirectedHeader) return true;
  return length == 8 && (option == kSourceLink || option == kTargetLink || option == kNonce);
}

IpAddress TargetOf(Bytes message) {
  IpAddress target;
  std::copy_n(message.begin() + 8, 16, target.bytes.begin());
  return target;
}

// True if the solicited-node group belongs to the target (RFC 4291, section 2.7.1).
bool IsSolicitedNode(const IpAddress& group, const IpAddress& target) {
  constexpr std::array<uint8_t, 13> kPrefix = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  return std::equal(kPrefix.begin(), kPrefix.end(), group.bytes.begin()) &&
         std::equal(group.bytes.begin() + 13, group.bytes.end(), target.bytes.begin() + 13);
}

// Checks the destination for a message of the type (RFC 4861, sections 4.1 and 4.3).
bool GoesWhereItMay(uint16_t type, const FlowKey& flow, Bytes message) {
  if (type == kRouterSolicitation) {
    return IsLinkLocal(flow.daddr) || IsMulticastOrBroadcast(flow.daddr, IpFamily::kV6);
  }
  if (type != kNeighbourSolicitation) return true;
  const IpAddress target = TargetOf(message);
  return flow.daddr == target || IsSolicitedNode(flow.daddr, target);
}

// True if a version 2 report lists exactly as many groups as it declares and they fill it.
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
  if (!GoesWhereItMay(type, ip.flow, message)) return false;
  bool known = true;
  const bool fit = WalkOptions(message.subspan(fixed), [&](uint8_t option, uint32_t length) {
    known = known && MayCarry(type, option, length);
  });
  return fit && known;
}

bool QuotesPacket(const IpPacketView& ip, Bytes l3) {
  if (ip.flow.sport != kRedirect) return false;
  bool quotes = false;
  const Bytes message = Message(ip, l3);
  const bool fits =
      message.size() >= FixedPart(kRedirect) &&
      WalkOptions(message.subspan(FixedPart(kRedirect)), [&](uint8_t option, uint32_t) {
        quotes = quotes || option == kRedirectedHeader;
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
