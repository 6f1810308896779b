#include "datapath/inbound_pipeline.h"

#include "datapath/always_passes.h"
#include "esp/decapsulate.h"
#include "net/frame.h"
#include "net/ip_options.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// A device opens by rules of its own, which have a direction. If it opened the packet for an SA
// that no longer exists, its payload is in clear and must not be forwarded.
bool IsOpenedOrForOwnAddress(const DataPath& path, const InboundItem& item) {
  const FlowKey& flow = item.view.flow;
  return item.packet->offload.status != OffloadStatus::kNone ||
         path.host_addresses().Contains(flow.daddr, flow.family);
}

// The SA of an ESP packet; nullptr if there is none or the packet is not ESP.
// Only what is for this host is opened (kernel: xfrm_input is a protocol of local delivery). An SA
// without a direction opens what it sealed, so anybody on the way could send this host's own
// packets back to it.
Sa* LookupSa(const DataPath& path, const InboundItem& item) {
  if (item.esp.kind != WireKind::kEsp || !IsOpenedOrForOwnAddress(path, item)) return nullptr;
  const FlowKey& flow = item.view.flow;
  return path.sad.LookupInbound(Spi(item.esp.spi), flow.daddr, flow.family, kProtoEsp);
}

// An SA that opened the packet has a tunnel interface, or should have.
bool IsOfTunnel(const InboundItem& item) {
  for (const Sa* sa : item.path.all()) {
    if (sa->tunnel.load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

// Step 9 except fragments. On kNone the item describes the inner packet.
DropReason Decapsulate(InboundSa* sa, InboundItem* item) {
  Packet* packet = item->packet;
  const DropReason reason =
      esp::Decapsulate(*sa, item->view, item->esp.esp_offset, item->trailer, packet);
  if (reason != DropReason::kNone) return reason;
  packet->offload = OffloadMeta{};
  packet->csum_partial = false;  // it referred to the outer packet's checksum
  IpPacketView* inner = &item->view;
  if (!ParseIpPacket(packet->l3(), inner)) return DropReason::kInModeMismatch;
  return DropReason::kNone;
}

}  // namespace

void InboundPipeline::Run(uint8_t interface, PacketBatch* in) {
  decider_.BeginInboundBatch();
  if (warm_up_.due()) warm_up_.Inbound(*ctx_, in->packets());
  straight_.Begin(interface, in->size());
  for (Packet* packet : in->packets()) packet->interface = interface;
  for (std::span<Packet* const> left = in->packets(); !left.empty();) {
    left = left.subspan(straight_.Take(left));
    GoStraight();
    if (left.empty()) break;
    AdmitArrived(left.front());
    left = left.subspan(1);
  }
  in->ReleaseAll();
  Finish();
  warm_up_.EndBatch(*ctx_->path);
}

// Steps 2 and 3. A kept packet is appended to the batch.
void InboundPipeline::Admit(Packet* packet) {
  InboundItem* item = items_.Claim();
  item->Begin(packet);
  const Frame frame = ParseFrame(packet->bytes(), &item->view);
  packet->l3_offset = frame.type.l3_offset;
  Outcome outcome = Outcome::kGone;
  if (packet->offload.status >= OffloadStatus::kDecapsulated) {
    if (AdmitFromPacketDevice(frame, item) == Outcome::kKept) items_.Commit();
    return;
  }
  switch (frame.kind) {
    case FrameKind::kTooShort:
      outcome = Drop(*item, DropReason::kPortBadFrame);
      break;
    case FrameKind::kOther:
      outcome = AdmitOther(frame.type, item);
      break;
    case FrameKind::kIp:
      outcome = AdmitIp(item);
      break;
    case FrameKind::kBadIp:
      outcome = Drop(*item, DropReason::kInBadHeader);
      break;
  }
  if (outcome == Outcome::kKept) items_.Commit();
}

InboundPipeline::Outcome InboundPipeline::Drop(const InboundItem& item, DropReason reason) {
  ctx_->sink.Drop(item.packet, reason);
  return Outcome::kGone;
}

// A frame that is not IP passes in clear or not at all.
InboundPipeline::Outcome InboundPipeline::AdmitOther(const EtherTypeView& type, InboundItem* item) {
  Packet* packet = item->packet;
  if (!ctx_->path->pass_ether_types.MayPass(type, packet->bytes())) {
    return Drop(*item, DropReason::kInEtherType);
  }
  if (type.type == kEtherTypeArp) packet->TrimTo(type.l3_offset + kArpLength);
  item->view = IpPacketView{};
  return Outcome::kKept;
}

InboundPipeline::Outcome InboundPipeline::AdmitIp(InboundItem* item) {
  // Policy does not check bytes after the packet's end, so they are cut off.
  item->packet->TrimTo(item->packet->l3_offset + item->view.total_length);
  if (item->view.fragment) {
    const Outcome outcome = Reassemble(item);
    if (outcome != Outcome::kKept) return outcome;
  }
  return Classify(item);
}

// The SA of an early packet may exist now.
void InboundPipeline::RetryEarly() {
  early_.Retry(ctx_->now_ms, ctx_->path->generation(), [this](Packet* packet) {
    Admit(packet);
    Finish();  // at once: a packet that has to wait again keeps its deadline
  });
}

// Finds the SA of an ESP packet for this host. A packet in clear is checked against policy.
InboundPipeline::Outcome InboundPipeline::Classify(InboundItem* item) {
  const IpPacketView& ip = item->view;
  if (!ip.fragment) {
    item->esp = ClassifyWirePacket(ip, item->packet->l3(), ctx_->path->encap_ports());
  }
  Sa* sa = LookupSa(*ctx_->path, *item);
  if (sa == nullptr && !IsForThisHost(*item)) {
    if (ip.flow.proto == kProtoIcmp || ip.flow.proto == kProtoIcmpv6) LearnFromIcmp(*item);
    const DropReason reason = CheckClearPacket(*item);
    return reason == DropReason::kNone ? Outcome::kKept : Drop(*item, reason);
  }
  // A fragment gets here only with a device's mark, and no device opens fragments.
  if (ip.fragment) return Drop(*item, DropReason::kInDeviceStale);
  // What is inside was no super-packet when it was sealed, whatever this frame's sender claims.
  if (item->packet->gso_type != GsoType::kNone) return Drop(*item, DropReason::kPortBadFrame);
  switch (item->esp.kind) {
    case WireKind::kEspTooShort:
      return Drop(*item, DropReason::kInTooShort);
    case WireKind::kKeepalive:  // RFC 3948: swallowed, not a loss
      ctx_->sink.Recycle(item->packet);
      return Outcome::kGone;
    default:
      return AdmitEsp(sa, item);
  }
}

// Returns whether an ESP packet (bare or in UDP) without a known SA is for this host. One that this
// host only forwards is treated as a packet in clear.
bool InboundPipeline::IsForThisHost(const InboundItem& item) const {
  const FlowKey& flow = item.view.flow;
  const bool esp = item.view.fragment ? flow.proto == kProtoEsp : item.esp.kind != WireKind::kOther;
  return esp && IsOpenedOrForOwnAddress(*ctx_->path, item);
}

// Step 3.
InboundPipeline::Outcome InboundPipeline::AdmitEsp(Sa* sa, InboundItem* item) {
  const DropReason reason = UseSa(sa, item);
  if (reason == DropReason::kNone) return Outcome::kKept;
  if (reason == DropReason::kInAcquireState && early_.Hold(item->packet, ctx_->now_ms)) {
    return Outcome::kWaits;
  }
  return Drop(*item, reason);
}

// Sets item->sa, or returns why this SA does not open the packet. `sa`: nullptr if there is none.
DropReason InboundPipeline::UseSa(Sa* sa, InboundItem* item) {
  if (sa == nullptr) return DropReason::kInNoState;
  DropReason reason = CheckInboundState(*sa);
  if (reason == DropReason::kNone &&
      item->esp.udp_encapsulated != (sa->inbound()->layout.udp != 0)) {
    reason = DropReason::kInEncapMismatch;
  }
  if (reason != DropReason::kNone) sa->CountDrop(reason);
  item->sa = reason == DropReason::kNone ? sa->inbound() : nullptr;
  return reason;
}

// A source route would lead the packet past policy, which looks at its destination address.
bool InboundPipeline::HasOptionsToRefuse(const InboundItem& item) const {
  const FlowKey& flow = item.view.flow;
  const bool own = ctx_->path->host_addresses().Contains(flow.daddr, flow.family);
  return HasRefusedOptions(item.view, item.packet->l3(),
                           own ? Addressee::kHost : Addressee::kOther);
}

// Step 10 for a packet that came in clear: policy must allow it without an SA.
DropReason InboundPipeline::CheckClearPacket(const InboundItem& item) {
  if (ctx_->path->PolicyIdle()) return DropReason::kNone;
  if (item.view.has_options && HasOptionsToRefuse(item)) return DropReason::kInIpOptions;
  // Link messages must not be fragmented (RFC 6980).
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

// Steps 4 to 10 for every packet that is still ESP. False if there is none.
bool InboundPipeline::OpenRound() {
  ctx_->ClearJobs();
  bool any = false;
  const auto sa_of = [](const InboundItem* item) { return item->sa; };
  ForEachRun(items_.all(), sa_of, [&](uint16_t first_index, std::span<InboundItem> run) {
    if (run[0].sa == nullptr) return;
    any = true;
    warm_up_.CountRun();
    BeginRun(first_index, run);
  });
  if (!any) return false;
  ctx_->RunJobs(items_.all(), &in_flight_, kInboundTag, AddCpuOpenJob);
  CompleteRound();
  return true;
}

// Steps 5 and 6.
void InboundPipeline::BeginRun(uint16_t first_index, std::span<InboundItem> run) {
  InboundSa* sa = run[0].sa;
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  if (binding == nullptr) {
    for (InboundItem& item : run) item.RefuseUnnumbered(DropReason::kInStateInvalid);
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
                        .first_index = first_index,
                        .items = run,
                        .jobs = &ctx_->jobs});
  if (binding->shadow() != nullptr) shadow_.CheckRun(*sa, *binding, ctx_->path->interfaces, run);
  HoldOver(run);
}

// Steps 8 to 10 for the packets whose cryptography is done. Parked packets leave the batch first.
void InboundPipeline::CompleteRound() {
  items_.Compact();
  const auto sa_of = [](const InboundItem* item) { return item->sa; };
  ForEachRun(items_.all(), sa_of, [this](uint16_t, std::span<InboundItem> run) {
    if (run[0].sa != nullptr) CompleteRun(run[0].sa, run);
  });
}

// ESN: true if the ICV may have been checked with a wrong high word, one subspace ahead. This
// happens if the packet is older than this window, or than a device's window, which may be ahead.
bool InboundPipeline::WasGuessedWrong(InboundSa* sa, const InboundItem& item) {
  if (!sa->esn) return false;
  const OffloadMeta& meta = item.packet->offload;
  const bool by_device =
      meta.status == OffloadStatus::kAuthFailed && meta.esn_high != item.seq >> 32;
  return by_device || sa->replay.MayBeLate(item.esp.seq_low, item.seq);
}

void InboundPipeline::CompleteRun(InboundSa* sa, std::span<InboundItem> run) {
  // Read the trailer first, because it marks dummy packets. They move neither window nor counters,
  // as in the kernel.
  for (InboundItem& item : run) {
    if (item.verdict == DropReason::kInAuthFailed && WasGuessedWrong(sa, item)) {
      item.verdict = DropReason::kInLateBeyondWindow;
    }
    if (item.verdict != DropReason::kNone) continue;
    item.packet->TrimTo(item.packet->l3_offset + item.view.total_length);
    item.verdict = esp::ReadTrailer(*sa, *item.packet, item.esp.esp_offset, &item.trailer);
  }
  CommitAndCharge(sa, run);
  const bool recorded = ctx_->record.on();
  for (InboundItem& item : run) {
    item.sa = nullptr;
    const OffloadStatus status = item.packet->offload.status;
    if (item.verdict == DropReason::kNone) {
      if (sa->layout.udp != 0) ReportMapping(*sa, item);
      DecapsulateAndCheck(sa, &item);
    }
    if (item.verdict != DropReason::kNone) {
      sa->sa->CountDrop(item.verdict);
      item.sa = nullptr;
    }
    if (recorded) ctx_->record.Completed(*sa, status, &item);
  }
}

void InboundPipeline::CommitAndCharge(InboundSa* sa, std::span<InboundItem> run) {
  std::array<uint64_t, kMaxBatch> seq;
  std::array<uint32_t, kMaxBatch> sizes;
  std::array<DropReason, kMaxBatch> verdict;
  const std::size_t n = run.size();
  for (std::size_t i = 0; i < n; ++i) {
    seq[i] = run[i].seq;
    sizes[i] = run[i].trailer.payload_length;
    verdict[i] = run[i].verdict;
  }
  CommitReplay(ctx_, sa, {seq.data(), n}, {verdict.data(), n});
  ChargeOpened(ctx_, *sa, {sizes.data(), n}, {verdict.data(), n});
  for (std::size_t i = 0; i < n; ++i) run[i].verdict = verdict[i];
}

// Steps 9 and 10 for one packet; sets its verdict. If the inner packet is again ESP for this host,
// sets item->sa.
void InboundPipeline::DecapsulateAndCheck(InboundSa* sa, InboundItem* item) {
  const OffloadStatus status = item->packet->offload.status;
  item->verdict = Decapsulate(sa, item);
  if (item->verdict != DropReason::kNone) return;
  DescribeOpened(*sa, item);
  if (item->view.fragment && ctx_->record.on()) ctx_->record.Opened(*sa, status, *item);
  if (item->view.fragment && ReassembleOpened(item) != Outcome::kKept) {
    item->packet = nullptr;  // it has left the batch
    return;
  }
  item->verdict = CheckOpened(item);
}

// Checks a whole packet that an SA opened.
DropReason InboundPipeline::CheckOpened(InboundItem* item) {
  const IpPacketView& ip = item->view;
  if (ip.has_options && HasOptionsToRefuse(*item)) return DropReason::kInIpOptions;
  item->esp = ClassifyWirePacket(ip, item->packet->l3(), ctx_->path->encap_ports());
  if (item->esp.kind == WireKind::kEspTooShort &&
      ctx_->path->host_addresses().Contains(ip.flow.daddr, ip.flow.family)) {
    return DropReason::kInTooShort;
  }
  if (item->esp.kind == WireKind::kEsp) {
    Sa* sa = LookupSa(*ctx_->path, *item);
    if (sa != nullptr || IsForThisHost(*item)) {
      return item->path.size < kMaxTemplates ? UseSa(sa, item) : DropReason::kInNested;
    }
  }
  if (IsOfTunnel(*item)) {
    const DropReason reason = EnterTunnel(item);
    if (reason != DropReason::kNone) return reason;
  }
  return CheckPolicy(*item);
}

// Step 10.
DropReason InboundPipeline::CheckPolicy(const InboundItem& item) {
  return VerdictOf(ctx_, decider_.Inbound(item.packet->interface, item.view.flow, item.path.all()));
}

uint32_t InboundPipeline::Resume() {
  return ResumeParked(ctx_, &in_flight_, &items_, kInboundTag, AddCpuOpenJob, [this] {
    CompleteRound();
    Finish();
  });
}

}  // namespace cygnet
