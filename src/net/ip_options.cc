#include "net/ip_options.h"

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

bool RefusedOptionsV4(Bytes options) {
  while (!options.empty() && options[0] != kEnd) {
    if (options[0] == kNop) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return true;
    if (RefusedV4(options.first(options[1]))) return true;
    options = options.subspan(options[1]);
  }
  return false;
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

// REQUIRES: the parser has checked the headers' lengths.
bool RefusedHeadersV6(const IpPacketView& ip, Bytes l3, Addressee addressee) {
  uint8_t type = l3[6];
  for (uint32_t at = 40; at < ip.header_length;) {
    const uint32_t length = type == kProtoFragment ? 8u : (uint32_t{l3[at + 1]} + 1) * 8;
    const Bytes header = l3.subspan(at, length);
    const bool asked = addressee == Addressee::kHost || type == kProtoHopByHop;
    if (asked && type == kProtoRouting && RefusedRouting(header)) return true;
    if (asked && (type == kProtoHopByHop || type == kProtoDestOpts) && MalformedOptionsV6(header)) {
      return true;
    }
    type = header[0];
    at += length;
  }
  return false;
}

}  // namespace

bool HasRefusedOptions(const IpPacketView& ip, Bytes l3, Addressee addressee) {
  if (!ip.has_options) return false;
  if (ip.flow.family == IpFamily::kV4) {
    return RefusedOptionsV4(l3.subspan(20, ip.ip_header_length - 20u));
  }
  return RefusedHeadersV6(ip, l3, addressee);
}

}  // namespace cygnet
