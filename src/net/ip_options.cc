#include "net/ip_options.h"

#include <utility>

namespace cygnet {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint8_t kEnd = 0;
constexpr uint8_t kNop = 1;
constexpr uint8_t kRecordRoute = 7;
constexpr uint8_t kTimestamp = 68;
constexpr uint8_t kLooseSourceRoute = 131;
constexpr uint8_t kStrictSourceRoute = 137;

constexpr uint8_t kPad1 = 0;
constexpr uint8_t kRoutingSource = 0;
constexpr uint8_t kRoutingHome = 2;
constexpr uint8_t kRoutingRpl = 3;
constexpr uint8_t kRoutingSegments = 4;

// One option with a length, checked as in ip_options_compile.
bool RefusedV4(Bytes option) {
  switch (option[0]) {
    case kLooseSourceRoute:
    case kStrictSourceRoute:
      return true;
    case kRecordRoute:
      return option.size() < 3 || option[2] < 4 ||
             (option[2] <= option.size() && option[2] + 3u > option.size());
    case kTimestamp:
      return option.size() < 4 || option[2] < 5 ||
             (option[2] <= option.size() && option[2] + 3u > option.size());
    default:
      return false;
  }
}

// Calls fn(option) for each option with a length, while that returns true. False: an option does
// not fit.
template <typename Fn>
bool ForEachOptionV4(Bytes options, Fn fn) {
  while (!options.empty() && options[0] != kEnd) {
    if (options[0] == kNop) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return false;
    if (!fn(options.first(options[1]))) return true;
    options = options.subspan(options[1]);
  }
  return true;
}

bool RefusedOptionsV4(Bytes options) {
  bool refused = false;
  const bool fit = ForEachOptionV4(options, [&refused](Bytes option) {
    refused = RefusedV4(option);
    return !refused;
  });
  return refused || !fit;
}

// RFC 791, section 3.1: the pointer counts from 1 and is beyond the option at the end of the way.
FurtherWay FurtherWayV4(Bytes options) {
  FurtherWay way;
  const bool fit = ForEachOptionV4(options, [&way](Bytes option) {
    constexpr std::size_t kFixed = 3, kAddress = 4;
    if (option[0] != kLooseSourceRoute && option[0] != kStrictSourceRoute) return true;
    if (option.size() >= kFixed && option[2] > option.size()) return true;
    way.left = true;
    if (option.size() >= kFixed + kAddress) {
      way.final_one = IpAddress::V4(option.last(kAddress).data());
    }
    return false;
  });
  return fit ? way : FurtherWay{.left = true};  // what is behind does not show
}

// `header`: a whole header of options.
bool MalformedOptionsV6(Bytes header) {
  Bytes options = header.subspan(2);
  while (!options.empty()) {
    if (options[0] == kPad1) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] + 2u > options.size()) return true;
    options = options.subspan(options[1] + 2u);
  }
  return false;
}

bool RefusedRouting(Bytes header) {
  const bool somewhere_left = header[3] != 0;
  return somewhere_left || header[2] == kRoutingRpl || header[2] == kRoutingSegments;
}

// Calls fn(type, header) for each extension header, while that returns true. REQUIRES: the parser
// has checked the headers' lengths.
template <typename Fn>
void ForEachHeaderV6(const IpPacketView& ip, Bytes l3, Fn fn) {
  uint8_t type = l3[6];
  for (uint32_t at = 40; at < ip.header_length;) {
    const uint32_t length = type == kProtoFragment ? 8u : (uint32_t{l3[at + 1]} + 1) * 8;
    const Bytes header = l3.subspan(at, length);
    if (!fn(type, header)) return;
    type = header[0];
    at += length;
  }
}

bool RefusedHeadersV6(const IpPacketView& ip, Bytes l3, Addressee addressee) {
  bool refused = false;
  ForEachHeaderV6(ip, l3, [&](uint8_t type, Bytes header) {
    const bool asked = addressee == Addressee::kHost || type == kProtoHopByHop;
    const bool options = type == kProtoHopByHop || type == kProtoDestOpts;
    refused = asked && ((type == kProtoRouting && RefusedRouting(header)) ||
                        (options && MalformedOptionsV6(header)));
    return !refused;
  });
  return refused;
}

// What a routing header names last. nullopt: it does not fit, or is of a kind that names it in
// another way (RPL leaves bytes out).
std::optional<IpAddress> LastOf(Bytes routing) {
  constexpr std::size_t kFixed = 8, kAddress = 16;
  if (routing.size() < kFixed + kAddress) return std::nullopt;
  switch (routing[2]) {
    case kRoutingSegments:  // RFC 8754, section 2: the last segment comes first
      return IpAddress::V6(routing.data() + kFixed);
    case kRoutingSource:
    case kRoutingHome:
      if ((routing.size() - kFixed) % kAddress != 0) return std::nullopt;
      return IpAddress::V6(routing.last(kAddress).data());
    default:
      return std::nullopt;
  }
}

}  // namespace

FurtherWay FurtherWayOf(const IpPacketView& ip, Bytes l3) {
  FurtherWay way;
  if (!ip.has_options) return way;
  if (ip.flow.family == IpFamily::kV4) {
    return FurtherWayV4(l3.subspan(20, ip.ip_header_length - 20u));
  }
  ForEachHeaderV6(ip, l3, [&way](uint8_t type, Bytes header) {
    if (type != kProtoRouting || header[3] == 0) return true;
    way.final_one = LastOf(header);
    const bool second = std::exchange(way.left, true);
    if (second) way.final_one.reset();  // no sender has two
    return !second;
  });
  return way;
}

bool HasRefusedOptions(const IpPacketView& ip, Bytes l3, Addressee addressee) {
  if (!ip.has_options) return false;
  if (ip.flow.family == IpFamily::kV4) {
    return RefusedOptionsV4(l3.subspan(20, ip.ip_header_length - 20u));
  }
  return RefusedHeadersV6(ip, l3, addressee);
}

}  // namespace cygnet
