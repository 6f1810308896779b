#include "datapath/warm_up.h"

#include <algorithm>

#include "base/endian.h"
#include "datapath/flow_decider.h"
#include "datapath/flow_decision.h"
#include "datapath/straight_way.h"
#include "net/ethernet.h"

namespace cygnet {
namespace {

// kLevel2 leaves room in the nearest cache for what is used before.
enum class Into : uint8_t { kLevel1, kLevel2 };

template <Into kInto = Into::kLevel1, typename T>
void PrefetchLines(const T* object, std::size_t lines) {
  constexpr int kLocality = kInto == Into::kLevel1 ? 3 : 2;
  const auto* at = reinterpret_cast<const char*>(object);
  for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(at + i * kCacheLine, 0, kLocality);
}

void PrefetchHalf(const OutboundSa* sa) { PrefetchLines(sa, 3); }
// A plain window of 128 packets is in the second line.
void PrefetchHalf(const InboundSa* sa) { PrefetchLines(sa, 2); }

// The other data that a run needs: first the binding, then, in a second step, the key schedule that
// the binding points to.
template <typename Half>
void PrefetchBinding(const Half& half) {
  half.sa->PrefetchUse();
  __builtin_prefetch(half.binding.load(std::memory_order_acquire));
}

template <typename Half>
void PrefetchSession(const Half& half) {
  constexpr std::size_t kScheduleLines = 5;  // AES-128 of vaes_gcm
  const SaBinding* binding = half.binding.load(std::memory_order_acquire);
  if (binding != nullptr) {
    PrefetchLines<Into::kLevel2>(binding->cpu.session.get(), kScheduleLines);
    binding->PrefetchRare();
  }
}

// True if nothing but the CPU can do cryptography. Then no binding needs to be looked at, which
// would have to be waited for.
bool HasCpuAlone(const WorkerContext& ctx) {
  const auto& interfaces = ctx.path->interfaces;
  return std::none_of(ctx.look_aside.begin(), ctx.look_aside.end(), [](bool is) { return is; }) &&
         std::all_of(interfaces.begin(), interfaces.end(),
                     [](const Interface& i) { return i.offload == nullptr; });
}

bool IsOfCpu(const OutboundSa& sa) {
  const SaBinding* binding = sa.binding.load(std::memory_order_acquire);
  return binding != nullptr && binding->cpu_alone();
}

// What the packet names its SA by, read without validation. False: it does not look like ESP.
bool ReadName(const Packet& packet, Sad::InboundName* name) {
  constexpr uint32_t kEnough = kEthernetHeader + 40 + 4;
  if (packet.length < kEnough) return false;
  const uint8_t* ip = packet.data() + kEthernetHeader;
  if (ip[0] == 0x45) {
    const uint32_t udp = ip[9] == kProtoUdp ? 8 : 0;
    if (udp == 0 && ip[9] != kProtoEsp) return false;
    *name = {Spi(LoadBe32(ip + 20 + udp)), IpAddress::V4(ip + 16), IpFamily::kV4, kProtoEsp};
    return true;
  }
  if (ip[0] >> 4 != 6 || ip[6] != kProtoEsp) return false;
  *name = {Spi(LoadBe32(ip + 40)), IpAddress::V6(ip + 24), IpFamily::kV6, kProtoEsp};
  return true;
}

// The SAs that new flows will find.
void PrefetchAnswers(const Sad& sad, std::span<const FlowKey* const> flows,
                     std::span<const PolicyMatch> matches) {
  std::array<Sad::OutboundQuery, kMaxBatch> queries;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    const auto query = FirstOutboundQuery(matches[i], *flows[i]);
    queries[i] = query.value_or(Sad::OutboundQuery{});
  }
  for (int step = 0; step < Sad::kPrefetchSteps; ++step) {
    for (const Sad::OutboundQuery& query : std::span(queries).first(flows.size())) {
      if (query.proto != 0) sad.PrefetchOutbound(query, step);
    }
  }
  for (const Sad::OutboundQuery& query : std::span(queries).first(flows.size())) {
    const Sa* sa = query.proto != 0 ? sad.PeekOutbound(query) : nullptr;
    if (sa != nullptr && sa->outbound() != nullptr) PrefetchHalf(sa->outbound());
  }
}

}  // namespace

