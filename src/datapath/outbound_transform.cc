#include "datapath/outbound_transform.h"

#include <cstring>

#include "datapath/flow_decision.h"
#include "datapath/outbound_steps.h"
#include "datapath/path_mtu.h"
#include "datapath/returned.h"
#include "datapath/shadow/device_shadow.h"
#include "esp/size.h"

namespace cygnet {
namespace {

// The properties that all packets of a run share.
struct RunKey {
  OutboundSa* sa = nullptr;
  bool last_round = false;
  uint8_t egress = 0;
  bool operator==(const RunKey&) const = default;
};

void RefuseAll(std::span<OutboundItem> items, DropReason reason) {
  for (OutboundItem& item : items) item.verdict = reason;
}

// Packets of tunnel and inside interfaces have no Ethernet header of the host that names a
// neighbour.
void RefuseWithoutNextHop(std::span<OutboundItem> run) {
  for (OutboundItem& item : run) {
    if (item.packet->enclosed() && item.verdict == DropReason::kNone) {
      item.verdict = DropReason::kOutNoNextHop;
    }
  }
}

// How many of the packets for the device `out` the CPU computes again: one of so many.
uint32_t ShadowOneOf(const SaBinding& binding, const Interface& out) {
  return binding.shadow() != nullptr && out.shadow != nullptr ? out.shadow->one_of() : 0;
}

// The output of one transform is the input of the next.
DropReason BeginNextRound(OutboundItem* item) {
  const bool sealed = item->packet->offload.status == OffloadStatus::kSealed;
  item->packet->offload = OffloadMeta{};
  if (!sealed) return DropReason::kOutGuard;
  const auto view = ParseIpPacket(item->packet->l3());
  if (!view) return DropReason::kOutTooBig;
  // An outer IPv6 header does not show whether the packet may be cut, so keep that.
  const bool may_be_cut = !item->view.dont_fragment && view->flow.family == IpFamily::kV6;
  item->view = *view;
  if (may_be_cut) item->view.dont_fragment = false;
  return DropReason::kNone;
}

}  // namespace

const OutboundSa* AddressingSa(const SaChain& chain) {
  for (uint32_t i = chain.size; i-- > 0;) {
    if (chain.sas[i]->mode != SaMode::kTransport) return chain.sas[i];
  }
  return chain.size == 0 ? nullptr : chain.sas[chain.size - 1u];
}

void OutboundTransform::Add(Packet* packet, const IpPacketView& view, const SaChain& chain) {
  OutboundItem* item = Claim();
  item->view = view;
  item->Begin(packet, chain);
  Commit();
}

void OutboundTransform::Flush() {
  while (!items_.empty() && Round()) {
  }
  Leave();
}

void OutboundTransform::Leave() {
  departure_->SendAll(items_.all());
  items_.Clear();
}

// A rekeying may remove an SA after the decision. Then policy is asked again. Returns the SA of the
// next transform.
inline OutboundSa* OutboundTransform::ReResolveIfDead(OutboundItem* item) const {
  OutboundSa* sa = item->sa();
  const bool dead = sa != nullptr && sa->sa->state() == SaState::kDead && item->round == 0;
  return dead ? ReResolve(item) : sa;
}

// Usually there is a new SA. If policy now drops the packet or lets it leave in clear, the dead SA
// stays in the chain, which drops the packet: a packet that needed protection never leaves in
// clear.
OutboundSa* OutboundTransform::ReResolve(OutboundItem* item) const {
  const int32_t ifindex = ctx_->path->interfaces[item->packet->interface].ifindex;
  const FlowDecision now = DecideOutbound(*ctx_->path, item->view, ifindex, ctx_->cpu);
  if (now.action == FlowAction::kDrop || now.chain.size == 0) return item->sa();
  item->chain = now.chain;
  item->packet->proof = now.stamp;
  return item->sa();
}

// Step 5: the next transform of every packet that has one left. False if none has.
bool OutboundTransform::Round() {
  ctx_->ClearJobs();
  bool any = false;
  const auto key = [this](OutboundItem* item) {
    OutboundSa* sa = ReResolveIfDead(item);
    return RunKey{sa, item->last_round(), item->egress};
  };
  ForEachRun(items_.all(), key, [&](uint16_t first_index, std::span<OutboundItem> run) {
    OutboundSa* sa = run[0].sa();
    if (sa == nullptr) return;
    any = true;
    warm_up_->CountRun();
    BeginRun(sa, first_index, run);
  });
  if (!any) return false;
  ctx_->RunJobs(items_.all(), &in_flight_, kOutboundTag, AddCpuSealJob);
  EndRound();
  return true;
}

// Steps 6 and 7.
void OutboundTransform::BeginRun(OutboundSa* sa, uint16_t first_index,
                                 std::span<OutboundItem> run) {
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  if (!sa->sa->usable() || binding == nullptr) {
    RefuseAll(run, DropReason::kOutStateInvalid);
    return;
  }
  const PathOps& ops = OpsOf(binding->path);
  SequenceRange range;
  if (ops.outbound == Bookkeeper::kStack) range = ChargeAndNumber(sa, run);
  const bool last = run[0].last_round();
  MacAddress next_hop;
  uint8_t egress = run[0].egress;
  const bool known = last && FindNextHop(run[0].chain, &next_hop, &egress);
  const Interface& out = ctx_->path->interfaces[egress];
  const uint32_t path_mtu = EffectivePathMtu(*sa, out.wire->mtu(), ctx_->now);
  const uint8_t departure_run = KeepOrder(sa, range, run[0].chain, egress);
  for (OutboundItem& item : run) {
    item.binding = binding;
    item.path_mtu = path_mtu;
    item.egress = egress;
    item.departure_run = departure_run;
    if (sa->tfc_pad != 0) MakeRoomForPadding(*sa, path_mtu, &item);
  }
  const bool recorded = ctx_->record.on();
  if (recorded) ctx_->record.BeginRun(run);
  ops.prepare_outbound({.sa = *sa,
                        .binding = *binding,
                        .egress = last ? out.offload : nullptr,
                        .first_seq = range.first,
                        .path_mtu = path_mtu,
                        .unsealed_word = ctx_->path->unsealed_word,
                        .shadow_one_of = ShadowOneOf(*binding, out),
                        .sampler = &ctx_->sampler,
                        .first_index = first_index,
                        .items = run,
                        .jobs = &ctx_->jobs});
  if (recorded) ctx_->record.EndRun(*sa, range.first, run);
  // After the transform, which has moved the Ethernet header to its final place.
  if (known) {
    const MacAddress own = out.wire->mac();
    for (OutboundItem& item : run) WriteNextHop(next_hop, own, item.packet);
  } else if (last && (!ctx_->path->tunnels.empty() || !ctx_->path->inside.empty())) {
    RefuseWithoutNextHop(run);
  }
}

// Step 6. Packets beyond a limit of the SA get a drop verdict.
SequenceRange OutboundTransform::ChargeAndNumber(OutboundSa* sa, std::span<OutboundItem> run) {
  std::array<uint32_t, kMaxBatch> sizes;
  for (std::size_t i = 0; i < run.size(); ++i) {
    sizes[i] = esp::ProtectedLength(*sa, run[i].view);
  }
  const RunGrant grant = ChargeAndReserve(ctx_, sa, {sizes.data(), run.size()});
  for (std::size_t i = grant.range.count; i < run.size(); ++i) {
    run[i].verdict = grant.VerdictOf(i);
  }
  return grant.range;
}

// Returns OutboundItem::departure_run of the run. Numbers of nested SAs are not kept in order: they
// are reserved round by round, but packets leave in a different order.
uint8_t OutboundTransform::KeepOrder(OutboundSa* sa, const SequenceRange& range,
                                     const SaChain& chain, uint8_t egress) {
  if (ctx_->path->workers() == 1 || range.count == 0) return 0;
  if (chain.size == 1) return departure_->KeepOrder(&sa->sequence, range, egress);
  sa->sequence.Depart(range.first + range.count - 1);
  return 0;
}

// TFC padding (RFC 4303 section 2.7) may make a small packet larger than its buffer. Then it moves
// to a large buffer. If none is free, it stays and Encapsulate reports kOutNoRoom.
void OutboundTransform::MakeRoomForPadding(const OutboundSa& sa, uint32_t path_mtu,
                                           OutboundItem* item) {
  Packet* small = item->packet;
  const uint32_t room = esp::RoomBehind(sa, item->view.total_length, path_mtu);
  if (small->tailroom() >= room) return;
  if (small->pool == ctx_->caches.jumbo.pool()) return;
  Packet* large = ctx_->caches.TakeLong(small->length + room);
  if (large == nullptr) return;
  std::memcpy(large->Append(small->length), small->data(), small->length);
  large->l3_offset = small->l3_offset;
  large->TakeOrigin(*small);
  item->packet = large;
  ctx_->sink.Recycle(small);
}

// The outer packet goes to the next hop from the kernel's tables; until that is known, to the inner
// packet's. Read once per run, because control may change it at any time and a run has one egress.
bool OutboundTransform::FindNextHop(const SaChain& chain, MacAddress* mac, uint8_t* egress) const {
  const OutboundSa* sa = AddressingSa(chain);
  uint8_t interface = *egress;
  if (!sa->next_hop.Get(mac, &interface)) return false;
  if (interface < ctx_->path->interfaces.size()) *egress = interface;
  return true;
}

// Step 8, after the CPU's jobs. Parked packets leave the batch. A packet that an engine sealed must
// show its seal here; one that a device seals is checked at the wire.
void OutboundTransform::EndRound() {
  items_.Compact();
  for (OutboundItem& item : items_.all()) {
    const OutboundSa* sa = item.sa();
    if (sa == nullptr) continue;
    if (item.packet->offload.status == OffloadStatus::kSealed) {
      item.verdict = FinishSealed(ctx_, *sa, item.binding, item.packet);
      if (item.verdict != DropReason::kNone) continue;
    }
    if (++item.round < item.chain.size) item.verdict = BeginNextRound(&item);
  }
}

// Repeats steps 7 to 9 on the CPU.
void OutboundTransform::SealReturned(uint8_t interface, PacketBatch* returned) {
  ctx_->ClearJobs();
  for (Packet* packet : returned->packets()) {
    const auto index = static_cast<uint16_t>(items_.size());
    OutboundItem* item = items_.Claim();
    *item = MakeReturnedItem(*ctx_->path, interface, packet);
    if (item->chain.size > 0) {
      item->path_mtu = EffectivePathMtu(*item->chain.sas[0], OutboundItem::kAnyMtu, ctx_->now);
    }
    items_.Commit();
    if (item->verdict == DropReason::kNone) AddCpuSealJob(*item, index, &ctx_->jobs);
  }
  returned->ReleaseAll();
  ctx_->RunJobs(items_.all(), &in_flight_, kOutboundTag, AddCpuSealJob);
  EndRound();
  Leave();
}

uint32_t OutboundTransform::Resume() {
  return ResumeParked(ctx_, &in_flight_, &items_, kOutboundTag, AddCpuSealJob, [this] {
    // Numbers of parked packets already count as departed, so no worker waits for them.
    for (OutboundItem& item : items_.all()) item.departure_run = 0;
    EndRound();
    Flush();
  });
}

}  // namespace cygnet
