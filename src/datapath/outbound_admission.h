// Steps 2 to 4 of the outbound way (outbound_pipeline.h): what the host sent is parsed and put
// together, policy decides, and what leaves is cut to what fits. The packets that are kept go on to
// OutboundTransform.
#pragma once

#include <optional>

#include "datapath/flow_decider.h"
#include "datapath/hold_queue.h"
#include "datapath/icmp_error.h"
#include "datapath/outbound_transform.h"
#include "datapath/reassembly.h"
#include "net/frame.h"

namespace cygnet {

// One worker's.
class OutboundAdmission {
 public:
  // All outlive this. `next` takes what is kept. `random`: seeds what others must not foresee.
  OutboundAdmission(WorkerContext* context, WarmUp* warm_up, OutboundTransform* next,
                    uint64_t random)
      : ctx_(context),
        next_(next),
        decider_(context->path, warm_up),
        reassembler_(&context->sink, random),
        hold_(&context->sink) {}

  // All packets between Begin and End came from the host by one interface: Packet::interface.
  void BeginBatch() { fits_ = {}; }
  // Takes the packet.
  void Admit(Packet* packet);
  // What was kept leaves; then senders are told what did not fit.
  void EndBatch();

  // Forgets fragments that waited too long. Tries again what waits for key management.
  void RunTimers();
  // When RunTimers has something to do at the latest, monotonic milliseconds.
  std::optional<uint64_t> NextTimerMs() const { return hold_.NextDueMs(); }

  FlowCache* flow_cache() { return decider_.cache(); }

 private:
  void AdmitOther(const EtherTypeView& type, Packet* packet);
  void AdmitFragment(OutboundItem* item, Packet* packet);
  void AdmitIp(OutboundItem* item, Packet* packet);
  void Acquire(const FlowDecision& decision, uint8_t interface, const FlowKey& flow);
  void HoldOrDrop(Packet* packet, const FlowDecision& decision);
  void AdmitSegments(Packet* packet, IpPacketView ip, const SaChain& chain);
  bool FitsOrTellSender(Packet* packet, const IpPacketView& ip, uint32_t length,
                        const SaChain& chain);
  uint32_t InnerMtu(uint8_t interface, const IpPacketView& ip, const SaChain& chain) const;
  void TellSender(const Packet& packet, const IpPacketView& ip, uint32_t mtu);
  void AnswerToHost();

  // The largest packet of this batch that was seen to fit into one tunnel. Of tunnels only: what
  // fits into another chain depends on the packet's own headers.
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
  OutboundTransform* const next_;
  FlowDecider decider_;
  Fits fits_;
  Reassembler reassembler_;  // of the host's datagrams that ESP must protect whole
  HoldQueue hold_;
  IcmpLimiter icmp_limiter_;
  PacketBatch to_host_;  // answers to senders, of one interface
};

}  // namespace cygnet