void WarmUp::Inbound(const WorkerContext& ctx, std::span<Packet* const> packets) {
  const Sad& sad = ctx.path->sad;
  generation_ = ctx.path->generation();
  std::array<Sad::InboundName, kMaxBatch> names;
  std::array<uint8_t, kMaxBatch> index;
  std::array<const InboundSa*, kMaxBatch> halves;
  uint32_t n = 0;
  for (const Packet* packet : packets) {
    sas_[packets_] = nullptr;
    index[n] = static_cast<uint8_t>(packets_++);
    if (ReadName(*packet, &names[n])) ++n;
  }
  for (int step = 0; step < Sad::kPrefetchSteps; ++step) {
    for (uint32_t i = 0; i < n; ++i) sad.PrefetchInbound(names[i], step);
  }
  uint32_t found = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const Sa* sa = sas_[index[i]] = sad.LookupInbound(names[i]);
    if (sa == nullptr || sa->inbound() == nullptr) continue;
    halves[found] = sa->inbound();
    PrefetchHalf(halves[found++]);
  }
  for (uint32_t i = 0; i < found; ++i) PrefetchBinding(*halves[i]);
  for (uint32_t i = 0; i < found; ++i) PrefetchSession(*halves[i]);
}

// False: the packet has no flow that can be looked up before the pipeline has seen it.
[[gnu::always_inline]] inline bool WarmUp::ReadFlow(const DataPath& path, uint8_t interface,
                                                    const Packet& packet, Flow* flow) const {
  flow->plain = may_go_straight_ && StraightLength(packet) != 0;
  if (!flow->plain) return ReadAnyFlow(path, interface, packet, flow);
  flow->name = PlainFlows::Name(PlainFlow(packet.data() + kEthernetHeader), interface);
  flow->tag = interface;
  flow->place = flow->name.Place();
  return true;
}

bool WarmUp::ReadAnyFlow(const DataPath& path, uint8_t interface, const Packet& packet,
                         Flow* flow) {
  const auto type = ParseEtherType(packet.bytes());
  if (!type || !type->IsIp()) return false;
  auto ip = ParseIpPacket(packet.bytes().subspan(type->l3_offset));
  if (!ip || ip->fragment) return false;  // fragments may need reassembly first
  if (packet.tunnel != 0 && !SetTunnelOf(path, packet, &ip->flow)) return false;
  flow->key = ip->flow;
  flow->tag = OutboundTag(interface, *ip);
  flow->place = FlowCache::PlaceOf(flow->key, flow->tag);
  return true;
}

// Fills flows_ with the flows of the batch, but a flow once where packets of it follow each other.
// Returns how many.
uint32_t WarmUp::ReadFlows(const DataPath& path, uint8_t interface,
                           std::span<Packet* const> packets, const FlowCache& cache,
                           const PlainFlows& plain) {
  uint32_t n = 0;
  for (const Packet* packet : packets) {
    Flow& flow = flows_[n];
    uint32_t& place = places_[packets_++];
    if (!ReadFlow(path, interface, *packet, &flow)) continue;
    place = flow.place;
    flow.sa = nullptr;
    const Flow* before = n > 0 ? &flows_[n - 1] : nullptr;
    const bool again = before != nullptr && place == before->place && flow.plain == before->plain &&
                       (flow.plain ? flow.name == before->name : flow.key == before->key);
    if (again) continue;
    ++n;
    if (flow.plain) {
      plain.Prefetch(place);
    } else {
      cache.Prefetch(place);
    }
  }
  return n;
}

// True if a decision about the flow is stored where it is looked for. Sets its SA.
inline bool WarmUp::Find(Flow* flow, uint64_t generation, FlowCache* cache,
                         const PlainFlows& plain) const {
  const FlowDecision* known;
  if (flow->plain) {
    const PlainFlows::Entry* entry = plain.Find(flow->place, flow->name, generation);
    if (entry != nullptr && entry->sa != nullptr) {
      flow->sa = entry->sa;
      return true;
    }
    flow->name.Flow().WriteTo(&flow->key);
    if (entry == nullptr) return false;
    known = cache->Find(flow->key, flow->tag, generation);
  } else {
    known = cache->FindAt(flow->place, flow->key, flow->tag, generation);
  }
  if (known != nullptr && known->chain.size > 0) flow->sa = known->chain.sas[0];
  return known != nullptr;
}

