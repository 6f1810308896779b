// Begin:    1 receive · 2 classify · 3 SAD lookup · 4 runs by SA · 5 replay check · 6 prepare
// Complete: 7 authentication result · 8 replay commit, lifetime · 9 decapsulate · 10 policy check
// What comes out of step 9 may be ESP for this host again: it goes back to step 3.
#include "datapath/inbound_pipeline.h"

#include "datapath/always_passes.h"
#include "datapath/came_by.h"
#include "datapath/flow_decision.h"
#include "datapath/segment.h"
#include "esp/decapsulate.h"
#include "net/ip_options.h"
#include "net/ip_protocol.h"

namespace cygnet {

void InboundPipeline::Run(uint8_t interface, PacketBatch* in) {
  constexpr std::size_t kFewPolicies = 64;
  cache_in_vain_ = ctx_->path->sad.reachable() > ctx_->path->flow_entries &&
                   ctx_->path->spd.size(PolicyDirection::kIn) < kFewPolicies;
  if (warm_up_.due()) warm_up_.Inbound(*ctx_, in->packets());
  for (Packet* packet : in->packets()) {
    packet->interface = interface;
    Admit(packet);
  }
  in->ReleaseAll();
  Finish();
  warm_up_.EndBatch(*ctx_->path);
}

// Steps 2 and 3. Everything that is kept joins the burst in its place, so that order is kept.
void InboundPipeline::Admit(Packet* packet) {
  InboundItem* item = &items_[size_];
  item->Begin(packet);
  const auto type = ParseEtherType(packet->bytes());
  if (!type) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  packet->l3_offset = type->l3_offset;
  if (type->IsIp()) {
    if (!AdmitIp(type->type, item)) return;
  } else if (ctx_->path->pass_ether_types.MayPass(*type, packet->bytes())) {
    if (type->type == kEtherTypeArp) packet->TrimTo(type->l3_offset + kArpLength);
    item->view = IpPacketView{};
  } else {
    ctx_->sink.Drop(packet, DropReason::kInEtherType);
    return;
  }
  ++size_;
}

// False: the packet waits, or is gone.
bool InboundPipeline::AdmitIp(uint16_t ether_type, InboundItem* item) {
  if (!ParseIpPacket(item->packet->l3(), &item->view) ||
      (ether_type == kEtherTypeIpv4) != (item->view.flow.family == IpFamily::kV4)) {
    ctx_->sink.Drop(item->packet, DropReason::kInBadHeader);
    return false;
  }
  // Policy sees nothing of what is behind the packet.
  item->packet->TrimTo(item->packet->l3_offset + item->view.total_length);
  if (item->view.fragment && !Reassemble(item)) return false;
  const DropReason reason = Classify(item);
  if (item->packet == nullptr) return false;
  if (reason == DropReason::kInAcquireState && early_.Hold(item->packet, ctx_->now_ms)) {
    return false;
  }
  if (reason == DropReason::kNone) return true;
  ctx_->sink.Drop(item->packet, reason);
  return false;
}

// Their SA may be there now.
void InboundPipeline::RetryEarly() {
  early_.Retry(ctx_->now_ms, ctx_->path->generation(), [this](Packet* packet) {
    Admit(packet);
    if (size_ == kMaxBatch) Finish();
  });
  Finish();
}

// Sets the item's SA when it is ESP for this host; takes the packet when it goes no further.
DropReason InboundPipeline::Classify(InboundItem* item) {
  const IpPacketView& ip = item->view;
  if (!ip.fragment)
    item->esp = ClassifyWirePacket(ip, item->packet->l3(), ctx_->path->encap_ports());
  if (!IsForIpsec(*item)) {
    if (ip.flow.proto == kProtoIcmp || ip.flow.proto == kProtoIcmpv6) LearnFromIcmp(*item);
    return CheckClearPacket(*item);
  }
  // Only what a device already opened gets here in pieces, and no device opens those.
  if (ip.fragment) return DropReason::kInDeviceStale;
  switch (item->esp.kind) {
    case WireKind::kEspTooShort:
      return DropReason::kInTooShort;
    case WireKind::kKeepalive:  // RFC 3948: swallowed, not a loss
      ctx_->sink.Recycle(item->packet);
      item->packet = nullptr;
      return DropReason::kNone;
    default:
      return FindSa(item);
  }
}

// ESP, bare or in UDP, that is addressed to this host or to an SA of it. What this host only
// forwards is somebody else's and is treated as any packet in clear.
bool InboundPipeline::IsForIpsec(const InboundItem& item) const {
  const FlowKey& flow = item.view.flow;
  const bool esp = item.view.fragment ? flow.proto == kProtoEsp : item.esp.kind != WireKind::kOther;
  if (!esp) return false;
  // A device opened it for an SA that has gone since: its payload is readable and must not travel
  // on.
  if (item.packet->offload.status != OffloadStatus::kNone) return true;
  if (ctx_->path->host_addresses().Contains(flow.daddr, flow.family)) return true;
  return item.esp.kind == WireKind::kEsp &&
         ctx_->path->sad.LookupInbound(Spi(item.esp.spi), flow.daddr, flow.family, kProtoEsp) !=
             nullptr;
}

DropReason InboundPipeline::FindSa(InboundItem* item) {
  const FlowKey& flow = item->view.flow;
  Sa* sa = ctx_->path->sad.LookupInbound(Spi(item->esp.spi), flow.daddr, flow.family, kProtoEsp);
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
  } else if (item->esp.udp_encapsulated != (sa->inbound()->layout.udp != 0)) {
    reason = DropReason::kInEncapMismatch;
  }
  if (reason != DropReason::kNone) sa->CountDrop(reason);
  item->sa = reason == DropReason::kNone ? sa->inbound() : nullptr;
  return reason;
}

