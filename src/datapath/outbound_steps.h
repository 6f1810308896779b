// Steps of the outbound pipeline (outbound_pipeline.h) that the general and the straight way share.
#pragma once

#include <cstring>
#include <span>

#include "datapath/sa_binding.h"
#include "datapath/seal_proof.h"
#include "datapath/worker_context.h"
#include "esp/finish.h"
#include "net/ethernet.h"
#include "packet/drop_reason.h"
#include "sa/sa.h"

namespace cygnet {

// Step 2, for a packet of an inside interface (Packet::inside): whether its source may be behind
// it, and the way of the host's route: by the device (*tunnel is 0) or into a tunnel.
DropReason RouteFromInside(const DataPath& path, uint8_t inside, const FlowKey& flow,
                           uint16_t* tunnel);
// Step 4, for a packet that the kernel forwarded to here: true if its source may be behind an
// inside interface, but control has not named it. `scope`: ScopeOf the packet.
bool IsUnknownSource(const DataPath& path, InsideScope scope, const FlowKey& flow);

// What a run of one SA may send, from its first packet on.
struct RunGrant {
  SequenceRange range;                                    // numbers of the first packets
  uint32_t charged = 0;                                   // packets within the SA's lifetime
  DropReason without_number = DropReason::kOutNoNumbers;  // for packets from range.count on

  // The verdict of packet i of the run.
  DropReason VerdictOf(std::size_t i) const {
    if (i < range.count) return DropReason::kNone;
    return i < charged ? without_number : DropReason::kOutStateExpired;
  }
};

// Reports to control what the counter needs, and sets grant->without_number if there are no more.
void ReportNumbers(WorkerContext* ctx, const OutboundSa& sa, RunGrant* grant);

// Step 6. `sizes`: bytes that the lifetime counts, of each packet of the run. Reports the limits
// that it meets.
RunGrant ChargeAndReserve(WorkerContext* ctx, OutboundSa* sa, std::span<const uint32_t> sizes);
// Its second half, for packets that are charged.
inline RunGrant ReserveNumbers(WorkerContext* ctx, OutboundSa* sa, uint32_t charged) {
  RunGrant grant{.range = sa->sequence.Reserve(charged), .charged = charged};
  if (grant.range.low || grant.range.count < charged) ReportNumbers(ctx, *sa, &grant);
  return grant;
}

// Step 8: a packet that an engine of `binding` sealed must show it. On kNone it is proven.
// `binding`: nullptr if unknown.
inline DropReason FinishSealed(WorkerContext* ctx, const OutboundSa& sa, const SaBinding* binding,
                               Packet* packet) {
  if (!ShowsSeal(*packet, ctx->path->unsealed_word)) {
    if (binding != nullptr) ctx->BlameEngine(binding->engine().engine);
    return DropReason::kOutNotSealed;
  }
  packet->protection = Protection::kProven;
  if (esp::NeedsUdpChecksum(sa)) esp::FinishUdpChecksum(sa, packet);
  return DropReason::kNone;
}

// Step 9: drops a packet. `sa`: whose drop it is, nullptr if it has none.
void RefuseOutbound(WorkerContext* ctx, uint8_t egress, const OutboundSa* sa, DropReason reason,
                    Packet* packet);

inline void WriteNextHop(const MacAddress& to, const MacAddress& own, Packet* packet) {
  std::memcpy(packet->data(), to.data(), to.size());
  std::memcpy(packet->data() + to.size(), own.data(), own.size());
}

}  // namespace cygnet
