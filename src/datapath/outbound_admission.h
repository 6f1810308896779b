// OutboundAdmission: steps 2 to 4 of the outbound pipeline (outbound_pipeline.h). It parses and
// reassembles the host's packets, applies policy, and cuts super-packets to the size that fits. The
// packets that are kept continue in OutboundTransform.
#pragma once

#include <optional>

#include "datapath/flow_decider.h"
#include "datapath/hold_queue.h"
#include "datapath/icmp_error.h"
#include "datapath/outbound_transform.h"
#include "datapath/reassembly.h"
#include "net/frame.h"

namespace cygnet {

// Belongs to one worker.
class OutboundAdmission {
 public:
  // All arguments outlive this object. `next` takes the kept packets. `random`: a seed for
  // unpredictable values.
  OutboundAdmission(WorkerContext* context, WarmUp* warm_up, OutboundTransform* next,
                    uint64_t random)
      : ctx_(context),
        next_(next),
        decider_(context->path, warm_up, context->cpu),
        reassembler_(&context->sink, random),
        hold_(&context->sink),
        back_(&context->sink, kWaitForMove),
        for_hop_(&context->sink, kWaitForHop) {}

  // All packets between BeginBatch and EndBatch came from the host through the same interface
  // (Packet::interface, Packet::tunnel).
  void BeginBatch() { fits_ = {}; }
  // Takes the packet.
  void Admit(Packet* packet);
  // The same for one that may have come through another interface than the one before.
  void AdmitNext(Packet* packet) {
    BeginNextIfOther(*packet);
    Admit(packet);
  }
  // Sends the kept packets, then the errors to senders whose packets did not fit.
  void EndBatch();

  // Takes packets that the device of `interface` handed back in clear and without a number, as if
  // the host had sent them now. None goes to the same place of its SA again: it waits until control
  // has moved the SA, for kWaitForMoveMs at most.
  static constexpr uint64_t kWaitForMoveMs = 100;
  void AdmitAgain(uint8_t interface, PacketBatch* returned);

  // How long packets of a tunnel wait for the next hop of their outer packet: as long as Linux asks
  // for a neighbour (3 solicitations, one a second).
  static constexpr uint64_t kWaitForHopMs = 3000;

  // Drops fragments that waited too long. Retries packets that wait for control.
  void RunTimers();
  // The latest time for the next RunTimers, in monotonic milliseconds.
  std::optional<uint64_t> NextTimerMs() const;

  FlowDecider* decider() { return &decider_; }
  // Packets of tunnel and inside interfaces, by Sa::number of what they wait for.
  const HoldQueue& waiting_for_next_hop() const { return for_hop_; }

 private:
  void AdmitOther(const EtherTypeView& type, Packet* packet);
  void AdmitFragment(OutboundItem* item, Packet* packet);
  void AdmitIp(OutboundItem* item, Packet* packet);
  DropReason EnterFromInside(Packet* packet, const IpPacketView& ip);
  void NoteSource(const Packet& packet, const IpPacketView& ip, const SaChain& chain);
  IpAddress OwnAddress(const Packet& packet, const IpPacketView& ip) const;
  bool WantsOwnNow(const FlowDecision& decision);
  void Acquire(const FlowDecision& decision, uint8_t interface, const FlowKey& flow);
  void HoldOrDrop(Packet* packet, const IpPacketView& ip, const FlowDecision& decision);
  void CountUnprotected(const Packet& packet, const IpPacketView& ip);
  void AnswerUnreachable(const Packet& packet, const IpPacketView& ip);
  bool WaitsForNextHop(Packet* packet, const IpPacketView& ip, const SaChain& chain);
  bool WaitsForMove(Packet* packet, const FlowDecision& decision);
  void RetryHeld(HoldQueue* queue, uint64_t generation);
  void BeginNextIfOther(const Packet& packet);
  bool LeavesWhole(const Packet& packet, const IpPacketView& ip, const SaChain& chain) const;
  void AdmitSegments(Packet* packet, IpPacketView ip, const SaChain& chain);
  bool FitsOrNotifySender(Packet* packet, const IpPacketView& ip, uint32_t length,
                          const SaChain& chain);
  uint32_t InnerMtu(uint8_t interface, const IpPacketView& ip, const SaChain& chain) const;
  void NotifySender(const Packet& packet, const IpPacketView& ip, uint32_t mtu);
  void AnswerToHost();

  // The largest inner length known to fit one tunnel in this batch. Only for a single tunnel: with
  // another chain, the limit depends on the packet's own headers.
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
  uint8_t batch_interface_ = 0;  // of the packets of this batch
  uint16_t batch_tunnel_ = 0;
  uint8_t batch_inside_ = 0;
  OwnSaWishes own_sa_wishes_;
  Reassembler reassembler_;  // for the host's datagrams that ESP must protect whole
  // Dropped at the first retry that finds them where they were.
  static constexpr HoldQueue::Terms kWaitForMove{.first_interval_ms = kWaitForMoveMs,
                                                 .last_interval_ms = 2 * kWaitForMoveMs,
                                                 .too_late = DropReason::kOutDeviceError};
  static constexpr HoldQueue::Terms kWaitForHop{.first_interval_ms = kWaitForHopMs,
                                                .last_interval_ms = 2 * kWaitForHopMs,
                                                .too_late = DropReason::kOutNoNextHop,
                                                .most_per_policy = 64};
  HoldQueue hold_;     // for their SA
  HoldQueue back_;     // for their SA to move
  HoldQueue for_hop_;  // of a tunnel, for the next hop of their SA's outer packets
  IcmpLimiter icmp_limiter_;
  PacketBatch to_host_;  // errors to senders, all for one interface
};

}  // namespace cygnet
