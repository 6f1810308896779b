#include "datapath/warm_up.h"

#include "base/endian.h"
#include "datapath/flow_decider.h"
#include "datapath/flow_decision.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

template <typename T>
void PrefetchLines(const T* object, std::size_t lines) {
  const auto* at = reinterpret_cast<const char*>(object);
  for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(at + i * kCacheLine);
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
  if (binding != nullptr) PrefetchLines(binding->cpu.session.get(), kScheduleLines);
}

// The SPI and address that identify the SA of an ESP packet, read without validation.
struct EspName {
  Spi spi;
  IpAddress daddr;
};
bool ReadName(const Packet& packet, EspName* name) {
  constexpr uint32_t kEnough = kEthernetHeader + 40 + 4;
  if (packet.length < kEnough) return false;
  const uint8_t* ip = packet.data() + kEthernetHeader;
  if (ip[0] == 0x45) {
    const uint32_t udp = ip[9] == kProtoUdp ? 8 : 0;
    if (udp == 0 && ip[9] != kProtoEsp) return false;
    *name = {Spi(LoadBe32(ip + 20 + udp)), IpAddress::V4(ip + 16)};
    return true;
  }
  if (ip[0] >> 4 != 6 || ip[6] != kProtoEsp) return false;
  *name = {Spi(LoadBe32(ip + 40)), IpAddress::V6(ip + 24)};
  return true;
}

}  // namespace

void WarmUp::Inbound(const WorkerContext& ctx, std::span<Packet* const> packets) {
  const Sad& sad = ctx.path->sad;
  std::array<EspName, kMaxBatch> names;
  std::array<const InboundSa*, kMaxBatch> halves;
  uint32_t n = 0;
  for (const Packet* packet : packets) {
    if (ReadName(*packet, &names[n])) ++n;
  }
  for (int step = 0; step < Sad::kPrefetchSteps; ++step) {
    for (uint32_t i = 0; i < n; ++i) {
      sad.PrefetchInbound(names[i].spi, names[i].daddr, kProtoEsp, step);
    }
  }
  uint32_t found = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const Sa* sa = sad.PeekInbound(names[i].spi, names[i].daddr, kProtoEsp);
    if (sa == nullptr || sa->inbound() == nullptr) continue;
    halves[found] = sa->inbound();
    PrefetchHalf(halves[found++]);
  }
  for (uint32_t i = 0; i < found; ++i) PrefetchBinding(*halves[i]);
  for (uint32_t i = 0; i < found; ++i) PrefetchSession(*halves[i]);
}

void WarmUp::Outbound(const WorkerContext& ctx, uint8_t interface, std::span<Packet* const> packets,
                      FlowDecider* decider) {
  FlowCache* const cache = decider->cache();
  const uint64_t generation = ctx.path->generation();
  uint32_t n = 0;
  for (const Packet* packet : packets) {
    const auto type = ParseEtherType(packet->bytes());
    if (!type || !type->IsIp()) continue;
    auto ip = ParseIpPacket(packet->bytes().subspan(type->l3_offset));
    if (!ip || ip->fragment) continue;  // fragments may need reassembly first
    if (packet->tunnel != 0 && !SetTunnelOf(*ctx.path, *packet, &ip->flow)) continue;
    flows_[n] = {*ip, OutboundTag(interface, *ip), nullptr};
    cache->Prefetch(ip->flow, flows_[n].tag);
    ++n;
  }
  std::array<Flow*, kMaxBatch> fresh;
  uint32_t size = 0;
  for (uint32_t i = 0; i < n; ++i) {
    Flow& flow = flows_[i];
    const FlowDecision* known = cache->Find(flow.ip.flow, flow.tag, generation);
    if (known == nullptr) {
      fresh[size++] = &flow;
    } else if (known->chain.size > 0) {
      flow.sa = known->chain.sas[0];
      PrefetchHalf(flow.sa);
    }
  }
  misses_ += size;
  if (size > 0) Decide(ctx, ctx.path->interfaces[interface].ifindex, {fresh.data(), size}, decider);
  for (uint32_t i = 0; i < n; ++i) {
    if (flows_[i].sa != nullptr) PrefetchBinding(*flows_[i].sa);
  }
  for (uint32_t i = 0; i < n; ++i) {
    if (flows_[i].sa != nullptr) PrefetchSession(*flows_[i].sa);
  }
}

// Makes the decisions that the pipeline would otherwise make one by one.
void WarmUp::Decide(const WorkerContext& ctx, int32_t ifindex, std::span<Flow* const> fresh,
                    FlowDecider* decider) {
  const DataPath& path = *ctx.path;
  if (path.PolicyIdle()) return;
  const uint64_t generation = path.generation();
  const uint64_t stamp = DecisionStamp(path);
  std::array<const FlowKey*, kMaxBatch> flows;
  std::array<PolicyMatch, kMaxBatch> matches;
  std::array<Sad::OutboundQuery, kMaxBatch> queries;
  for (std::size_t i = 0; i < fresh.size(); ++i) flows[i] = &fresh[i]->ip.flow;
  path.spd.Lookup(PolicyDirection::kOut, std::span(flows).first(fresh.size()), ifindex, matches);
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    if (matches[i].any()) PrefetchLines(matches[i].first, 3);  // with its template
  }
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    const auto query = FirstOutboundQuery(matches[i], *flows[i]);
    queries[i] = query.value_or(Sad::OutboundQuery{});
  }
  for (int step = 0; step < Sad::kPrefetchSteps; ++step) {
    for (const Sad::OutboundQuery& query : std::span(queries).first(fresh.size())) {
      if (query.proto != 0) path.sad.PrefetchOutbound(query, step);
    }
  }
  for (const Sad::OutboundQuery& query : std::span(queries).first(fresh.size())) {
    const Sa* sa = query.proto != 0 ? path.sad.PeekOutbound(query) : nullptr;
    if (sa != nullptr && sa->outbound() != nullptr) PrefetchHalf(sa->outbound());
  }
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    Flow* flow = fresh[i];
    const FlowDecision& decision =
        decider->DecideNew(flow->ip, flow->tag, generation, ifindex, matches[i], stamp);
    if (decision.chain.size > 0) flow->sa = decision.chain.sas[0];
  }
}

}  // namespace cygnet
