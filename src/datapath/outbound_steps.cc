#include "datapath/outbound_steps.h"

namespace cygnet {

// The program at the interface has checked the same, but the host or the route may have moved
// since.
DropReason RouteFromInside(const DataPath& path, uint8_t inside, const FlowKey& flow,
                           uint16_t* tunnel) {
  *tunnel = 0;
  InsideSource* const source =
      path.inside.FindSource({SourceScope(inside), {flow.saddr, flow.family}});
  if (source == nullptr) return DropReason::kOutInsideSource;
  source->use.Touch();
  const InsideRoutes* const routes =
      source->of_class.load(std::memory_order_acquire)->routes.load(std::memory_order_acquire);
  if (routes == nullptr) return DropReason::kNone;
  const InsideStep& step = routes->Find(flow.daddr);
  if (!step.taken) return DropReason::kOutInsidePolicy;
  *tunnel = step.tunnel;
  return DropReason::kNone;
}

bool IsUnknownSource(const DataPath& path, InsideScope scope, const FlowKey& flow) {
  return scope != kNoInsideScope &&
         path.inside.FindHost({scope, {flow.saddr, flow.family}}) == nullptr &&
         !path.host_addresses().Contains(flow.saddr, flow.family);
}

void ReportNumbers(WorkerContext* ctx, const OutboundSa& sa, RunGrant* grant) {
  const auto report = [&](DataPathEvent::Kind kind) {
    ctx->Report({.kind = kind, .sa_number = sa.sa->number});
  };
  if (grant->range.low) report(DataPathEvent::Kind::kNumbersLow);
  if (grant->range.count < grant->charged && sa.sequence.exhausted()) {
    report(DataPathEvent::Kind::kSequenceExhausted);
    grant->without_number = DropReason::kOutSequence;
  }
}

RunGrant ChargeAndReserve(WorkerContext* ctx, OutboundSa* sa, std::span<const uint32_t> sizes) {
  const auto report = [&](DataPathEvent::Kind kind) {
    ctx->Report({.kind = kind, .sa_number = sa->sa->number});
  };
  const auto charge = sa->sa->lifetime().Charge(sizes, ctx->now, ctx->path->chargers());
  if (charge.soft_hit) report(DataPathEvent::Kind::kSoftLimit);
  if (charge.hard_hit) report(DataPathEvent::Kind::kHardLimit);
  return ReserveNumbers(ctx, sa, charge.allowed);
}

void RefuseOutbound(WorkerContext* ctx, uint8_t egress, const OutboundSa* sa, DropReason reason,
                    Packet* packet) {
  if (reason == DropReason::kOutGuard || reason == DropReason::kOutNotSealed) {
    if (SealGuard* guard = ctx->path->interfaces[egress].guard) guard->Report(*packet, reason);
  }
  if (sa != nullptr) sa->sa->CountDrop(reason);
  ctx->sink.Drop(packet, reason);
}

}  // namespace cygnet
