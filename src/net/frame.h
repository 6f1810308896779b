// ParseFrame: what a frame carries. It is the only place that compares the frame's type with the IP
// version of its packet; a packet whose version does not match is bad.
#pragma once

#include "net/ethernet.h"
#include "net/flow_key.h"

namespace cygnet {

enum class FrameKind : uint8_t {
  kTooShort,  // ends before its type
  kOther,     // not IP; EtherTypes says what may pass
  kIp,
  kBadIp,  // the type says IP, but no whole packet of that version follows
};

struct Frame {
  FrameKind kind = FrameKind::kTooShort;
  EtherTypeView type;  // valid unless kTooShort
  bool IsIp() const { return kind == FrameKind::kIp || kind == FrameKind::kBadIp; }
};

// Parses the packet of a frame of type `type`; it starts at l3[0]. False means kBadIp, and `ip` is
// not valid. REQUIRES: type.IsIp().
inline bool ParseIpOf(const EtherTypeView& type, std::span<const uint8_t> l3, IpPacketView* ip) {
  return ParseIpPacket(l3, ip) &&
         (type.type == kEtherTypeIpv4) == (ip->flow.family == IpFamily::kV4);
}

// Skips VLAN tags. `ip` is valid only if the kind is kIp.
inline Frame ParseFrame(std::span<const uint8_t> bytes, IpPacketView* ip) {
  const auto type = ParseEtherType(bytes);
  if (!type) return {};
  if (!type->IsIp()) return {FrameKind::kOther, *type};
  const bool good = ParseIpOf(*type, bytes.subspan(type->l3_offset), ip);
  return {good ? FrameKind::kIp : FrameKind::kBadIp, *type};
}

}  // namespace cygnet
