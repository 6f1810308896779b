#include "datapath/inbound_steps.h"

namespace cygnet {

DropReason CheckInboundState(const Sa& sa) {
  const SaState state = sa.state();
  if (state == SaState::kLarval) return DropReason::kInAcquireState;
  if (sa.inbound() == nullptr) return DropReason::kInWrongDirection;
  if (state == SaState::kExpired) return DropReason::kInStateExpired;
  return sa.usable() ? DropReason::kNone : DropReason::kInStateInvalid;
}

void CommitReplay(WorkerContext* ctx, InboundSa* sa, std::span<const uint64_t> seq,
                  std::span<DropReason> verdict) {
  // A device infers high words from the number that it received last. Update it every half
  // subspace.
  const SaBinding* binding = sa->binding.load(std::memory_order_acquire);
  const bool tells_device = sa->esn && binding->device() != nullptr;
  const uint64_t before = tells_device ? sa->replay.highest() : 0;
  if (sa->replay.CommitRun(seq, verdict) == NumbersLeft::kLow) {
    ctx->Report({.kind = DataPathEvent::Kind::kNumbersLow, .sa_number = sa->sa->number});
  }
  if (!tells_device) return;
  const uint64_t after = sa->replay.highest();
  if ((before >> 31) != (after >> 31)) binding->device()->AdvanceEsn(binding->handle, after);
}

void ChargeOpened(WorkerContext* ctx, const InboundSa& sa, std::span<const uint32_t> sizes,
                  std::span<DropReason> verdict) {
  uint32_t packets = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < sizes.size(); ++i) {
    if (verdict[i] != DropReason::kNone) continue;
    ++packets;
    bytes += sizes[i];
  }
  Lifetime& lifetime = sa.sa->lifetime();
  if (lifetime.ChargeUnlimited(packets, bytes, ctx->now, ctx->path->chargers())) return;
  std::array<uint32_t, kMaxBatch> charged;
  std::array<uint8_t, kMaxBatch> index;
  uint32_t n = 0;
  for (uint32_t i = 0; i < sizes.size(); ++i) {
    if (verdict[i] != DropReason::kNone) continue;
    index[n] = static_cast<uint8_t>(i);
    charged[n++] = sizes[i];
  }
  if (n == 0) return;
  const auto charge = lifetime.Charge({charged.data(), n}, ctx->now, ctx->path->chargers());
  if (charge.soft_hit) {
    ctx->Report({.kind = DataPathEvent::Kind::kSoftLimit, .sa_number = sa.sa->number});
  }
  if (charge.hard_hit) {
    ctx->Report({.kind = DataPathEvent::Kind::kHardLimit, .sa_number = sa.sa->number});
    for (uint32_t k = charge.allowed; k < n; ++k) verdict[index[k]] = DropReason::kInStateExpired;
  }
}

DropReason VerdictOf(WorkerContext* ctx, const FlowDecision& decision) {
  if (decision.policy != nullptr) decision.policy->Touch(ctx->now);
  if (decision.second != nullptr) decision.second->Touch(ctx->now);
  return decision.action == FlowAction::kBypass ? DropReason::kNone : decision.reason;
}

}  // namespace cygnet
