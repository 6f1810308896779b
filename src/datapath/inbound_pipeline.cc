// Begin:    1 receive · 2 classify · 3 SAD lookup · 4 runs by SA · 5 replay check · 6 prepare
// Complete: 7 authentication result · 8 replay commit, lifetime · 9 decapsulate · 10 policy check
#include "datapath/inbound_pipeline.h"

#include "datapath/flow_decision.h"
#include "esp/decapsulate.h"
#include "net/ip_protocol.h"

namespace cygnet {

void InboundPipeline::Run(uint8_t interface, PacketBatch* in) {
  interface_ = interface;
  size_ = 0;
  for (Packet* packet : in->packets()) {
    packet->interface = interface;
    Admit(packet);
  }
  in->ReleaseAll();

  std::array<RunRange, kMaxBatch> runs;
  uint32_t run_count = 0;
  jobs_.size = 0;
  for (uint32_t begin = 0; begin < size_;) {
    uint32_t end = begin + 1;
    while (end < size_ && sas_[end] == sas_[begin]) ++end;
    if (sas_[begin] != nullptr) {
      runs[run_count++] = {begin, end};
      BeginRun(runs[run_count - 1]);
    }
    begin = end;
  }
  if (jobs_.size > 0) {
    ctx_->SubmitAll({jobs_.jobs.data(), jobs_.size});
    CompleteInboundJobs(jobs_, verdicts_);  // step 7
  }
  for (uint32_t i = 0; i < run_count; ++i) CompleteRun(runs[i]);
  Deliver();
}

// Steps 2 and 3. Everything that is kept joins the burst in its place, so that order is kept.
void InboundPipeline::Admit(Packet* packet) {
  const uint32_t i = size_;
  packets_[i] = packet;
  sas_[i] = nullptr;
  verdicts_[i] = DropReason::kNone;
  const auto type = ParseEtherType(packet->bytes());
  if (!type) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  packet->l3_offset = type->l3_offset;
  if (!type->IsIp()) {  // ARP and what else is not IP
    ++size_;
    return;
  }
  const auto ip = ParseIpPacket(packet->l3());
  if (!ip || (type->type == kEtherTypeIpv4) != (ip->flow.family == IpFamily::kV4)) {
    ctx_->sink.Drop(packet, DropReason::kInBadHeader);
    return;
  }
  views_[i] = *ip;
  esp_[i] = ip->fragment ? EspView{} : ClassifyWirePacket(*ip, packet->l3(), kNatTPorts);
  DropReason reason = DropReason::kNone;
  if (!IsForIpsec(i)) {
    reason = CheckClearPacket(*packet, *ip);
  } else if (ip->fragment) {
    reason = DropReason::kInFragment;
  } else if (esp_[i].kind == WireKind::kEspTooShort) {
    reason = DropReason::kInTooShort;
  } else if (esp_[i].kind == WireKind::kKeepalive) {
    ctx_->sink.Recycle(packet);  // RFC 3948: swallowed, not a loss
    return;
  } else {
    reason = FindSa(i);
  }
  if (reason != DropReason::kNone) {
    ctx_->sink.Drop(packet, reason);
    return;
  }
  ++size_;
}

// ESP, bare or in UDP, that is addressed to this host or to an SA of it. What this host only
// forwards is somebody else's and is treated as any packet in clear.
bool InboundPipeline::IsForIpsec(uint32_t i) const {
  const FlowKey& flow = views_[i].flow;
  const bool esp = views_[i].fragment ? flow.proto == kProtoEsp : esp_[i].kind != WireKind::kOther;
  if (!esp) return false;
  // A device opened it for an SA that has gone since: its payload is readable and must not travel
  // on.
  if (packets_[i]->offload.status != OffloadStatus::kNone) return true;
  if (ctx_->path->host_addresses().Contains(flow.daddr, flow.family)) return true;
  return esp_[i].kind == WireKind::kEsp &&
         ctx_->path->sad.LookupInbound(Spi(esp_[i].spi), flow.daddr, flow.family, kProtoEsp) !=
             nullptr;
}

DropReason InboundPipeline::FindSa(uint32_t i) {
  Sa* sa = ctx_->path->sad.LookupInbound(Spi(esp_[i].spi), views_[i].flow.daddr,
                                         views_[i].flow.family, kProtoEsp);
  if (sa == nullptr) return DropReason::kInNoState;
  DropReason reason = DropReason::kNone;
  const SaState state = sa->state();
  if (state == SaState::kLarval) {
    reason = DropReason::kInAcquireState;
  } else if (sa->inbound() == nullptr) {
    reason = DropReason::kInWrongDirection;
  } else if (state == SaState::kExpired) {
    reason = DropReason::kInStateExpired;
  } else if (!sa->usable()) {
    reason = DropReason::kInStateInvalid;
  } else if (esp_[i].udp_encapsulated != (sa->inbound()->layout.udp != 0)) {
    reason = DropReason::kInEncapMismatch;
  }
  if (reason != DropReason::kNone) sa->CountDrop(reason);
  sas_[i] = reason == DropReason::kNone ? sa->inbound() : nullptr;
  return reason;
}

// A packet that came in clear: policy must allow that (step 10 without an SA).
DropReason InboundPipeline::CheckClearPacket(const Packet& packet, const IpPacketView& ip) {
  if (ctx_->path->spd.Idle() || AlwaysPasses(*ctx_->path, PolicyDirection::kIn, ip, packet.l3())) {
    return DropReason::kNone;
  }
  return CheckPolicy(ip.flow, nullptr);
}

// Steps 5 and 6.
void InboundPipeline::BeginRun(const RunRange& run) {
  InboundSa* sa = sas_[run.begin];
  const uint32_t n = run.end - run.begin;
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  if (binding == nullptr) {
    for (uint32_t i = run.begin; i < run.end; ++i) verdicts_[i] = DropReason::kInStateInvalid;
    return;
  }
  for (uint32_t i = run.begin; i < run.end; ++i) low_[i] = esp_[i].seq_low;
  sa->replay.CheckRun({low_.data() + run.begin, n}, {seqs_.data() + run.begin, n},
                      {verdicts_.data() + run.begin, n});
  OpsOf(binding->path)
      .prepare_inbound({.sa = *sa,
                        .binding = *binding,
                        .first_index = static_cast<uint16_t>(run.begin),
                        .packets = {packets_.data() + run.begin, n},
                        .views = {views_.data() + run.begin, n},
                        .esp = {esp_.data() + run.begin, n},
                        .seqs = {seqs_.data() + run.begin, n},
                        .verdicts = {verdicts_.data() + run.begin, n},
                        .jobs = &jobs_});
}

// Steps 8 – 10. Nothing of a packet whose verdict is set is looked at.
void InboundPipeline::CompleteRun(const RunRange& run) {
  InboundSa* sa = sas_[run.begin];
  // The trailer first: a packet that is malformed inside, or a dummy, moves neither the replay
  // window nor the lifetime (as in the kernel, whose exit for them comes before both).
  ReadTrailers(*sa, run);
  CommitReplay(sa, run);
  ChargeLifetime(sa, run);
  for (uint32_t i = run.begin; i < run.end; ++i) {
    if (verdicts_[i] == DropReason::kNone) verdicts_[i] = DecapsulateAndCheck(sa, i);
    if (verdicts_[i] != DropReason::kNone) sa->sa->CountDrop(verdicts_[i]);
  }
}

void InboundPipeline::ReadTrailers(const InboundSa& sa, const RunRange& run) {
  for (uint32_t i = run.begin; i < run.end; ++i) {
    if (verdicts_[i] != DropReason::kNone) continue;
    packets_[i]->TrimTo(packets_[i]->l3_offset + views_[i].total_length);
    verdicts_[i] = esp::ReadTrailer(sa, *packets_[i], esp_[i].esp_offset, &trailers_[i]);
  }
}

void InboundPipeline::CommitReplay(InboundSa* sa, const RunRange& run) {
  const uint32_t n = run.end - run.begin;
  const uint64_t before = sa->esn ? sa->replay.highest() : 0;
  sa->replay.CommitRun({seqs_.data() + run.begin, n}, {verdicts_.data() + run.begin, n});
  if (!sa->esn) return;
  // A device guesses high words from what it was told last: tell it every half subspace.
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  const uint64_t after = sa->replay.highest();
  if (binding->device != nullptr && (before >> 31) != (after >> 31)) {
    binding->device->AdvanceEsn(binding->handle, after);
  }
}

void InboundPipeline::ChargeLifetime(InboundSa* sa, const RunRange& run) {
  std::array<uint32_t, kMaxBatch> sizes;
  std::array<uint32_t, kMaxBatch> index;
  uint32_t n = 0;
  for (uint32_t i = run.begin; i < run.end; ++i) {
    if (verdicts_[i] != DropReason::kNone) continue;
    index[n] = i;
    sizes[n++] = trailers_[i].payload_length;
  }
  if (n == 0) return;
  const auto charge = sa->sa->lifetime().Charge({sizes.data(), n}, ctx_->now);
  if (charge.soft_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kSoftLimit, .sa_number = sa->sa->number});
  }
  if (charge.hard_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kHardLimit, .sa_number = sa->sa->number});
    for (uint32_t k = charge.allowed; k < n; ++k) {
      verdicts_[index[k]] = DropReason::kInStateExpired;
    }
  }
}