// A packet that came in clear: policy must allow that (step 10 without an SA).
DropReason InboundPipeline::CheckClearPacket(const InboundItem& item) {
  if (ctx_->path->PolicyIdle()) return DropReason::kNone;
  // Messages of the link are not cut (RFC 6980).
  const bool passes = !(item.joined && item.view.flow.proto == kProtoIcmpv6) &&
                      AlwaysPasses(*ctx_->path, PolicyDirection::kIn,
                                   ctx_->path->interfaces[item.packet->interface].ifindex,
                                   item.view, item.packet->l3());
  return passes ? DropReason::kNone : CheckPolicy(item);
}

void InboundPipeline::Finish() {
  while (OpenRound()) {
  }
  Deliver();
}

// Steps 4 – 10 for every item that is still ESP. False: none is.
bool InboundPipeline::OpenRound() {
  ctx_->ClearJobs();
  bool any = false;
  for (uint32_t begin = 0; begin < size_;) {
    uint32_t end = begin + 1;
    while (end < size_ && items_[end].sa == items_[begin].sa) ++end;
    if (items_[begin].sa != nullptr) {
      any = true;
      warm_up_.CountRun();
      BeginRun(begin, end);
    }
    begin = end;
  }
  if (!any) return false;
  ctx_->RunJobs(std::span<InboundItem>(items_.data(), size_), &in_flight_, kInboundTag,
                AddCpuOpenJob);
  CompleteRound();
  return true;
}

// Steps 5 and 6.
void InboundPipeline::BeginRun(uint32_t begin, uint32_t end) {
  const std::span<InboundItem> run(items_.data() + begin, end - begin);
  InboundSa* sa = run[0].sa;
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  if (binding == nullptr) {
    for (InboundItem& item : run) item.verdict = DropReason::kInStateInvalid;
    return;
  }
  std::array<uint32_t, kMaxBatch> low;
  std::array<uint64_t, kMaxBatch> seq{};
  std::array<DropReason, kMaxBatch> verdict{};
  const std::size_t n = run.size();
  for (std::size_t i = 0; i < n; ++i) low[i] = run[i].esp.seq_low;
  sa->replay.CheckRun({low.data(), n}, {seq.data(), n}, {verdict.data(), n});
  for (std::size_t i = 0; i < n; ++i) {
    run[i].binding = binding;
    run[i].seq = seq[i];
    run[i].verdict = verdict[i];
  }
  OpsOf(binding->path)
      .prepare_inbound({.sa = *sa,
                        .binding = *binding,
                        .interfaces = ctx_->path->interfaces,
                        .first_index = static_cast<uint16_t>(begin),
                        .items = run,
                        .jobs = &ctx_->jobs});
}

// Steps 7 – 10 for the items whose cryptography is done; what was parked leaves the burst first.
void InboundPipeline::CompleteRound() {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < size_; ++i) {
    if (items_[i].packet == nullptr) continue;
    if (kept != i) items_[kept] = items_[i];
    ++kept;
  }
  size_ = kept;
  for (uint32_t begin = 0; begin < size_;) {
    uint32_t end = begin + 1;
    InboundSa* sa = items_[begin].sa;
    while (end < size_ && items_[end].sa == sa) ++end;
    if (sa != nullptr) CompleteRun(sa, {items_.data() + begin, end - begin});
    begin = end;
  }
}

