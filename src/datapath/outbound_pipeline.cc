#include "datapath/outbound_pipeline.h"

#include <algorithm>
#include <cstring>

#include "datapath/always_passes.h"
#include "datapath/flow_decision.h"
#include "datapath/fragment.h"
#include "datapath/path_mtu.h"
#include "datapath/returned.h"
#include "datapath/seal_proof.h"
#include "esp/encapsulate.h"
#include "esp/finish.h"
#include "esp/size.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// What stays in front of ESP in transport mode.
uint32_t OutsideLength(const IpPacketView& ip) {
  return ip.flow.family == IpFamily::kV4 ? ip.ip_header_length : ip.esp_offset_v6;
}

// The SA that wrote the outermost addresses; nullptr: they are the host's own.
const OutboundSa* Addressing(const SaChain& chain) {
  for (uint32_t i = chain.size; i-- > 0;) {
    if (chain.sas[i]->mode != SaMode::kTransport) return chain.sas[i];
  }
  return nullptr;
}

void RefuseAll(std::span<OutboundItem> items, DropReason reason) {
  for (OutboundItem& item : items) item.verdict = reason;
}

}  // namespace

void OutboundPipeline::Run(uint8_t interface, PacketBatch* in) {
  interface_ = interface;
  fits_ = {};
  if (warm_up_.due()) warm_up_.Outbound(*ctx_, interface, in->packets(), &cache_);
  for (Packet* packet : in->packets()) {
    packet->interface = interface;
    Admit(packet);
  }
  in->ReleaseAll();
  Flush();
  AnswerToHost();
  warm_up_.EndBurst(*ctx_->path);
}

void OutboundPipeline::AnswerToHost() {
  if (to_host_.empty()) return;
  ctx_->path->interfaces[interface_].host->Transmit(ctx_->number, &to_host_, &ctx_->sink);
}

void OutboundPipeline::RunTimers() {
  fits_ = {};
  if (!reassembler_.Idle()) reassembler_.Expire(ctx_->now_ms);
  if (hold_.Idle()) return;
  hold_.Retry(ctx_->now_ms, ctx_->path->generation(), [this](Packet* packet) {
    if (packet->interface != interface_) {  // a burst is of one interface
      Flush();
      AnswerToHost();
      interface_ = packet->interface;
      fits_ = {};
    }
    Admit(packet);
  });
  Flush();
  AnswerToHost();
}

void OutboundPipeline::RunInjected(PacketBatch* in) {
  for (Packet* packet : in->packets()) {
    interface_ = packet->interface;
    packet->protection = Protection::kControl;
    Add(packet, IpPacketView{}, SaChain{});
  }
  in->ReleaseAll();
  Flush();
}

// Steps 6 to 8 once more, by the CPU.
void OutboundPipeline::RunReturned(uint8_t interface, PacketBatch* in) {
  PacketBatch returned;
  in->Partition(
      [](const Packet* packet) { return packet->offload.status == OffloadStatus::kReturned; },
      &returned);
  if (returned.empty()) return;
  ctx_->ClearJobs();
  for (Packet* packet : returned.packets()) {
    OutboundItem& item = items_[size_];
    item = MakeReturnedItem(*ctx_->path, interface, packet);
    if (item.chain.size > 0) {
      item.path_mtu = EffectivePathMtu(*item.chain.sas[0], OutboundItem::kAnyMtu, ctx_->now);
    }
    const auto index = static_cast<uint16_t>(size_++);
    if (item.verdict == DropReason::kNone) AddCpuSealJob(item, index, &ctx_->jobs);
  }
  returned.ReleaseAll();
  ctx_->RunJobs(std::span<OutboundItem>(items_.data(), size_), &in_flight_, 0, AddCpuSealJob);
  EndRound();
  TransmitAll();
}

