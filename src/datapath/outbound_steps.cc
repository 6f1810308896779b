#include "datapath/outbound_steps.h"

#include "datapath/seal_proof.h"
#include "esp/finish.h"
#include "esp/size.h"

namespace cygnet {

RunGrant ChargeAndReserve(WorkerContext* ctx, OutboundSa* sa, std::span<const uint32_t> sizes) {
  const auto report = [&](DataPathEvent::Kind kind) {
    ctx->Report({.kind = kind, .sa_number = sa->sa->number});
  };
  const auto charge = sa->sa->lifetime().Charge(sizes, ctx->now, ctx->path->chargers());
  if (charge.soft_hit) report(DataPathEvent::Kind::kSoftLimit);
  if (charge.hard_hit) report(DataPathEvent::Kind::kHardLimit);
  RunGrant grant{.range = sa->sequence.Reserve(charge.allowed), .charged = charge.allowed};
  if (grant.range.low) report(DataPathEvent::Kind::kNumbersLow);
  if (grant.range.count < charge.allowed && sa->sequence.exhausted()) {
    report(DataPathEvent::Kind::kSequenceExhausted);
    grant.without_number = DropReason::kOutSequence;
  }
  return grant;
}

DropReason FinishSealed(WorkerContext* ctx, const OutboundSa& sa, const SaBinding* binding,
                        Packet* packet) {
  if (!ShowsSeal(*packet, ctx->path->unsealed_word)) {
    if (binding != nullptr) ctx->BlameEngine(binding->engine().engine);
    return DropReason::kOutNotSealed;
  }
  packet->protection = Protection::kProven;
  if (esp::NeedsUdpChecksum(sa)) esp::FinishUdpChecksum(sa, packet);
  return DropReason::kNone;
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