// ESN: the ICV was checked for another number than the packet's: one ahead, because the packet is
// older than the window here, or than that of a device, which runs ahead of what is opened here.
bool InboundPipeline::WasGuessedWrong(InboundSa* sa, const InboundItem& item) {
  if (!sa->esn) return false;
  const OffloadMeta& meta = item.packet->offload;
  const bool by_device =
      meta.status == OffloadStatus::kAuthFailed && meta.esn_high != item.seq >> 32;
  return by_device || sa->replay.MayBeLate(item.esp.seq_low, item.seq);
}

void InboundPipeline::CompleteRun(InboundSa* sa, std::span<InboundItem> run) {
  // The trailer says whether it is a dummy packet; those move neither window nor counters, as in
  // the kernel.
  for (InboundItem& item : run) {
    if (item.verdict == DropReason::kInAuthFailed && WasGuessedWrong(sa, item)) {
      item.verdict = DropReason::kInLateBeyondWindow;
    }
    if (item.verdict != DropReason::kNone) continue;
    item.packet->TrimTo(item.packet->l3_offset + item.view.total_length);
    item.verdict = esp::ReadTrailer(*sa, *item.packet, item.esp.esp_offset, &item.trailer);
  }
  CommitReplay(sa, run);
  ChargeLifetime(sa, run);
  for (InboundItem& item : run) {
    item.sa = nullptr;
    if (item.verdict == DropReason::kNone) {
      if (sa->layout.udp != 0) TellMapping(*sa, item);
      item.verdict = DecapsulateAndCheck(sa, &item);
    }
    if (item.verdict != DropReason::kNone) {
      sa->sa->CountDrop(item.verdict);
      item.sa = nullptr;
    }
  }
}

void InboundPipeline::CommitReplay(InboundSa* sa, std::span<InboundItem> run) {
  std::array<uint64_t, kMaxBatch> seq;
  std::array<DropReason, kMaxBatch> verdict;
  const std::size_t n = run.size();
  for (std::size_t i = 0; i < n; ++i) {
    seq[i] = run[i].seq;
    verdict[i] = run[i].verdict;
  }
  const uint64_t before = sa->esn ? sa->replay.highest() : 0;
  sa->replay.CommitRun({seq.data(), n}, {verdict.data(), n});
  for (std::size_t i = 0; i < n; ++i) run[i].verdict = verdict[i];
  if (!sa->esn) return;
  // A device guesses high words from what it was told last: tell it every half subspace.
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  const uint64_t after = sa->replay.highest();
  if (binding->device != nullptr && (before >> 31) != (after >> 31)) {
    binding->device->AdvanceEsn(binding->handle, after);
  }
}

void InboundPipeline::ChargeLifetime(InboundSa* sa, std::span<InboundItem> run) {
  std::array<uint32_t, kMaxBatch> sizes;
  std::array<InboundItem*, kMaxBatch> charged;
  uint32_t n = 0;
  for (InboundItem& item : run) {
    if (item.verdict != DropReason::kNone) continue;
    charged[n] = &item;
    sizes[n++] = item.trailer.payload_length;
  }
  if (n == 0) return;
  const auto charge = sa->sa->lifetime().Charge({sizes.data(), n}, ctx_->now);
  if (charge.soft_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kSoftLimit, .sa_number = sa->sa->number});
  }
  if (charge.hard_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kHardLimit, .sa_number = sa->sa->number});
    for (uint32_t k = charge.allowed; k < n; ++k) {
      charged[k]->verdict = DropReason::kInStateExpired;
    }
  }
}

// The peer's NAT gave it another address or port: key management decides what to do (RFC 3947,
// RFC 4555); the packet itself is as good as any.
void InboundPipeline::TellMapping(const InboundSa& sa, const InboundItem& item) {
  const FlowKey& flow = item.view.flow;
  if (flow.sport == sa.peer_port.load(std::memory_order_relaxed) &&
      flow.saddr == sa.sa->spec().saddr) {
    return;
  }
  ctx_->Report({.kind = DataPathEvent::Kind::kMapping,
                .interface = item.packet->interface,
                .sa_number = sa.sa->number,
                .flow = flow});
}