// Steps 2 and 3. The packet is parsed into the place that it will have in the burst.
void OutboundPipeline::Admit(Packet* packet) {
  if (size_ == kMaxBatch) Flush();
  const auto type = ParseEtherType(packet->bytes());
  if (!type) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  packet->l3_offset = type->l3_offset;
  packet->protection = Protection::kNone;
  if (!type->IsIp()) {
    AdmitOther(*type, packet);
    return;
  }
  IpPacketView& ip = items_[size_].view;
  if (!ParseIpPacket(packet->l3(), &ip) ||
      (type->type == kEtherTypeIpv4) != (ip.flow.family == IpFamily::kV4)) {
    ctx_->sink.Drop(packet, DropReason::kOutBadPacket);
    return;
  }
  packet->TrimTo(packet->l3_offset + ip.total_length);  // policy sees nothing of what is behind
  if (!ip.fragment ||
      !NeedsWholeDatagram(*ctx_->path, ip, ctx_->path->interfaces[interface_].ifindex)) {
    // This host has cut it, so that the outer packet may be cut as well: nothing is lost.
    if (ip.fragment && ip.flow.family == IpFamily::kV6 &&
        ctx_->path->host_addresses().Contains(ip.flow.saddr, ip.flow.family)) {
      ip.dont_fragment = false;
    }
    AdmitIp(packet);
  } else if (Packet* whole = reassembler_.Add(packet, ip, ctx_->now_ms)) {
    CYGNET_CHECK(ParseIpPacket(whole->l3(), &ip));  // the reassembler's promise
    ip.dont_fragment = false;                       // its source had cut it already
    AdmitIp(whole);
  }
}

// What is not IP passes in clear, if at all.
void OutboundPipeline::AdmitOther(const EtherTypeView& type, Packet* packet) {
  if (!ctx_->path->pass_ether_types.MayPass(type, packet->bytes())) {
    ctx_->sink.Drop(packet, DropReason::kOutEtherType);
    return;
  }
  if (type.type == kEtherTypeArp) packet->TrimTo(type.l3_offset + kArpLength);
  Add(packet, IpPacketView{}, SaChain{});
}

// The packet that items_[size_].view describes.
void OutboundPipeline::AdmitIp(Packet* packet) {
  OutboundItem& item = items_[size_];
  const FlowDecision& decision = Decide(item.view, packet->l3());
  // What has to wait for its SA does not count as use, as in the kernel.
  const bool waits = decision.acquire && decision.action == FlowAction::kDrop;
  for (Policy* policy : {decision.forward.first, decision.forward.second}) {
    if (policy != nullptr) policy->Touch(ctx_->now);
  }
  if (decision.policy != nullptr && !waits) decision.policy->Touch(ctx_->now);
  if (decision.second != nullptr && !waits) decision.second->Touch(ctx_->now);
  if (decision.acquire) Acquire(decision, item.view.flow);
  packet->protection = decision.chain.size == 0 ? Protection::kClear : Protection::kNone;
  packet->proof = decision.stamp;
  if (decision.action == FlowAction::kDrop) {
    HoldOrDrop(packet, decision);
  } else if (packet->gso_type != GsoType::kNone) {
    AdmitSegments(packet, IpPacketView(item.view), SaChain(decision.chain));
  } else if (packet->csum_partial && !FinishChecksum(packet)) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
  } else if (FitsOrTellSender(packet, item.view, item.view.total_length, decision.chain)) {
    item.Begin(packet, decision.chain, interface_);
    ++size_;
  }
}

// Without larval_drop a packet waits for the SA that key management was just asked for.
void OutboundPipeline::HoldOrDrop(Packet* packet, const FlowDecision& decision) {
  if (!decision.acquire || !ctx_->path->hold_larval.load(std::memory_order_relaxed)) {
    ctx_->sink.Drop(packet, decision.reason);
  } else if (!hold_.Hold(packet, decision.policy->number, ctx_->now_ms)) {
    ctx_->sink.Drop(packet, DropReason::kOutHoldFull);
  }
}

// Holds until the next call.
const FlowDecision& OutboundPipeline::Decide(const IpPacketView& ip, std::span<const uint8_t> l3) {
  // First, because it depends on more than the flow (ESP in UDP and IKE share theirs).
  const int32_t ifindex = ctx_->path->interfaces[interface_].ifindex;
  if (AlwaysPasses(*ctx_->path, PolicyDirection::kOut, ifindex, ip, l3)) {
    decided_ = {.action = FlowAction::kBypass};
    return decided_;
  }
  const uint64_t generation = ctx_->path->generation();
  const uint64_t tag = OutboundTag(interface_, ip);
  if (const FlowDecision* known = cache_.Find(ip.flow, tag, generation)) return *known;
  warm_up_.CountMiss();
  decided_ = DecideOutbound(*ctx_->path, ip, ifindex);
  if (!decided_.acquire) cache_.Store(ip.flow, tag, generation, decided_);
  return decided_;
}

