// ParseFrame: what a frame carries. Here alone the frame's type is compared with the IP version of
// the packet behind it: a packet whose two statements differ is bad.
#pragma once

#include "net/ethernet.h"
#include "net/flow_key.h"

namespace cygnet {

enum class FrameKind : uint8_t {
  kTooShort,  // ends before its type
  kOther,     // not IP; EtherTypes says what may pass
  kIp,
  kBadIp,  // its type says IP, but what lies there is not a whole packet of that version
};

struct Frame {
  FrameKind kind = FrameKind::kTooShort;
  EtherTypeView type;  // unless kTooShort
  bool IsIp() const { return kind == FrameKind::kIp || kind == FrameKind::kBadIp; }
};

// Parses the packet of a frame of type `type`, which begins at l3[0]. False: kBadIp. `ip` is only
// to be used on true. REQUIRES: type.IsIp().
inline bool ParseIpOf(const EtherTypeView& type, std::span<const uint8_t> l3, IpPacketView* ip) {
  return ParseIpPacket(l3, ip) &&
         (type.type == kEtherTypeIpv4) == (ip->flow.family == IpFamily::kV4);
}

// VLAN tags are stepped over. `ip` is only to be used when the kind is kIp.
inline Frame ParseFrame(std::span<const uint8_t> bytes, IpPacketView* ip) {
  const auto type = ParseEtherType(bytes);
  if (!type) return {};
  if (!type->IsIp()) return {FrameKind::kOther, *type};
  const bool good = ParseIpOf(*type, bytes.subspan(type->l3_offset), ip);
  return {good ? FrameKind::kIp : FrameKind::kBadIp, *type};
}

}  // namespace cygnet