// Steps 9 and 10 for one packet.
DropReason InboundPipeline::DecapsulateAndCheck(InboundSa* sa, uint32_t i) {
  Packet* packet = packets_[i];
  const DropReason reason =
      esp::Decapsulate(*sa, views_[i], esp_[i].esp_offset, trailers_[i], packet);
  if (reason != DropReason::kNone) return reason;
  packet->offload = OffloadMeta{};
  packet->csum_partial = false;  // said where the outer packet's checksum lies, if anything
  const auto inner = ParseIpPacket(packet->l3());
  if (!inner) return DropReason::kInModeMismatch;
  return CheckPolicy(inner->flow, sa->sa);
}

DropReason InboundPipeline::CheckPolicy(const FlowKey& flow, const Sa* sa) {
  const uint64_t tag = sa == nullptr ? interface_ : sa->number << 8 | interface_;
  const uint64_t generation = ctx_->path->generation();
  FlowDecision decision;
  if (const FlowDecision* known = cache_.Find(flow, tag, generation)) {
    decision = *known;
  } else {
    decision = DecideInbound(*ctx_->path, flow, ctx_->path->interfaces[interface_].ifindex, sa);
    cache_.Store(flow, tag, generation, decision);
  }
  if (decision.policy != nullptr) decision.policy->Touch(ctx_->now);
  return decision.action == FlowAction::kBypass ? DropReason::kNone : decision.reason;
}

void InboundPipeline::Deliver() {
  PacketBatch batch;
  for (uint32_t i = 0; i < size_; ++i) {
    if (verdicts_[i] == DropReason::kNone) {
      batch.Push(packets_[i]);
    } else {
      ctx_->sink.Drop(packets_[i], verdicts_[i]);
    }
  }
  if (batch.empty()) return;
  coalescer_.Run(&batch, &ctx_->sink);
  ctx_->path->interfaces[interface_].host->Transmit(ctx_->number, &batch, &ctx_->sink);
}

}  // namespace cygnet