void OutboundPipeline::Acquire(const FlowDecision& decision, const FlowKey& flow) {
  ctx_->Report({.kind = DataPathEvent::Kind::kAcquire,
                .interface = interface_,
                .policy_number = decision.policy->number,
                .flow = flow});
}

// The largest IP packet that may go into the chain, from the outermost transform inwards.
uint32_t OutboundPipeline::InnerMtu(const IpPacketView& ip, const SaChain& chain) const {
  uint32_t mtu = ctx_->path->interfaces[interface_].wire->mtu();
  for (uint32_t i = chain.size; i-- > 0;) {
    mtu = EffectivePathMtu(*chain.sas[i], mtu, ctx_->now);
    // What the transform before this one made has a plain header.
    const uint32_t outside = i == 0                                      ? OutsideLength(ip)
                             : chain.sas[i - 1]->family == IpFamily::kV4 ? 20u
                                                                         : 40u;
    mtu = esp::InnerMtu(*chain.sas[i], mtu, outside);
  }
  return mtu;
}

// What is too big goes in fragments of the outer packet where that is allowed; else its sender has
// to know (RFC 4301 section 8.2.1).
bool OutboundPipeline::FitsOrTellSender(Packet* packet, const IpPacketView& ip, uint32_t length,
                                        const SaChain& chain) {
  // Without transforms the port has the last word.
  if (chain.size == 0) return true;
  // What this host has cut leaves in any case; smaller pieces next time spare the second cut.
  const bool must_fit = ip.dont_fragment;
  const bool worth_telling = ip.flow.family == IpFamily::kV6 && ip.fragment;
  if ((!must_fit && !worth_telling) || fits_.Covers(chain, length)) return true;
  const uint32_t mtu = InnerMtu(ip, chain);
  if (length <= mtu) {
    fits_.Learn(chain, length);
    return true;
  }
  // No sender goes below it: such a packet leaves in fragments.
  if (ip.flow.family == IpFamily::kV6 && length <= kMinIpv6Mtu) return true;
  if (!to_host_.full() && MayAnswerWithError(*packet, ip) && icmp_limiter_.Allow(ctx_->now_ms)) {
    if (Packet* answer = MakePacketTooBig(*packet, ip, mtu, &ctx_->caches.small)) {
      to_host_.Push(answer);
    }
  }
  if (!must_fit) return true;
  chain.sas[0]->sa->CountDrop(DropReason::kOutTooBig);
  ctx_->sink.Drop(packet, DropReason::kOutTooBig);
  return false;
}

void OutboundPipeline::AdmitSegments(Packet* packet, const IpPacketView& ip, const SaChain& chain) {
  Segmenter segmenter;
  if (!segmenter.Begin(*packet, ip)) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  if (!FitsOrTellSender(packet, ip, segmenter.LargestSegment(), chain)) return;
  while (!segmenter.Done()) {
    IpPacketView view;
    Packet* segment = segmenter.Next(&ctx_->caches.small, &view);
    if (segment == nullptr) {
      ctx_->sink.Drop(packet, DropReason::kNoBuffers);
      return;
    }
    Add(segment, view, chain);
  }
  ctx_->sink.Recycle(packet);
}

OutboundItem* OutboundPipeline::Add(Packet* packet, const IpPacketView& ip, const SaChain& chain) {
  if (size_ == kMaxBatch) Flush();
  OutboundItem* item = &items_[size_++];
  item->view = ip;
  item->Begin(packet, chain, interface_);
  return item;
}

// Steps 4 – 8 for what has gathered: one transform after the other, then to the wire.
void OutboundPipeline::Flush() {
  while (size_ > 0 && TransformRound()) {
  }
  TransmitAll();
}