// Steps 9 and 10 for one packet. It may turn out to be ESP for this host once more.
DropReason InboundPipeline::DecapsulateAndCheck(InboundSa* sa, InboundItem* item) {
  Packet* packet = item->packet;
  const DropReason reason =
      esp::Decapsulate(*sa, item->view, item->esp.esp_offset, item->trailer, packet);
  if (reason != DropReason::kNone) return reason;
  packet->offload = OffloadMeta{};
  packet->csum_partial = false;  // said where the outer packet's checksum lies, if anything
  IpPacketView* inner = &item->view;
  if (!ParseIpPacket(packet->l3(), inner)) return DropReason::kInModeMismatch;
  // Behind a NAT the checksum was made for other addresses; the ICV vouches for the bytes (RFC 3948
  // section 3.1.2, as Linux does).
  if (sa->mode == SaMode::kTransport && sa->layout.udp != 0) VouchForChecksum(*inner, packet);
  item->path.sas[item->path.size++] = sa->sa;
  item->joined = false;
  item->cut = {};
  if (inner->fragment) {
    Reassembler::Cut cut;
    Packet* whole =
        ctx_->path->opened_fragments.Add(&ctx_->sink, packet, *inner, ctx_->now_ms,
                                         CameBy(packet->interface, item->path.all()), &cut);
    if (!TakeJoined(whole, cut, item)) return DropReason::kNone;
  }
  return CheckOpened(item);
}

// What came out of an SA, whole.
DropReason InboundPipeline::CheckOpened(InboundItem* item) {
  const IpPacketView& ip = item->view;
  const std::span<const uint8_t> l3 = item->packet->l3();
  const auto own = [&] {
    return ctx_->path->host_addresses().Contains(ip.flow.daddr, ip.flow.family);
  };
  if (ip.has_options && HasRefusedOptions(ip, l3, own() ? Addressee::kHost : Addressee::kOther)) {
    return DropReason::kInIpOptions;
  }
  item->esp = ClassifyWirePacket(ip, l3, ctx_->path->encap_ports());
  if (item->esp.kind == WireKind::kEspTooShort && own()) return DropReason::kInTooShort;
  if (item->esp.kind == WireKind::kEsp && IsForIpsec(*item)) {
    return item->path.size < kMaxTemplates ? FindSa(item) : DropReason::kInNested;
  }
  return CheckPolicy(*item);
}

DropReason InboundPipeline::CheckPolicy(const InboundItem& item) {
  const uint8_t interface = item.packet->interface;
  const int32_t ifindex = ctx_->path->interfaces[interface].ifindex;
  const auto secpath = item.path.all();
  const FlowDecision* decision = &decided_;
  if (secpath.size() > 1 || cache_in_vain_) {  // the former is rare, and not worth a wider key
    decided_ = DecideInbound(*ctx_->path, item.view.flow, ifindex, secpath);
  } else {
    const uint64_t tag = secpath.empty() ? interface : secpath[0]->number << 8 | interface;
    const uint64_t generation = ctx_->path->generation();
    if (const FlowDecision* known = cache_.Find(item.view.flow, tag, generation)) {
      decision = known;
    } else {
      decided_ = DecideInbound(*ctx_->path, item.view.flow, ifindex, secpath);
      cache_.Store(item.view.flow, tag, generation, decided_);
    }
  }
  if (decision->policy != nullptr) decision->policy->Touch(ctx_->now);
  if (decision->second != nullptr) decision->second->Touch(ctx_->now);
  return decision->action == FlowAction::kBypass ? DropReason::kNone : decision->reason;
}

// Jobs that took their time.
uint32_t InboundPipeline::Resume() {
  uint32_t resumed = 0;
  while (!in_flight_.empty()) {
    ctx_->ClearJobs();
    CryptoStatus status;
    while (size_ < kMaxBatch && in_flight_.Pop(&items_[size_], &status)) {
      InboundItem* item = &items_[size_];
      if (status == CryptoStatus::kNotDone) {
        AddCpuOpenJob(*item, static_cast<uint16_t>(size_), &ctx_->jobs);
      } else {
        CompleteJob(status, item);
      }
      ++size_;
    }
    if (size_ == 0) break;
    resumed += size_;
    ctx_->RunJobs(std::span<InboundItem>(items_.data(), size_), &in_flight_, kInboundTag,
                  AddCpuOpenJob);
    CompleteRound();
    Finish();
  }
  return resumed;
}

}  // namespace cygnet
