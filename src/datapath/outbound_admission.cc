#include "datapath/outbound_admission.h"

#include <algorithm>
#include <array>
#include <utility>

#include "datapath/flow_decision.h"
#include "datapath/path_mtu.h"
#include "device/segment.h"
#include "esp/size.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// Length of the headers that stay in front of ESP in transport mode.
uint32_t OutsideLength(const IpPacketView& ip) {
  return ip.flow.family == IpFamily::kV4 ? ip.ip_header_length : ip.esp_offset_v6;
}

// The place that a packet in clear came back from: the handle, and the interface in a field that
// only built packets use.
void NoteReturn(OffloadHandle handle, uint8_t interface, Packet* packet) {
  packet->offload = OffloadMeta{.handle = handle, .esn_high = interface + 1u};
}
bool CameBack(const Packet& packet) { return packet.offload.esn_high != 0; }

}  // namespace

void OutboundAdmission::EndBatch() {
  next_->Flush();
  AnswerToHost();
}

void OutboundAdmission::RunTimers() {
  if (!reassembler_.Idle()) reassembler_.Expire(ctx_->now_ms);
  const uint64_t generation = ctx_->path->generation();
  RetryHeld(&back_, generation);  // they have waited for less than an SA takes to make
  RetryHeld(&for_hop_, ctx_->path->next_hops());
  RetryHeld(&hold_, generation);
}

// A change after RunTimers and before the bell was armed rang nobody.
std::optional<uint64_t> OutboundAdmission::NextTimerMs() const {
  const uint64_t generation = ctx_->path->generation();
  const std::array waits = {hold_.NextDueMs(generation), back_.NextDueMs(generation),
                            for_hop_.NextDueMs(ctx_->path->next_hops())};
  std::optional<uint64_t> first;
  for (const auto& due : waits) {
    if (due.has_value()) first = std::min(first.value_or(*due), *due);
  }
  return first;
}

void OutboundAdmission::RetryHeld(HoldQueue* queue, uint64_t generation) {
  if (queue->Idle()) return;
  BeginBatch();
  queue->Retry(ctx_->now_ms, generation, [&](Packet* packet) { AdmitNext(packet); });
  EndBatch();
}

void OutboundAdmission::BeginNextIfOther(const Packet& packet) {
  if (packet.interface == batch_interface_ && packet.tunnel == batch_tunnel_ &&
      packet.inside == batch_inside_) {
    return;
  }
  EndBatch();
  BeginBatch();
  batch_interface_ = packet.interface;
  batch_tunnel_ = static_cast<uint16_t>(packet.tunnel);
  batch_inside_ = packet.inside;
}

// Policy decides anew, because it or the SA's place may have changed.
void OutboundAdmission::AdmitAgain(uint8_t interface, PacketBatch* returned) {
  BeginBatch();
  for (Packet* packet : returned->packets()) {
    NoteReturn(packet->offload.handle, interface, packet);
    AdmitNext(packet);
  }
  returned->ReleaseAll();
  EndBatch();
}

// Step 2. Parses the packet directly into its place in the batch.
void OutboundAdmission::Admit(Packet* packet) {
  OutboundItem* item = next_->Claim();
  const Frame frame = ParseFrame(packet->bytes(), &item->view);
  if (frame.kind == FrameKind::kTooShort) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  packet->l3_offset = frame.type.l3_offset;
  packet->protection = Protection::kNone;
  if (frame.kind == FrameKind::kOther) {
    AdmitOther(frame.type, packet);
    return;
  }
  if (frame.kind == FrameKind::kBadIp) {
    ctx_->sink.Drop(packet, DropReason::kOutBadPacket);
    return;
  }
  if (packet->inside != 0 && !CameBack(*packet)) {
    const DropReason reason = EnterFromInside(packet, item->view);
    if (reason != DropReason::kNone) {
      ctx_->sink.Drop(packet, reason);
      return;
    }
  }
  if (packet->tunnel != 0 && !SetTunnelOf(*ctx_->path, *packet, &item->view.flow)) {
    ctx_->sink.Drop(packet, DropReason::kPortDown);
    return;
  }
  // Policy does not check bytes after the packet's end, so they are cut off.
  packet->TrimTo(packet->l3_offset + item->view.total_length);
  if (item->view.fragment) {
    AdmitFragment(item, packet);
  } else {
    AdmitIp(item, packet);
  }
}

// A frame that is not IP passes in clear or not at all.
void OutboundAdmission::AdmitOther(const EtherTypeView& type, Packet* packet) {
  if (!ctx_->path->pass_ether_types.MayPass(type, packet->bytes())) {
    ctx_->sink.Drop(packet, DropReason::kOutEtherType);
    return;
  }
  if (type.type == kEtherTypeArp) packet->TrimTo(type.l3_offset + kArpLength);
  next_->Add(packet, IpPacketView{}, SaChain{});
}

