// Steps of the inbound pipeline (inbound_pipeline.h) that the general and the straight way share.
#pragma once

#include <span>

#include "datapath/flow_decider.h"
#include "datapath/worker_context.h"
#include "packet/drop_reason.h"
#include "sa/sa.h"

namespace cygnet {

// Whether the SA may open packets now: kNone, or why not.
DropReason CheckInboundState(const Sa& sa);

// Step 8, for a run of one SA: marks the numbers of authenticated packets, then charges the SA's
// lifetime (`sizes`: bytes that it counts). Packets with a verdict are skipped; the others may get
// one.
void CommitReplay(WorkerContext* ctx, InboundSa* sa, std::span<const uint64_t> seq,
                  std::span<DropReason> verdict);
void ChargeOpened(WorkerContext* ctx, const InboundSa& sa, std::span<const uint32_t> sizes,
                  std::span<DropReason> verdict);

// Step 10: whether policy lets a packet pass that `decision` is about. Notes that the policies were
// used.
DropReason VerdictOf(WorkerContext* ctx, const FlowDecision& decision);

}  // namespace cygnet