// The next transform of every packet that has one ahead. False: there was none.
bool OutboundPipeline::TransformRound() {
  ctx_->ClearJobs();
  bool any = false;
  for (uint32_t begin = 0; begin < size_;) {
    OutboundSa* sa = CurrentSa(&items_[begin]);
    uint32_t end = begin + 1;
    while (end < size_ && (items_[end].sa() == sa || CurrentSa(&items_[end]) == sa) &&
           items_[end].last_round() == items_[begin].last_round() &&
           items_[end].egress == items_[begin].egress) {
      ++end;
    }
    if (sa != nullptr) {
      warm_up_.CountRun();
      BeginRun(sa, begin, end);
    }
    any = any || sa != nullptr;
    begin = end;
  }
  if (!any) return false;
  ctx_->RunJobs(std::span<OutboundItem>(items_.data(), size_), &in_flight_, 0, AddCpuSealJob);
  EndRound();
  return true;
}

// An SA may go between the decision and this moment, because it was rekeyed: then what holds now
// counts, another SA with luck. Nothing leaves in clear that was to be protected.
OutboundSa* OutboundPipeline::CurrentSa(OutboundItem* item) {
  OutboundSa* sa = item->sa();
  if (sa == nullptr || sa->sa->state() != SaState::kDead || item->round != 0) return sa;
  const int32_t ifindex = ctx_->path->interfaces[item->packet->interface].ifindex;
  decided_ = DecideOutbound(*ctx_->path, item->view, ifindex);
  if (decided_.action == FlowAction::kDrop || decided_.chain.size == 0) return sa;
  item->chain = decided_.chain;
  item->packet->proof = decided_.stamp;
  return item->sa();
}

// Steps 4 – 6 for items [begin, end), whose turn at `sa` it is.
void OutboundPipeline::BeginRun(OutboundSa* sa, uint32_t begin, uint32_t end) {
  const std::span<OutboundItem> run(items_.data() + begin, end - begin);
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  if (!sa->sa->usable() || binding == nullptr) {
    RefuseAll(run, DropReason::kOutStateInvalid);
    return;
  }
  for (OutboundItem& item : run) item.binding = binding;
  const bool last = run[0].last_round();
  const SequenceRange range = ChargeAndReserve(sa, run);
  MacAddress next_hop;
  uint8_t egress = run[0].egress;
  const bool known = last && FindNextHop(run[0].chain, &next_hop, &egress);
  const Interface& out = ctx_->path->interfaces[egress];
  const uint32_t path_mtu = EffectivePathMtu(*sa, out.wire->mtu(), ctx_->now);
  for (OutboundItem& item : run) {
    item.path_mtu = path_mtu;
    item.egress = egress;
  }
  Order(sa, range, run);
  if (sa->tfc_pad != 0) {
    for (OutboundItem& item : run) MakeRoomForPadding(*sa, path_mtu, &item);
  }
  OpsOf(binding->path)
      .prepare_outbound({.sa = *sa,
                         .binding = *binding,
                         .egress = last ? out.offload : nullptr,
                         .first_seq = range.first,
                         .path_mtu = path_mtu,
                         .unsealed_word = ctx_->path->unsealed_word,
                         .first_index = static_cast<uint16_t>(begin),
                         .items = run,
                         .jobs = &ctx_->jobs});
  if (known) WriteNextHop(next_hop, out.wire->mac(), run);
}

// Step 5.
SequenceRange OutboundPipeline::ChargeAndReserve(OutboundSa* sa, std::span<OutboundItem> run) {
  std::array<uint32_t, kMaxBatch> sizes;
  for (std::size_t i = 0; i < run.size(); ++i) {
    sizes[i] = esp::ProtectedLength(*sa, run[i].view);
  }
  const auto charge = sa->sa->lifetime().Charge({sizes.data(), run.size()}, ctx_->now);
  if (charge.soft_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kSoftLimit, .sa_number = sa->sa->number});
  }
  if (charge.hard_hit) {
    ctx_->Report({.kind = DataPathEvent::Kind::kHardLimit, .sa_number = sa->sa->number});
    RefuseAll(run.subspan(charge.allowed), DropReason::kOutStateExpired);
  }
  const SequenceRange range = sa->sequence.Reserve(charge.allowed);
  if (range.count < charge.allowed) {
    ctx_->Report({.kind = DataPathEvent::Kind::kSequenceExhausted, .sa_number = sa->sa->number});
    RefuseAll(run.subspan(range.count, charge.allowed - range.count), DropReason::kOutSequence);
  }
  return range;
}

