#include "datapath/outbound_straight.h"

#include <algorithm>
#include <utility>

#include "datapath/path_mtu.h"
#include "datapath/seal_proof.h"
#include "datapath/straight_way.h"
#include "device/segment.h"
#include "esp/crypto_jobs.h"
#include "esp/encapsulate.h"
#include "esp/finish.h"
#include "esp/size.h"
#include "net/checksum.h"
#include "net/ethernet.h"

namespace cygnet {
namespace {

constexpr uint32_t kPlainIpv4Header = 20;
constexpr uint32_t kLongestPacket = 0xffff;

// Headers that stay in front of ESP.
uint32_t Outside(const OutboundSa& sa) {
  return sa.mode == SaMode::kTransport ? kPlainIpv4Header : 0;
}

// What a router checks in a header without options.
bool MayBeForwarded(const uint8_t* ip) {
  return HopLimit(ip) > 1 && Checksum({ip, kPlainIpv4Header}) == 0;
}

// The general way knows what to do near a limit, and for other shapes.
bool IsPlain(const OutboundSa& sa) {
  const uint64_t last = sa.sequence.last_sent();
  const uint64_t edge = sa.sequence.edge();
  return IsStraightKind(sa) && edge > last && edge - last >= kMaxBatch &&
         sa.sa->lifetime().HasRoomFor(kMaxBatch, uint64_t{kMaxBatch} * kLongestPacket);
}

}  // namespace

OutboundStraight::OutboundStraight(WorkerContext* context, WarmUp* warm_up, FlowDecider* decider,
                                   const HoldQueue* for_hop)
    : ctx_(context),
      warm_up_(warm_up),
      decider_(decider),
      for_hop_(for_hop),
      flows_(context->path->flow_entries) {
  view_.flow.family = IpFamily::kV4;
  view_.header_length = kPlainIpv4Header;
  view_.ip_header_length = kPlainIpv4Header;
}

void CompleteJob(CryptoStatus status, OutboundLane* lane) {
  if (status == CryptoStatus::kOk) {
    lane->packet->offload.status = OffloadStatus::kSealed;
  } else {
    lane->verdict = DropReason::kOutCryptoError;
  }
}

void OutboundStraight::Begin(uint8_t interface, uint8_t inside, uint32_t packets) {
  const DataPath& path = *ctx_->path;
  open_ = MayGoStraight(path, packets);
  in_vain_ = 0;
  at_ = 0;
  interface_ = interface;
  inside_ = inside;
  if (open_) wire_mtu_ = path.interfaces[interface].wire->mtu();
  checks_source_ = inside != 0 || !path.inside.empty();
  Forget();
}

void OutboundStraight::Forget() {
  runs_ = 0;
  generation_ = 0;
}

// Steps 2 to 4.
uint32_t OutboundStraight::Take(std::span<Packet* const> left) {
  const uint64_t generation = ctx_->path->generation();
  const std::size_t most = open_ ? left.size() : 0;  // only Find closes it
  Run* run = LastRun();
  uint32_t n = 0;
  for (; n < most; ++n) {
    Packet* packet = left[n];
    const uint32_t length = StraightLength(*packet);
    const uint8_t* ip = packet->data() + kEthernetHeader;
    if (length == 0 || (inside_ != 0 && !MayBeForwarded(ip))) break;
    const PlainFlow flow(ip);
    if (flow_ != flow || generation_ != generation) {
      if (!Find(at_ + n, flow, generation)) break;
      run = LastRun();
    }
    if (length > run->longest) break;
    packet->l3_offset = kEthernetHeader;
    packet->TrimTo(kEthernetHeader + length);
    if (packet->csum_partial && !FinishChecksum(packet)) break;
    lanes_[size_++] = {.packet = packet,
                       .length = static_cast<uint16_t>(length),
                       .tos = ip[1],
                       .dont_fragment = (ip[6] & 0x40) != 0,
                       .verdict = DropReason::kNone};
    run->bytes += length;
    run->end = static_cast<uint8_t>(size_);
  }
  at_ += n + 1;
  return n;
}

// Step 3, for the first packet of a flow, which is number `at` of the batch. False: the general way
// decides.
[[gnu::noinline]] bool OutboundStraight::Find(uint32_t at, PlainFlow flow, uint64_t generation) {
  if (!Lookup(at, flow, generation)) {
    open_ = ++in_vain_ < kPatience;
    return false;
  }
  in_vain_ = 0;
  flow_ = flow;
  generation_ = generation;
  return true;
}

bool OutboundStraight::Lookup(uint32_t at, const PlainFlow& flow, uint64_t generation) {
  if (checks_source_ && !IsFromKnownSource(flow)) return false;
  const PlainFlows::Name name(flow, interface_);
  uint32_t place;
  if (!warm_up_->PlaceOf(at, &place)) place = name.Place();
  const PlainFlows::Entry* known = flows_.Find(place, name, generation);
  if (known == nullptr || known->sa == nullptr) known = Learn(place, name, flow, generation);
  if (known == nullptr) return false;
  if ((runs_ == 0 || run_[runs_ - 1].sa != known->sa) && !OpenRun(known->sa)) return false;
  known->CountUse(ctx_->now);
  return true;
}

// From the general way, which has decided about an earlier packet of the flow.
const PlainFlows::Entry* OutboundStraight::Learn(uint32_t place, const PlainFlows::Name& name,
                                                 const PlainFlow& flow, uint64_t generation) {
  const FlowKey key = flow.Key();
  const FlowDecision* decision = decider_->KnownOutbound(interface_, key, generation);
  return decision != nullptr && GoesStraight(key, *decision)
             ? flows_.Store(place, name, generation, *decision)
             : nullptr;
}

// What leaves by a tunnel interface goes the general way, too.
bool OutboundStraight::IsFromKnownSource(const PlainFlow& flow) const {
  const DataPath& path = *ctx_->path;
  if (inside_ != 0) {
    uint16_t tunnel = 0;
    return RouteFromInside(path, inside_, flow.Key(), &tunnel) == DropReason::kNone && tunnel == 0;
  }
  return !IsUnknownSource(path, path.inside.ScopeOf(interface_), flow.Key());
}

bool OutboundStraight::OpenRun(OutboundSa* sa) {
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  if (!sa->sa->usable() || binding == nullptr || !binding->cpu_alone() || !IsPlain(*sa)) {
    return false;
  }
  Run* run = &run_[runs_];
  const auto& interfaces = ctx_->path->interfaces;
  uint8_t egress = interface_;
  run->next_hop_known = sa->next_hop.Get(&run->next_hop, &egress);
  if (inside_ != 0 && !IsAddressed(*run, *sa)) return false;
  run->egress = egress < interfaces.size() ? egress : interface_;
  const uint32_t wire_mtu = run->egress == interface_
                                ? wire_mtu_
                                : std::min(wire_mtu_, interfaces[run->egress].wire->mtu());
  run->path_mtu = EffectivePathMtu(*sa, wire_mtu, ctx_->now);
  run->longest = esp::InnerMtu(*sa, run->path_mtu, Outside(*sa));
  run->sa = sa;
  run->binding = binding;
  run->departure = 0;
  run->begin = run->end = static_cast<uint8_t>(size_);
  run->bytes = 0;
  generation_ = 0;  // the last flow is of another run
  ++runs_;
  return true;
}

// Packets of inside interfaces have no Ethernet header that names the next hop.
bool OutboundStraight::IsAddressed(const Run& run, const OutboundSa& sa) const {
  return run.next_hop_known && sa.mode == SaMode::kTunnel && !for_hop_->Holds(sa.sa->number);
}

void OutboundStraight::Send() {
  ctx_->ClearJobs();
  for (uint32_t run = 0; run < runs_; ++run) Seal(run);
  ctx_->RunCpuJobs(std::span(lanes_).first(size_));
  Depart();
  size_ = 0;
  Forget();
}

RunGrant OutboundStraight::Grant(const Run& run, std::span<const OutboundLane> lanes) const {
  const auto packets = static_cast<uint32_t>(lanes.size());
  const uint32_t outside = Outside(*run.sa);
  if (run.sa->sa->lifetime().ChargeUnlimited(packets, run.bytes - packets * outside, ctx_->now,
                                             ctx_->path->chargers())) {
    return ReserveNumbers(ctx_, run.sa, packets);
  }
  std::array<uint32_t, kMaxBatch> sizes;
  for (std::size_t i = 0; i < lanes.size(); ++i) sizes[i] = lanes[i].length - outside;
  return ChargeAndReserve(ctx_, run.sa, {sizes.data(), lanes.size()});
}

// Steps 6 and 7.
void OutboundStraight::Seal(uint32_t number) {
  Run* run = &run_[number];
  const OutboundSa& sa = *run->sa;
  const std::span<OutboundLane> lanes = LanesOf(*run);
  if (lanes.empty()) return;
  warm_up_->CountRun();
  const RunGrant grant = Grant(*run, lanes);
  const bool ordered = ctx_->path->workers() > 1 && grant.range.count > 0;
  run->departure = ordered ? order_.Add(&run->sa->sequence, grant.range, run->egress) : 0;
  const EngineSession& cpu = run->binding->cpu;
  __builtin_prefetch(cpu.session.get());  // for the engine
  const esp::JobParams params = esp::ParamsOf(sa, cpu.session.get());
  const esp::Encapsulator esp_packet(sa, run->path_mtu);
  const EspLayout layout = sa.layout;
  const uint64_t unsealed = ctx_->path->unsealed_word;
  const bool next_hop_known = run->next_hop_known;
  const MacAddress own =
      next_hop_known ? ctx_->path->interfaces[run->egress].wire->mac() : MacAddress{};
  const bool from_inside = inside_ != 0;
  const uint32_t begin = run->begin;
  JobList* const jobs = &ctx_->jobs[cpu.engine];
  for (uint32_t i = 0; i < lanes.size(); ++i) {
    OutboundLane& lane = lanes[i];
    Packet* packet = lane.packet;
    if (from_inside) LowerHopLimit(packet->l3().data());
    lane.verdict = grant.VerdictOf(i);
    if (lane.verdict != DropReason::kNone) continue;
    const uint64_t seq = grant.range.first + i;
    lane.verdict = Build(lane, esp_packet, seq);
    if (lane.verdict != DropReason::kNone) continue;
    if (!OweSeal(layout, unsealed, packet)) {
      lane.verdict = DropReason::kOutTooBig;
      continue;
    }
    esp::BuildJob(params, packet->bytes().subspan(packet->offload.esp_offset),
                  packet->offload.esn_high, jobs->Add(static_cast<uint16_t>(begin + i)));
    if (next_hop_known) WriteNextHop(run->next_hop, own, packet);
  }
}

[[gnu::always_inline]] inline DropReason OutboundStraight::Build(
    const OutboundLane& lane, const esp::Encapsulator& esp_packet, uint64_t seq) {
  switch (esp_packet.shape()) {
    case esp::Encapsulator::Shape::kTunnel:
      return esp_packet.BuildTunnel({.length = lane.length,
                                     .tos = lane.tos,
                                     .next_header = kProtoIpip,
                                     .must_not_be_cut = lane.dont_fragment},
                                    seq, lane.packet);
    case esp::Encapsulator::Shape::kTransport:
      return esp_packet.BuildTransport(lane.length, seq, lane.packet);
    default:
      return BuildAny(lane, esp_packet, seq);
  }
}

DropReason OutboundStraight::BuildAny(const OutboundLane& lane, const esp::Encapsulator& esp_packet,
                                      uint64_t seq) {
  view_.total_length = lane.length;
  view_.tos = lane.tos;
  view_.dont_fragment = lane.dont_fragment;
  return esp_packet.Build(view_, seq, lane.packet);
}

// Steps 8 and 9.
void OutboundStraight::Depart() {
  const std::size_t interfaces = ctx_->path->interfaces.size();
  for (std::size_t out = 0; out < interfaces; ++out) DepartBy(static_cast<uint8_t>(out));
  order_.Clear();
}

void OutboundStraight::DepartBy(uint8_t egress) {
  PacketBatch batch;
  const auto send = [&] {
    if (batch.empty()) return;
    ctx_->path->interfaces[egress].wire->Transmit(ctx_->number, &batch, &ctx_->sink);
  };
  order_.Begin(egress);
  for (uint32_t number = 0; number < runs_; ++number) {
    const Run& run = run_[number];
    if (run.egress != egress) continue;
    order_.Reach(run.departure, send);
    for (OutboundLane& lane : LanesOf(run)) {
      Packet* packet = lane.packet;
      if (lane.verdict == DropReason::kNone) {
        lane.verdict = packet->offload.status == OffloadStatus::kSealed
                           ? FinishSealed(ctx_, *run.sa, run.binding, packet)
                           : DropReason::kOutGuard;
      }
      if (lane.verdict == DropReason::kNone) {
        batch.Push(packet);
      } else {
        RefuseOutbound(ctx_, egress, run.sa, lane.verdict, packet);
      }
    }
  }
  order_.End(send);
}

}  // namespace cygnet
