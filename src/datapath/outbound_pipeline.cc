#include "datapath/outbound_pipeline.h"

#include <cstring>

#include "datapath/flow_decision.h"
#include "datapath/icmp_error.h"
#include "esp/encapsulate.h"

namespace cygnet {
namespace {

// What stays in front of ESP in transport mode.
uint32_t OutsideLength(const IpPacketView& ip) {
  return ip.flow.family == IpFamily::kV4 ? ip.ip_header_length : ip.esp_offset_v6;
}

}  // namespace

void OutboundPipeline::Run(uint8_t interface, PacketBatch* in) {
  interface_ = interface;
  for (Packet* packet : in->packets()) {
    packet->interface = interface;
    Admit(packet);
  }
  in->ReleaseAll();
  Flush();
  if (!to_host_.empty()) {
    ctx_->path->interfaces[interface].host->Transmit(ctx_->number, &to_host_, &ctx_->sink);
  }
}

// Steps 2 and 3.
void OutboundPipeline::Admit(Packet* packet) {
  const auto type = ParseEtherType(packet->bytes());
  if (!type) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  packet->l3_offset = type->l3_offset;
  if (!type->IsIp()) {  // ARP and what else is not IP
    Add(packet, IpPacketView{}, nullptr);
    return;
  }
  const auto ip = ParseIpPacket(packet->l3());
  if (!ip || (type->type == kEtherTypeIpv4) != (ip->flow.family == IpFamily::kV4)) {
    ctx_->sink.Drop(packet, DropReason::kOutBadPacket);
    return;
  }
  const FlowDecision decision = Decide(*ip, packet->l3());
  if (decision.policy != nullptr) decision.policy->Touch(ctx_->now);
  if (decision.acquire) Acquire(decision, ip->flow);
  if (decision.action == FlowAction::kDrop) {
    ctx_->sink.Drop(packet, decision.reason);
    return;
  }
  OutboundSa* sa = decision.action == FlowAction::kProtect ? decision.sa : nullptr;
  if (packet->gso_type != GsoType::kNone) {
    AdmitSegments(packet, *ip, sa);
  } else if (!FinishChecksum(packet)) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
  } else if (FitsOrTellSender(packet, *ip, ip->total_length, sa)) {
    Add(packet, *ip, sa);
  }
}

FlowDecision OutboundPipeline::Decide(const IpPacketView& ip, std::span<const uint8_t> l3) {
  // First, because it depends on more than the flow (ESP in UDP and IKE share theirs).
  if (AlwaysPasses(*ctx_->path, PolicyDirection::kOut, ip, l3)) {
    return {.action = FlowAction::kBypass};
  }
  const uint64_t generation = ctx_->path->generation();
  // Port 0 of a whole packet is a port; that of a later fragment is none.
  const uint64_t tag = interface_ | (ip.later_fragment ? 0x100u : 0u);
  if (const FlowDecision* known = cache_.Find(ip.flow, tag, generation)) return *known;
  const int32_t ifindex = ctx_->path->interfaces[interface_].ifindex;
  const FlowDecision decision = DecideOutbound(*ctx_->path, ip, ifindex);
  if (!decision.acquire) cache_.Store(ip.flow, tag, generation, decision);
  return decision;
}

void OutboundPipeline::Acquire(const FlowDecision& decision, const FlowKey& flow) {
  ctx_->Report({.kind = DataPathEvent::Kind::kAcquire,
                .interface = interface_,
                .policy_number = decision.policy->number,
                .flow = flow});
}

// The largest IP packet that may go out in clear, or into this SA, by this interface.
bool OutboundPipeline::FitsOrTellSender(Packet* packet, const IpPacketView& ip, uint32_t length,
                                        OutboundSa* sa) {
  if (sa == nullptr) return true;  // the port has the last word
  const uint32_t path_mtu = ctx_->path->interfaces[interface_].wire->mtu();
  const uint32_t mtu = esp::InnerMtu(*sa, path_mtu, OutsideLength(ip));
  if (length <= mtu) return true;
  if (ip.dont_fragment && !to_host_.full()) {
    if (Packet* answer = MakePacketTooBig(*packet, ip, mtu, &ctx_->caches.small)) {
      to_host_.Push(answer);
    }
  }
  sa->sa->CountDrop(DropReason::kOutTooBig);
  ctx_->sink.Drop(packet, DropReason::kOutTooBig);
  return false;
}

void OutboundPipeline::AdmitSegments(Packet* packet, const IpPacketView& ip, OutboundSa* sa) {
  Segmenter segmenter;
  if (!segmenter.Begin(*packet, ip)) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  if (!FitsOrTellSender(packet, ip, segmenter.LargestSegment(), sa)) return;
  while (!segmenter.Done()) {
    IpPacketView view;
    Packet* segment = segmenter.Next(&ctx_->caches.small, &view);
    if (segment == nullptr) {
      ctx_->sink.Drop(packet, DropReason::kNoBuffers);
      return;
    }
    Add(segment, view, sa);
  }
  ctx_->sink.Recycle(packet);
}

void OutboundPipeline::Add(Packet* packet, const IpPacketView& ip, OutboundSa* sa) {
  if (size_ == kMaxBatch) Flush();
  packets_[size_] = packet;
  views_[size_] = ip;
  sas_[size_] = sa;
  verdicts_[size_] = DropReason::kNone;
  egress_[size_] = interface_;
  ++size_;
}