// Where several workers may send by one SA, its numbers leave in order. Of nested SAs they do not:
// those are reserved round by round, and packets leave in another order than that.
void OutboundPipeline::Order(OutboundSa* sa, const SequenceRange& range,
                             std::span<OutboundItem> run) {
  if (ctx_->path->workers() == 1 || range.count == 0) return;
  if (run[0].chain.size != 1) {
    sa->sequence.Depart(range.first + range.count - 1);
    return;
  }
  const uint8_t number = departures_.Add(&sa->sequence, range, run[0].egress);
  for (OutboundItem& item : run) item.departure = number;
}

// TFC padding (RFC 4303 section 2.7) may make a small packet larger than its buffer: it moves to a
// large one. Without one it stays, and Encapsulate says that there is no room.
void OutboundPipeline::MakeRoomForPadding(const OutboundSa& sa, uint32_t path_mtu,
                                          OutboundItem* item) {
  Packet* small = item->packet;
  if (small->tailroom() >= esp::RoomBehind(sa, item->view.total_length, path_mtu)) return;
  if (small->pool == ctx_->caches.jumbo.pool()) return;
  Packet* large = ctx_->caches.jumbo.Take();
  if (large == nullptr) return;
  std::memcpy(large->Append(small->length), small->data(), small->length);
  large->l3_offset = small->l3_offset;
  large->interface = small->interface;
  item->packet = large;
  ctx_->sink.Recycle(small);
}

// The outer packet goes where the kernel's tables say; until they say, where the inner packet was
// going. Read once for the run: control may change it at any time, and the run has one way out.
bool OutboundPipeline::FindNextHop(const SaChain& chain, MacAddress* mac, uint8_t* egress) const {
  const OutboundSa* sa = Addressing(chain);
  uint8_t interface = *egress;
  if (sa == nullptr || !sa->next_hop.Get(mac, &interface)) return false;
  if (interface < ctx_->path->interfaces.size()) *egress = interface;
  return true;
}

// Behind the transform, which has moved the Ethernet header to its place.
void OutboundPipeline::WriteNextHop(const MacAddress& to, const MacAddress& own,
                                    std::span<OutboundItem> run) {
  for (OutboundItem& item : run) {
    std::memcpy(item.packet->data(), to.data(), to.size());
    std::memcpy(item.packet->data() + to.size(), own.data(), own.size());
  }
}

// Step 7: what was parked leaves the burst; what an engine sealed has to show it, and is what the
// next transform protects. What a device seals shows it at the wire.
void OutboundPipeline::EndRound() {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < size_; ++i) {
    OutboundItem& item = items_[i];
    if (item.packet == nullptr) continue;
    if (item.sa() != nullptr && item.packet->offload.status == OffloadStatus::kSealed) {
      FinishSealed(&item);
    }
    if (item.sa() != nullptr && ++item.round < item.chain.size) {
      const auto view = ParseIpPacket(item.packet->l3());
      if (item.packet->offload.status != OffloadStatus::kSealed) {
        item.verdict = DropReason::kOutGuard;
      } else if (view) {
        // IPv6 does not show it.
        const bool may_be_cut = !item.view.dont_fragment && view->flow.family == IpFamily::kV6;
        item.view = *view;
        if (may_be_cut) item.view.dont_fragment = false;
      } else {
        item.verdict = DropReason::kOutTooBig;
      }
      item.packet->offload = OffloadMeta{};
    }
    if (kept != i) items_[kept] = item;
    ++kept;
  }
  size_ = kept;
}

void OutboundPipeline::FinishSealed(OutboundItem* item) {
  const OutboundSa& sa = *item->sa();
  Packet* packet = item->packet;
  if (!ShowsSeal(*packet, ctx_->path->unsealed_word)) {
    item->verdict = DropReason::kOutNotSealed;
    return;
  }
  packet->protection = Protection::kProven;
  if (esp::NeedsUdpChecksum(sa)) esp::FinishUdpChecksum(sa, packet);
}

// Step 7 for jobs that took their time.
uint32_t OutboundPipeline::Resume() {
  uint32_t resumed = 0;
  while (!in_flight_.empty()) {
    ctx_->ClearJobs();
    CryptoStatus status;
    while (size_ < kMaxBatch && in_flight_.Pop(&items_[size_], &status)) {
      OutboundItem* item = &items_[size_];
      item->departure = 0;  // nobody waited for what was parked
      if (status == CryptoStatus::kNotDone) {
        AddCpuSealJob(*item, static_cast<uint16_t>(size_), &ctx_->jobs);
      } else {
        CompleteJob(status, item);
      }
      ++size_;
    }
    if (size_ == 0) break;
    resumed += size_;
    ctx_->RunJobs(std::span<OutboundItem>(items_.data(), size_), &in_flight_, 0, AddCpuSealJob);
    EndRound();
    Flush();
  }
  return resumed;
}

