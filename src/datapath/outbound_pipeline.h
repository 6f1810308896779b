// Outbound: from the host to the wire (architecture, section 4; RFC 4301 section 5.1).
#pragma once

#include <array>

#include "datapath/departures.h"
#include "datapath/hold_queue.h"
#include "datapath/icmp_error.h"
#include "datapath/in_flight.h"
#include "datapath/path_ops.h"
#include "datapath/reassembly.h"
#include "datapath/segment.h"
#include "datapath/warm_up.h"
#include "datapath/worker_context.h"

namespace cygnet {

class OutboundPipeline {
 public:
  // `random`: of this worker alone; seeds what others must not foresee.
  OutboundPipeline(WorkerContext* context, uint64_t random)
      : ctx_(context),
        reassembler_(&context->sink, random),
        hold_(&context->sink),
        fragment_id_(static_cast<uint32_t>(random >> 32)) {}

  // Takes all packets of `in`, which came from the host by `interface`.
  void Run(uint8_t interface, PacketBatch* in);
  // Frames of control (DataPath::injected): they leave as they are.
  void RunInjected(PacketBatch* in);
  // Takes what the device of `interface` handed back unsealed out of `in`; the rest stays.
  void RunReturned(uint8_t interface, PacketBatch* in);
  // Between two bursts: tries again what waits for key management, forgets what waited too long.
  void RunTimers();
  // When RunTimers has something to do at the latest, monotonic milliseconds.
  std::optional<uint64_t> NextTimerMs() const { return hold_.NextDueMs(); }

  // A look-aside engine finished the job with this tag.
  void OnJobDone(uint32_t tag, CryptoStatus status) { in_flight_.Finish(tag, status); }
  // Goes on with what is finished. Returns how many packets.
  uint32_t Resume();
  const InFlight<OutboundItem>& in_flight() const { return in_flight_; }

 private:
  // 1 – 3: parse, decide.
  void Admit(Packet* packet);
  void AdmitOther(const EtherTypeView& type, Packet* packet);
  void AdmitIp(Packet* packet);
  const FlowDecision& Decide(const IpPacketView& ip, std::span<const uint8_t> l3);
  void Acquire(const FlowDecision& decision, const FlowKey& flow);
  void HoldOrDrop(Packet* packet, const FlowDecision& decision);
  void AnswerToHost();
  // 3b: super-packets are looked up once and cut here; what does not fit is answered.
  void AdmitSegments(Packet* packet, const IpPacketView& ip, const SaChain& chain);
  uint32_t InnerMtu(const IpPacketView& ip, const SaChain& chain) const;
  bool FitsOrTellSender(Packet* packet, const IpPacketView& ip, uint32_t length,
                        const SaChain& chain);
  OutboundItem* Add(Packet* packet, const IpPacketView& ip, const SaChain& chain);
  // 4 – 8: rounds of runs (lifetime and sequence, prepare, crypto), then transmit.
  void Flush();
  bool TransformRound();
  OutboundSa* CurrentSa(OutboundItem* item);
  void BeginRun(OutboundSa* sa, uint32_t begin, uint32_t end);
  SequenceRange ChargeAndReserve(OutboundSa* sa, std::span<OutboundItem> run);
  void Order(OutboundSa* sa, const SequenceRange& range, std::span<OutboundItem> run);
  void MakeRoomForPadding(const OutboundSa& sa, uint32_t path_mtu, OutboundItem* item);
  bool FindNextHop(const SaChain& chain, MacAddress* mac, uint8_t* egress) const;
  static void WriteNextHop(const MacAddress& to, const MacAddress& own,
                           std::span<OutboundItem> run);
  void EndRound();
  void FinishSealed(OutboundItem* item);
  void TransmitAll();
  void TransmitBy(uint8_t egress);
  void Refuse(const OutboundItem& item, DropReason reason);
  DropReason Guard(const OutboundItem& item) const;
  void Send(const OutboundItem& item, uint32_t wire_mtu, PacketBatch* batch);
  void SendBatch(uint8_t egress, PacketBatch* batch);

  // The largest packet of this turn that was seen to fit into the chain at hand, of one tunnel:
  // there it does not hang on the packet's own headers.
  struct Fits {
    const OutboundSa* sa = nullptr;
    uint32_t length = 0;
    bool Covers(const SaChain& chain, uint32_t n) const {
      return chain.size == 1 && chain.sas[0] == sa && n <= length;
    }
    void Learn(const SaChain& chain, uint32_t n) {
      if (chain.size == 1 && chain.sas[0]->mode == SaMode::kTunnel) *this = {chain.sas[0], n};
    }
  };

  WorkerContext* const ctx_;
  FlowCache cache_{ctx_->path->flow_entries};
  FlowDecision decided_;  // that is not in the cache
  Fits fits_;
  WarmUp warm_up_;
  Departures departures_;
  InFlight<OutboundItem> in_flight_;
  Reassembler reassembler_;  // of the host's datagrams that ESP must protect whole
  HoldQueue hold_;
  IcmpLimiter icmp_limiter_;
  uint32_t fragment_id_;  // of outer IPv6 packets
  uint8_t interface_ = 0;
  uint32_t size_ = 0;
  std::array<OutboundItem, kMaxBatch> items_;
  PacketBatch to_host_;  // answers to the sender
};

}  // namespace cygnet