void OutboundAdmission::AdmitFragment(OutboundItem* item, Packet* packet) {
  IpPacketView* ip = &item->view;
  const uint8_t interface = packet->interface;
  const auto tunnel = static_cast<uint16_t>(packet->tunnel);
  if (NeedsWholeDatagram(*ctx_->path, *ip, ctx_->path->interfaces[interface].ifindex)) {
    // Networks behind different tunnels may have the same addresses.
    packet = reassembler_.Add(packet, *ip, ctx_->now_ms, tunnel);
    if (packet == nullptr) return;
    packet->interface = interface;  // of the last fragment to arrive
    packet->SetTunnel(tunnel);
    const FlowKey of_piece = ip->flow;
    CYGNET_CHECK(ParseIpPacket(packet->l3(), ip));  // guaranteed by the reassembler
    ip->flow.SetTunnel(of_piece.if_id, of_piece.mark);
    ip->dont_fragment = false;  // its source has already cut it
  } else if (ip->flow.family == IpFamily::kV6 &&
             ctx_->path->host_addresses().Contains(ip->flow.saddr, ip->flow.family)) {
    ip->dont_fragment = false;  // this host has cut it, so the outer packet may be cut too
  }
  AdmitIp(item, packet);
}

// Steps 3 and 4 for the packet that item->view describes.
void OutboundAdmission::AdmitIp(OutboundItem* item, Packet* packet) {
  const uint8_t interface = packet->interface;
  const bool of_inside = packet->inside != 0;
  const bool forwarded_now = of_inside && !CameBack(*packet);
  const FlowDecision& decision = decider_.Outbound(interface, item->view, packet->l3());
  decision.CountUse(ctx_->now);
  if (decision.acquire || WantsOwnNow(decision)) Acquire(decision, interface, item->view.flow);
  packet->protection = decision.chain.size == 0 ? Protection::kClear : Protection::kNone;
  packet->proof = decision.stamp;
  if (decision.action == FlowAction::kDrop) {
    HoldOrDrop(packet, item->view, decision);
  } else if (of_inside && decision.chain.size == 0) {
    ctx_->sink.Drop(packet, DropReason::kOutInsidePolicy);
  } else if (CameBack(*packet) && WaitsForMove(packet, decision)) {
    return;
  } else if (packet->enclosed() && WaitsForNextHop(packet, item->view, decision.chain)) {
    return;
  } else if (LeavesWhole(*packet, item->view, decision.chain)) {
    item->Begin(packet, decision.chain);
    next_->Commit();
  } else if (packet->gso_type != GsoType::kNone) {
    AdmitSegments(packet, item->view, decision.chain);
  } else if (packet->csum_partial && !FinishChecksum(packet)) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
  } else if (FitsOrNotifySender(packet, item->view, item->view.total_length, decision.chain)) {
    if (forwarded_now) LowerHopLimit(packet->l3().data());
    NoteSource(*packet, item->view, decision.chain);
    item->Begin(packet, decision.chain);
    next_->Commit();
  }
}

bool OutboundAdmission::WantsOwnNow(const FlowDecision& decision) {
  return decision.wants_own && own_sa_wishes_.MayAsk(decision.policy->number, ctx_->now);
}

void OutboundAdmission::Acquire(const FlowDecision& decision, uint8_t interface,
                                const FlowKey& flow) {
  ctx_->Report({.kind = DataPathEvent::Kind::kAcquire,
                .interface = interface,
                .policy_number = decision.policy->number,
                .flow = flow,
                .cpu = ctx_->cpu});
}

// With larval_drop 0, a packet waits for the SA that key management was just asked to create.
void OutboundAdmission::HoldOrDrop(Packet* packet, const IpPacketView& ip,
                                   const FlowDecision& decision) {
  if (!decision.acquire || !ctx_->path->hold_larval.load(std::memory_order_relaxed)) {
    if (packet->tunnel != 0) CountUnprotected(*packet, ip);
    ctx_->sink.Drop(packet, decision.reason);
  } else if (!hold_.Hold(packet, decision.policy->number, ctx_->now_ms)) {
    ctx_->sink.Drop(packet, DropReason::kOutHoldFull);
  }
}

void OutboundAdmission::CountUnprotected(const Packet& packet, const IpPacketView& ip) {
  if (Tunnel* tunnel = ctx_->path->tunnels.at(static_cast<uint16_t>(packet.tunnel))) {
    tunnel->unprotected.fetch_add(1, std::memory_order_relaxed);
  }
  AnswerUnreachable(packet, ip);
}

// Packets of tunnel and inside interfaces have no Ethernet header of the host that names a
// neighbour. As in the kernel (neigh_resolve_output), the packets wait while it asks, and the
// sender is told when nobody has answered. False: the next hop is known.
bool OutboundAdmission::WaitsForNextHop(Packet* packet, const IpPacketView& ip,
                                        const SaChain& chain) {
  const OutboundSa* sa = AddressingSa(chain);
  if (sa == nullptr) return false;
  const uint64_t number = sa->sa->number;
  const bool others = for_hop_.Holds(number);  // none overtakes those that wait
  MacAddress mac;
  uint8_t interface;
  if (!others && sa->next_hop.Get(&mac, &interface)) return false;
  if (for_hop_.IsLastRetry(number)) {
    AnswerUnreachable(*packet, ip);
    ctx_->sink.Drop(packet, DropReason::kOutNoNextHop);
    return true;
  }
  if (!for_hop_.Hold(packet, number, ctx_->now_ms)) {
    ctx_->sink.Drop(packet, DropReason::kOutHoldFull);
  } else if (!others) {
    ctx_->Report({.kind = DataPathEvent::Kind::kNoNextHop, .sa_number = number});
  }
  return true;
}

