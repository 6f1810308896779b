// Inbound: from the wire to the host (architecture, section 5; RFC 4301 section 5.2, RFC 4303
// section 3.4). The order of the security steps stands here and nowhere else.
#pragma once

#include <array>

#include "datapath/coalesce.h"
#include "datapath/early_arrivals.h"
#include "datapath/in_flight.h"
#include "datapath/path_mtu.h"
#include "datapath/path_ops.h"
#include "datapath/reassembly.h"
#include "datapath/warm_up.h"
#include "datapath/worker_context.h"

namespace cygnet {

class InboundPipeline {
 public:
  // `random`: of this worker alone; seeds what others must not foresee.
  InboundPipeline(WorkerContext* context, uint64_t random)
      : ctx_(context), reassembler_(&context->sink, random), early_(&context->sink) {}

  ~InboundPipeline() { ctx_->path->opened_fragments.Clear(&ctx_->sink); }

  // Takes all packets of `in`, which came from the wire by `interface`.
  void Run(uint8_t interface, PacketBatch* in);

  // Between two bursts: forgets fragments that waited too long, tries again what came too early.
  void RunTimers() {
    if (!reassembler_.Idle()) reassembler_.Expire(ctx_->now_ms);
    SharedReassembler& opened = ctx_->path->opened_fragments;
    if (!opened.Idle()) opened.Expire(&ctx_->sink, ctx_->now_ms);
    if (!early_.Idle()) RetryEarly();
  }
  // When RunTimers has something to do at the latest, monotonic milliseconds.
  std::optional<uint64_t> NextTimerMs(uint64_t now_ms) const { return early_.NextDueMs(now_ms); }

  // A look-aside engine finished the job with this tag.
  void OnJobDone(uint32_t tag, CryptoStatus status) { in_flight_.Finish(tag, status); }
  // Goes on with what is finished. Returns how many packets.
  uint32_t Resume();
  const InFlight<InboundItem>& in_flight() const { return in_flight_; }

 private:
  // 1 – 3: classify, find the SA.
  void Admit(Packet* packet);
  void RetryEarly();
  bool AdmitIp(uint16_t ether_type, InboundItem* item);
  bool Reassemble(InboundItem* item);
  bool TakeJoined(Packet* whole, const Reassembler::Cut& cut, InboundItem* item);
  DropReason Classify(InboundItem* item);
  bool IsForIpsec(const InboundItem& item) const;
  void LearnFromIcmp(const InboundItem& item);
  void ReportShortQuote(const InboundItem& item, const OuterError& error);
  DropReason FindSa(InboundItem* item);
  DropReason CheckClearPacket(const InboundItem& item);
  // 4 – 10 for every layer of ESP a packet has, then to the host.
  void Finish();
  bool OpenRound();
  // 4 – 6: replay check, prepare.
  void BeginRun(uint32_t begin, uint32_t end);
  // 7 – 10: authentication result, replay commit, lifetime, decapsulate, policy.
  void CompleteRound();
  static bool WasGuessedWrong(InboundSa* sa, const InboundItem& item);
  void CompleteRun(InboundSa* sa, std::span<InboundItem> run);
  void CommitReplay(InboundSa* sa, std::span<InboundItem> run);
  void ChargeLifetime(InboundSa* sa, std::span<InboundItem> run);
  void TellMapping(const InboundSa& sa, const InboundItem& item);
  DropReason DecapsulateAndCheck(InboundSa* sa, InboundItem* item);
  DropReason CheckPolicy(const InboundItem& item);
  DropReason CheckOpened(InboundItem* item);
  bool IsPassingBy(const InboundItem& item) const;
  void Deliver();
  void DeliverInPieces(const InboundItem& item, Port* host, PacketBatch* batch);

  WorkerContext* const ctx_;
  FlowCache cache_{ctx_->path->flow_entries};
  FlowDecision decided_;  // that was not in the cache
  // More SAs than entries and few policies: a look-up costs less than an entry that is not there.
  bool cache_in_vain_ = false;
  WarmUp warm_up_;
  Coalescer coalescer_;
  InFlight<InboundItem> in_flight_;
  Reassembler reassembler_;  // of what came in clear; what SAs opened is the DataPath's
  EarlyArrivals early_;
  uint64_t next_short_quote_ms_ = 0;
  uint32_t size_ = 0;
  std::array<InboundItem, kMaxBatch> items_;
};

}  // namespace cygnet