// The guard: a packet of a flow that is protected leaves sealed by every transform, or by a device
// that it asks to do the last one, or not at all.
DropReason OutboundPipeline::Guard(const OutboundItem& item) const {
  if (item.verdict != DropReason::kNone || item.chain.size == 0) return item.verdict;
  const OffloadStatus status = item.packet->offload.status;
  const bool by_device = status == OffloadStatus::kSealRequested &&
                         ctx_->path->interfaces[item.egress].offload != nullptr;
  const bool done = item.round == item.chain.size && status == OffloadStatus::kSealed;
  return done || (by_device && item.round == item.chain.size) ? DropReason::kNone
                                                              : DropReason::kOutGuard;
}

// Step 8, in the order the packets came, one burst per interface.
void OutboundPipeline::TransmitAll() {
  if (size_ == 0 && departures_.empty()) return;
  const std::size_t interfaces = ctx_->path->interfaces.size();
  for (std::size_t out = 0; out < interfaces; ++out) TransmitBy(static_cast<uint8_t>(out));
  departures_.Clear();
  size_ = 0;
}

void OutboundPipeline::TransmitBy(uint8_t egress) {
  PacketBatch batch;
  const auto send = [&] { SendBatch(egress, &batch); };
  const uint32_t wire_mtu = ctx_->path->interfaces[egress].wire->mtu();
  departures_.Begin(egress);
  for (uint32_t i = 0; i < size_; ++i) {
    const OutboundItem& item = items_[i];
    if (item.egress != egress) continue;
    if (batch.full()) send();
    departures_.Reach(item.departure, send);
    const DropReason reason = Guard(item);
    if (reason == DropReason::kNone) {
      Send(item, wire_mtu, &batch);
    } else {
      Refuse(item, reason);
    }
  }
  departures_.End(send);
}

void OutboundPipeline::Refuse(const OutboundItem& item, DropReason reason) {
  if (reason == DropReason::kOutGuard || reason == DropReason::kOutNotSealed) {
    if (EgressGuard* guard = ctx_->path->interfaces[item.egress].guard) {
      guard->Report(*item.packet, reason);
    }
  }
  if (item.chain.size > 0) {
    const uint32_t last = item.chain.size - 1u;
    item.chain.sas[item.round < last ? item.round : last]->sa->CountDrop(reason);
  }
  ctx_->sink.Drop(item.packet, reason);
}

void OutboundPipeline::SendBatch(uint8_t egress, PacketBatch* batch) {
  if (batch->empty()) return;
  ctx_->path->interfaces[egress].wire->Transmit(ctx_->number, batch, &ctx_->sink);
}

// One packet that may leave: whole, or in fragments when the way to the peer is too narrow for it
// and its DF bit allows that (RFC 4303 section 3.3.4).
void OutboundPipeline::Send(const OutboundItem& item, uint32_t wire_mtu, PacketBatch* batch) {
  Packet* packet = item.packet;
  const uint32_t mtu = std::min(wire_mtu, item.path_mtu);
  const uint32_t length = packet->length - packet->l3_offset;
  if (length <= mtu) {
    batch->Push(packet);
    return;
  }
  const auto view = ParseIpPacket(packet->l3());
  // What has DF, and an IPv6 packet that somebody else sent, is the port's or a router's to refuse.
  const bool cut = view.has_value() && packet->gso_type == GsoType::kNone &&
                   (view->flow.family == IpFamily::kV6 ? item.chain.size > 0 || !view->fragment
                                                       : !view->dont_fragment);
  if (!cut) {
    batch->Push(packet);
    return;
  }
  const auto emit = [&](Packet* fragment) {
    if (batch->full()) SendBatch(item.egress, batch);
    batch->Push(fragment);
  };
  (void)FragmentPacket(packet, *view, mtu, fragment_id_++, &ctx_->sink, emit);  // counted there
}

}  // namespace cygnet
