// Which batches, packets and flows are for the straight ways (outbound_straight.h,
// inbound_straight.h).
#pragma once

#include <atomic>
#include <cstdint>

#include "base/endian.h"
#include "datapath/always_passes.h"
#include "datapath/data_path.h"
#include "datapath/flow_cache.h"
#include "esp/finish.h"
#include "net/ethernet.h"
#include "net/flow_key.h"
#include "net/ip_protocol.h"
#include "packet/packet.h"

namespace cygnet {

// While a capture shows both sides of a link, the general way has more to do.
inline bool MayGoStraight(const DataPath& path, uint32_t packets) {
  return packets >= path.straight_from && path.inner_readers.load(std::memory_order_relaxed) == 0;
}

// Length of the IP packet of a frame without VLAN, if it is IPv4 without options, whole, and no
// super-packet; otherwise 0.
inline uint32_t PlainFrameLength(const Packet& packet) {
  const uint8_t* frame = packet.data();
  if (packet.length < kEthernetHeader || packet.gso_type != GsoType::kNone ||
      LoadBe16(frame + kEthernetHeader - 2) != kEtherTypeIpv4) {
    return 0;
  }
  return PlainV4Length({frame + kEthernetHeader, packet.length - kEthernetHeader});
}

// Outbound: length of the IP packet, if it is TCP or UDP in IPv4 without options or VLAN, whole,
// not for a tunnel interface, and new (not back from a device); otherwise 0.
inline uint32_t StraightLength(const Packet& packet) {
  const uint32_t length = PlainFrameLength(packet);
  const uint8_t* ip = packet.data() + kEthernetHeader;
  const bool plain = length != 0 && (ip[9] == kProtoTcp || ip[9] == kProtoUdp) &&
                     packet.tunnel == 0 && packet.offload.esn_high == 0;
  return plain ? length : 0;
}

// Outbound SAs of this kind go the straight way while the CPU alone does their cryptography and no
// limit is near.
inline bool IsStraightKind(const OutboundSa& sa) {
  return (sa.mode == SaMode::kTunnel || sa.mode == SaMode::kTransport) && sa.tfc_pad == 0 &&
         !esp::NeedsUdpChecksum(sa);
}

// True if packets of the flow with this decision go the straight way: one SA protects them, and
// there is nothing to ask key management.
inline bool GoesStraight(const FlowKey& flow, const FlowDecision& decision) {
  return decision.action == FlowAction::kProtect && !decision.acquire && !decision.wants_own &&
         decision.chain.size == 1 && IsStraightKind(*decision.chain.sas[0]) && !MayAlwaysPass(flow);
}

}  // namespace cygnet