void WarmUp::Outbound(const WorkerContext& ctx, uint8_t interface, std::span<Packet* const> packets,
                      FlowDecider* decider, PlainFlows* plain) {
  FlowCache* const cache = decider->cache();
  const uint64_t generation = ctx.path->generation();
  may_go_straight_ = MayGoStraight(*ctx.path, static_cast<uint32_t>(packets.size()));
  const uint32_t n = ReadFlows(*ctx.path, interface, packets, *cache, *plain);
  std::array<Flow*, kMaxBatch> fresh;
  uint32_t size = 0;
  for (Flow& flow : std::span(flows_).first(n)) {
    if (!Find(&flow, generation, cache, *plain)) {
      fresh[size++] = &flow;
    } else if (flow.sa != nullptr) {
      PrefetchHalf(flow.sa);
    }
  }
  if (size > 0) {
    Decide(ctx, ctx.path->interfaces[interface].ifindex, {fresh.data(), size}, decider, plain);
  }
  std::array<const OutboundSa*, kMaxBatch> sas;  // one where flows of it follow each other
  uint32_t many = 0;
  for (const Flow& flow : std::span(flows_).first(n)) {
    if (flow.sa == nullptr || (many > 0 && sas[many - 1] == flow.sa)) continue;
    PrefetchBinding(*flow.sa);
    sas[many++] = flow.sa;
  }
  for (const OutboundSa* sa : std::span(sas).first(many)) PrefetchSession(*sa);
}

// Makes the decisions that the pipeline would otherwise make one by one.
void WarmUp::Decide(const WorkerContext& ctx, int32_t ifindex, std::span<Flow* const> fresh,
                    FlowDecider* decider, PlainFlows* plain) {
  const DataPath& path = *ctx.path;
  if (path.PolicyIdle()) return;
  const Moment moment{path.generation(), DecisionStamp(path), ifindex, HasCpuAlone(ctx)};
  std::array<const FlowKey*, kMaxBatch> flows;
  std::array<PolicyMatch, kMaxBatch> matches;
  for (std::size_t i = 0; i < fresh.size(); ++i) flows[i] = &fresh[i]->key;
  path.spd.Lookup(PolicyDirection::kOut, std::span(flows).first(fresh.size()), ifindex, matches);
  // A usual decision needs the first line; a look for SAs the policy's template.
  const bool many_sas = path.sad.reachable() > kManySas;
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    if (matches[i].any()) PrefetchLines(matches[i].first, many_sas ? 3 : 1);
  }
  if (many_sas) {
    PrefetchAnswers(path.sad, std::span(flows).first(fresh.size()), matches);
  }
  const Policy* last = nullptr;   // of the flow before
  OutboundSa* last_sa = nullptr;  // by which all its flows go straight; nullptr: it may be another
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    Flow* flow = fresh[i];
    Policy* policy = matches[i].first;
    const bool as_last = last_sa != nullptr && flow->plain && policy != nullptr &&
                         matches[i].second == nullptr && policy->asks == last->asks &&
                         !MayAlwaysPass(flow->key);
    if (as_last) {
      CountNewFlow();
      flow->sa = last_sa;
      plain->Store(flow->place, flow->name, moment.generation, policy, last_sa);
    } else {
      last_sa = DecideOne(moment, matches[i], flow, decider, plain);
      last = policy;
    }
  }
}

// Returns the SA by which all flows of the policy go the straight way; nullptr: they do not, or
// others have not shown it.
OutboundSa* WarmUp::DecideOne(const Moment& moment, const PolicyMatch& match, Flow* flow,
                              FlowDecider* decider, PlainFlows* plain) {
  const FlowDecision* decision = decider->Usual(match, moment.generation);
  const bool usual = decision != nullptr;
  bool holds = true;
  if (!usual) {
    IpPacketView ip;  // a whole packet
    ip.flow = flow->key;
    const auto decided =
        decider->DecideNew(ip, moment.generation, moment.ifindex, match, moment.stamp);
    decision = &decided.decision;
    holds = decided.holds;
  }
  OutboundSa* const sa = decision->chain.size > 0 ? decision->chain.sas[0] : nullptr;
  if (sa != nullptr) flow->sa = sa;
  if (!holds) return nullptr;
  const bool straight =
      flow->plain && GoesStraight(flow->key, *decision) && (moment.cpu_alone || IsOfCpu(*sa)) &&
      plain->Store(flow->place, flow->name, moment.generation, *decision) != nullptr;
  if (straight) return usual ? sa : nullptr;
  decider->cache()->Store(flow->key, flow->tag, moment.generation, *decision);
  if (flow->plain) plain->Note(flow->place, flow->name, moment.generation);
  return nullptr;
}

}  // namespace cygnet