// A device that is down, or that the SA is leaving, would hand the packet back again and again.
// False: the packet goes another way now.
bool OutboundAdmission::WaitsForMove(Packet* packet, const FlowDecision& decision) {
  const OffloadMeta back = std::exchange(packet->offload, OffloadMeta{});
  const auto interface = static_cast<uint8_t>(back.esn_high - 1);
  if (decision.chain.size != 1) return false;
  const SaBinding* now = decision.chain.sas[0]->binding.load(std::memory_order_acquire);
  if (now == nullptr || !now->device_numbers() || now->handle != back.handle ||
      now->device() != ctx_->path->interfaces[interface].offload) {
    return false;
  }
  NoteReturn(back.handle, interface, packet);
  if (!back_.Hold(packet, decision.policy->number, ctx_->now_ms)) {
    ctx_->sink.Drop(packet, DropReason::kOutHoldFull);
  }
  return true;
}

// In clear, through a wire that takes super-packets. One that does not fit in segments is cut here,
// so that the port or a fragmenter sees what does not fit.
bool OutboundAdmission::LeavesWhole(const Packet& packet, const IpPacketView& ip,
                                    const SaChain& chain) const {
  if (packet.gso_type == GsoType::kNone || chain.size != 0 || packet.enclosed()) return false;
  const Interface& out = ctx_->path->interfaces[packet.interface];
  Segmenter segmenter;
  return out.whole && segmenter.Begin(packet, ip) && segmenter.LargestSegment() <= out.wire->mtu();
}

// A super-packet is decided once and cut here. `ip` is a copy, because the first segment overwrites
// the place where the super-packet was parsed.
void OutboundAdmission::AdmitSegments(Packet* packet, IpPacketView ip, const SaChain& chain) {
  Segmenter segmenter;
  if (!segmenter.Begin(*packet, ip)) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  if (!FitsOrNotifySender(packet, ip, segmenter.LargestSegment(), chain)) return;
  while (!segmenter.Done()) {
    IpPacketView view;
    Packet* segment = segmenter.Next(&ctx_->caches, &view);
    if (segment == nullptr) {
      ctx_->sink.Drop(packet, DropReason::kNoBuffers);
      return;
    }
    next_->Add(segment, view, chain);
  }
  ctx_->sink.Recycle(packet);
}

// Step 4. A packet that is too big leaves in fragments of the outer packet if that is allowed.
// Otherwise its sender is notified (RFC 4301 section 8.2.1). Returns false if the packet was
// dropped.
bool OutboundAdmission::FitsOrNotifySender(Packet* packet, const IpPacketView& ip, uint32_t length,
                                           const SaChain& chain) {
  // Without transforms, the port decides.
  if (chain.size == 0) return true;
  // A packet that this host has cut is sent in any case. The error makes the host send smaller
  // pieces, which need no second cut.
  const bool must_fit = ip.dont_fragment;
  const bool worth_telling = ip.flow.family == IpFamily::kV6 && ip.fragment;
  if ((!must_fit && !worth_telling) || fits_.Covers(chain, length)) return true;
  const uint32_t mtu = InnerMtu(packet->interface, ip, chain);
  if (length <= mtu) {
    fits_.Learn(chain, length);
    return true;
  }
  // No IPv6 sender goes below the minimum MTU, so such a packet leaves in fragments.
  if (ip.flow.family == IpFamily::kV6 && length <= kMinIpv6Mtu) return true;
  NotifySender(*packet, ip, mtu);
  if (!must_fit) return true;
  chain.sas[0]->sa->CountDrop(DropReason::kOutTooBig);
  ctx_->sink.Drop(packet, DropReason::kOutTooBig);
  return false;
}

// The largest IP packet that fits into the chain, computed from the outermost transform inwards.
uint32_t OutboundAdmission::InnerMtu(uint8_t interface, const IpPacketView& ip,
                                     const SaChain& chain) const {
  uint32_t mtu = ctx_->path->interfaces[interface].wire->mtu();
  for (uint32_t i = chain.size; i-- > 0;) {
    mtu = EffectivePathMtu(*chain.sas[i], mtu, ctx_->now);
    // The preceding transform writes a plain IP header without options.
    const uint32_t outside = i == 0                                      ? OutsideLength(ip)
                             : chain.sas[i - 1]->family == IpFamily::kV4 ? 20u
                                                                         : 40u;
    mtu = esp::InnerMtu(*chain.sas[i], mtu, outside);
  }
  return mtu;
}

}  // namespace cygnet