void OutboundPipeline::Refuse(uint32_t begin, uint32_t end, DropReason reason) {
  for (uint32_t i = begin; i < end; ++i) verdicts_[i] = reason;
}

// Steps 4 – 8 for what has gathered.
void OutboundPipeline::Flush() {
  if (size_ == 0) return;
  jobs_.size = 0;
  for (uint32_t begin = 0; begin < size_;) {
    uint32_t end = begin + 1;
    while (end < size_ && sas_[end] == sas_[begin]) ++end;
    if (sas_[begin] != nullptr) BeginRun(begin, end);
    begin = end;
  }
  if (jobs_.size > 0) {
    ctx_->SubmitAll({jobs_.jobs.data(), jobs_.size});
    CompleteOutboundJobs(jobs_, packets_, verdicts_);
  }
  TransmitAll();
  size_ = 0;
}

// Steps 4 – 6 for packets [begin, end), all of one SA.
void OutboundPipeline::BeginRun(uint32_t begin, uint32_t end) {
  OutboundSa* sa = sas_[begin];
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  if (!sa->sa->usable() || binding == nullptr) {
    Refuse(begin, end, DropReason::kOutStateInvalid);
    return;
  }
  uint64_t first_seq = 0;
  ChargeAndReserve(sa, begin, end, &first_seq);
  const uint8_t egress = WriteNextHop(*sa, begin, end);
  const uint32_t n = end - begin;
  OpsOf(binding->path)
      .prepare_outbound({.sa = *sa,
                         .binding = *binding,
                         .egress = ctx_->path->interfaces[egress].offload,
                         .first_seq = first_seq,
                         .path_mtu = ctx_->path->interfaces[egress].wire->mtu(),
                         .first_index = static_cast<uint16_t>(begin),
                         .packets = {packets_.data() + begin, n},
                         .views = {views_.data() + begin, n},
                         .verdicts = {verdicts_.data() + begin, n},
                         .jobs = &jobs_});
}

// Step 5. Bytes are those of the payload before ESP: the inner packet of a tunnel, what follows the
// IP header in transport mode.
void OutboundPipeline::ChargeAndReserve(OutboundSa* sa, uint32_t begin, uint32_t end,
                                        uint64_t* first_seq) {
  const uint32_t n = end - begin;
  for (uint32_t i = 0; i < n; ++i) {
    const IpPacketView& ip = views_[begin + i];
    charged_[i] = ip.total_length - (sa->mode == SaMode::kTunnel ? 0 : OutsideLength(ip));
  }
  const auto charge = sa->sa->lifetime().Charge({charged_.data(), n}, ctx_->now);
  if (charge.soft_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kSoftLimit, .sa_number = sa->sa->number});
  }
  if (charge.hard_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kHardLimit, .sa_number = sa->sa->number});
    Refuse(begin + charge.allowed, end, DropReason::kOutStateExpired);
  }
  const SequenceRange range = sa->sequence.Reserve(charge.allowed);
  *first_seq = range.first;
  if (range.count < charge.allowed) {
    ctx_->Report({.kind = DataPathEvent::Kind::kSequenceExhausted, .sa_number = sa->sa->number});
    Refuse(begin + range.count, begin + charge.allowed, DropReason::kOutSequence);
  }
}

// Tunnel mode: the outer packet goes where the kernel's tables say; until they say, where the inner
// packet was going.
uint8_t OutboundPipeline::WriteNextHop(const OutboundSa& sa, uint32_t begin, uint32_t end) {
  MacAddress mac;
  uint8_t egress = interface_;
  // Read once for the run: control may change it at any time, and the run has one way out.
  if (sa.mode != SaMode::kTunnel || !sa.next_hop.Get(&mac, &egress)) return interface_;
  if (egress >= ctx_->path->interfaces.size()) egress = interface_;
  const MacAddress own = ctx_->path->interfaces[egress].wire->mac();
  for (uint32_t i = begin; i < end; ++i) {
    std::memcpy(packets_[i]->data(), mac.data(), mac.size());
    std::memcpy(packets_[i]->data() + 6, own.data(), own.size());
    egress_[i] = egress;
  }
  return egress;
}

// Step 8, in the order the packets came, one burst per interface.
void OutboundPipeline::TransmitAll() {
  const std::size_t interfaces = ctx_->path->interfaces.size();
  for (std::size_t out = 0; out < interfaces; ++out) {
    PacketBatch batch;
    for (uint32_t i = 0; i < size_; ++i) {
      if (egress_[i] != out) continue;
      DropReason reason = verdicts_[i];
      const OffloadStatus status = packets_[i]->offload.status;
      // The guard: a packet of an SA leaves sealed, or by a device that it asks to seal it, or not
      // at all.
      const bool by_device =
          status == OffloadStatus::kSealRequested && ctx_->path->interfaces[out].offload != nullptr;
      if (reason == DropReason::kNone && sas_[i] != nullptr && status != OffloadStatus::kSealed &&
          !by_device) {
        reason = DropReason::kOutGuard;
      }
      if (reason == DropReason::kNone) {
        batch.Push(packets_[i]);
      } else {
        if (sas_[i] != nullptr) sas_[i]->sa->CountDrop(reason);
        ctx_->sink.Drop(packets_[i], reason);
      }
    }
    if (!batch.empty()) {
      ctx_->path->interfaces[out].wire->Transmit(ctx_->number, &batch, &ctx_->sink);
    }
  }
}

}  // namespace cygnet
