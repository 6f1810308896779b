// Inbound: from the wire to the host (RFC 4301 section 5.2, RFC 4303 section 3.4). The steps, in
// the order of the code, which is the order of the security checks; ARCHITECTURE.md names the files
// of each.
//    1  receive: a batch of the wire's port; a device may have opened ESP in place
//    2  classify: frame, IP header; reassemble fragments; ESP for this host, or in clear
//    3  SAD look-up; ESP that arrives before its SA waits
//    4  runs: packets of one SA that follow each other
//    5  replay check; the high word of the sequence number
//    6  prepare: the device's status, or a job for an engine
//    7  cryptography: engines do the jobs
//    8  trailer; replay commit; lifetime
//    9  decapsulate; reassemble inner fragments; ESP for this host goes back to step 3
//   10  policy check with the inner flow and all SAs that opened the packet; then to the host
// Packets in clear go from step 2 to step 10. Most ESP packets take the straight way
// (inbound_straight.h), which does the same for packets that need nothing special.
#pragma once

#include "datapath/coalesce.h"
#include "datapath/early_arrivals.h"
#include "datapath/flow_decider.h"
#include "datapath/inbound_steps.h"
#include "datapath/inbound_straight.h"
#include "datapath/item_batch.h"
#include "datapath/path_mtu.h"
#include "datapath/path_ops.h"
#include "datapath/reassembly.h"
#include "datapath/shadow/inbound_shadow.h"
#include "datapath/warm_up.h"
#include "datapath/worker_context.h"
#include "net/frame.h"

namespace cygnet {

class InboundPipeline {
 public:
  // `random`: a seed for unpredictable values, different for each worker.
  InboundPipeline(WorkerContext* context, uint64_t random)
      : ctx_(context),
        reassembler_(&context->sink, random),
        early_(&context->sink),
        shadow_(context->CpuQueues()) {}

  ~InboundPipeline() {
    ctx_->path->opened_fragments.Clear(&ctx_->sink);
    KeepMirror(nullptr);
  }

  // Takes all packets of `in`, which arrived from the wire of `interface`.
  void Run(uint8_t interface, PacketBatch* in);

  // Call between batches. Drops fragments that waited too long, and retries packets that came
  // before their SA.
  void RunTimers() {
    if (!reassembler_.Idle()) reassembler_.Expire(ctx_->now_ms);
    SharedReassembler& opened = ctx_->path->opened_fragments;
    if (!opened.Idle()) opened.Expire(&ctx_->sink, ctx_->now_ms);
    if (!early_.Idle()) RetryEarly();
  }
  // The latest time for the next RunTimers, in monotonic milliseconds.
  std::optional<uint64_t> NextTimerMs(uint64_t now_ms) const { return early_.NextDueMs(now_ms); }

  // Call when a look-aside engine has finished the job with this tag.
  void OnJobDone(uint32_t tag, CryptoStatus status) { in_flight_.Finish(tag, status); }
  // Continues with packets whose jobs are finished. Returns their number.
  uint32_t Resume();
  const InFlight<InboundItem>& in_flight() const { return in_flight_; }

 private:
  // The outcome of a step for one packet.
  enum class Outcome : uint8_t {
    kKept,   // it continues with the next step
    kWaits,  // for other fragments, or for its SA
    kGone,   // dropped and counted, or swallowed
  };

  void GoStraight();
  void TakeOver(const InboundStraight::Part& part);

  // Steps 2 and 3.
  void AdmitArrived(Packet* packet);
  bool AdmitSegments(Packet* packet);
  void Admit(Packet* packet);
  Outcome AdmitOther(const EtherTypeView& type, InboundItem* item);
  Outcome AdmitIp(InboundItem* item);
  Outcome Drop(const InboundItem& item, DropReason reason);
  Outcome Reassemble(InboundItem* item);
  static Outcome TakeJoined(Packet* whole, const Reassembler::Cut& cut, InboundItem* item);
  Outcome Classify(InboundItem* item);
  Outcome AdmitEsp(Sa* sa, InboundItem* item);
  bool IsForThisHost(const InboundItem& item) const;
  DropReason UseSa(Sa* sa, InboundItem* item);
  Outcome AdmitFromPacketDevice(const Frame& frame, InboundItem* item);
  Outcome AdmitDecapsulated(const Frame& frame, InboundItem* item);
  void KeepMirror(Packet* copy);
  DropReason CheckInner(OffloadHandle handle, const Sa& sa, const SaBinding& binding,
                        const InboundItem& item);
  static void DescribeOpened(const InboundSa& sa, InboundItem* item);
  DropReason CheckClearPacket(const InboundItem& item);
  bool HasOptionsToRefuse(const InboundItem& item) const;
  void LearnFromIcmp(const InboundItem& item);
  void ReportShortQuote(const InboundItem& item, const OuterError& error);
  void RetryEarly();

  // Steps 4 to 10 for every layer of ESP that a packet has, then to the host.
  void Finish();
  bool OpenRound();
  void BeginRun(uint16_t first_index, std::span<InboundItem> run);
  void HoldOver(std::span<InboundItem> run);
  void CompleteRound();
  static bool WasGuessedWrong(InboundSa* sa, const InboundItem& item);
  void CompleteRun(InboundSa* sa, std::span<InboundItem> run);
  void CommitAndCharge(InboundSa* sa, std::span<InboundItem> run);
  void ReportMapping(const InboundSa& sa, const InboundItem& item);
  void DecapsulateAndCheck(InboundSa* sa, InboundItem* item);
  Outcome ReassembleOpened(InboundItem* item);
  DropReason CheckOpened(InboundItem* item);
  DropReason EnterTunnel(InboundItem* item);
  DropReason CheckPolicy(const InboundItem& item);
  bool IsPassingBy(const InboundItem& item) const;
  void Deliver();
  void DeliverToTunnels();
  bool LeavesInside(const InboundItem& item);
  void DeliverInside(InsideInterface* to, std::span<InboundItem> items);
  void SendAllInside(PacketBatch* batch);
  void DropRefused(InboundItem* item);
  void DeliverOne(const InboundItem& item, Port* host, PacketBatch* batch, uint32_t* tcp);
  void Transmit(Port* host, uint32_t tcp, PacketBatch* batch);
  void DeliverInPieces(const InboundItem& item, Port* host, PacketBatch* batch);

  WorkerContext* const ctx_;
  WarmUp warm_up_;
  FlowDecider decider_{ctx_->path, &warm_up_, ctx_->cpu};
  Coalescer coalescer_;
  InFlight<InboundItem> in_flight_;
  Reassembler reassembler_;  // for clear packets; DataPath::opened_fragments has the opened ones
  EarlyArrivals early_;
  InboundShadow shadow_;
  Packet* mirror_ = nullptr;  // the copy of the packet that comes next
  uint64_t next_short_quote_ms_ = 0;
  ItemBatch<InboundItem> items_;
  InboundStraight straight_{ctx_, &warm_up_, &decider_};
};

}  // namespace cygnet
