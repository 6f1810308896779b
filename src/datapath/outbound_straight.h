// OutboundStraight: the straight way of the outbound pipeline, for what nearly every packet is: TCP
// or UDP in IPv4 without options, whole, of a known flow, that fits, with one transform that the
// CPU does; not through a tunnel interface. It takes such packets through steps 2 to 9
// (outbound_pipeline.h) in one pass and keeps little about each. All others take the general way
// (OutboundAdmission and what follows it), which does the same with every packet. Decision 0036.
#pragma once

#include <array>
#include <span>

#include "datapath/departures.h"
#include "datapath/flow_decider.h"
#include "datapath/hold_queue.h"
#include "datapath/outbound_steps.h"
#include "datapath/path_ops.h"
#include "datapath/plain_flows.h"
#include "datapath/worker_context.h"
#include "esp/encapsulate.h"

namespace cygnet {

// A packet on the straight way.
struct OutboundLane {
  Packet* packet;
  uint16_t length;  // of the IP packet of the host
  uint8_t tos;
  bool dont_fragment;
  DropReason verdict;
};

// Belongs to one worker.
class OutboundStraight {
 public:
  // All arguments outlive this object. `decider`: of the general way, which decides about flows.
  // `for_hop`: where packets wait on the general way, which none may overtake.
  OutboundStraight(WorkerContext* context, WarmUp* warm_up, FlowDecider* decider,
                   const HoldQueue* for_hop);

  // `packets`: how many come until the next Begin, for `interface`: from the host, or from the
  // inside interface of this number (0: none).
  void Begin(uint8_t interface, uint8_t inside, uint32_t packets);
  // Takes the packets at the front of `left` that may go the straight way, and returns how many
  // they are. Nothing has happened to them then that would not happen on the general way, too.
  // `left`: what is left of the batch. The next call must be for what follows the packet that was
  // not taken.
  uint32_t Take(std::span<Packet* const> left);
  uint32_t size() const { return size_; }
  PlainFlows* flows() { return &flows_; }
  // Protects the packets that Take has taken and sends them.
  void Send();
  // Or gives them back, in order: fn(packet).
  template <typename Fn>
  void GiveBack(Fn fn) {
    const uint32_t n = std::exchange(size_, 0);
    Forget();
    for (uint32_t i = 0; i < n; ++i) fn(lanes_[i].packet);
  }

 private:
  // Consecutive packets of one SA.
  struct Run {
    OutboundSa* sa;
    const SaBinding* binding;
    uint32_t longest;  // packet of the host that fits
    uint32_t path_mtu;
    MacAddress next_hop;
    bool next_hop_known;
    uint8_t egress;
    uint8_t departure;  // Departures::Add; 0: leaves in any order
    uint8_t begin;      // its first lane
    uint8_t end;
    uint32_t bytes;  // of all its packets
  };

  // Packets of a batch whose look-up was in vain before none is offered any more.
  static constexpr uint32_t kPatience = 4;

  bool Find(uint32_t at, PlainFlow flow, uint64_t generation);
  bool Lookup(uint32_t at, const PlainFlow& flow, uint64_t generation);
  const PlainFlows::Entry* Learn(uint32_t place, const PlainFlows::Name& name,
                                 const PlainFlow& flow, uint64_t generation);
  bool IsFromKnownSource(const PlainFlow& flow) const;
  bool OpenRun(OutboundSa* sa);
  bool IsAddressed(const Run& run, const OutboundSa& sa) const;
  void Forget();
  // REQUIRES for its use: there is one.
  Run* LastRun() { return &run_[runs_ == 0 ? 0 : runs_ - 1]; }
  std::span<OutboundLane> LanesOf(const Run& run) {
    return {lanes_.data() + run.begin, static_cast<std::size_t>(run.end - run.begin)};
  }
  void Seal(uint32_t run);
  DropReason Build(const OutboundLane& lane, const esp::Encapsulator& esp_packet, uint64_t seq);
  DropReason BuildAny(const OutboundLane& lane, const esp::Encapsulator& esp_packet, uint64_t seq);
  RunGrant Grant(const Run& run, std::span<const OutboundLane> lanes) const;
  void Depart();
  void DepartBy(uint8_t egress);

  WorkerContext* const ctx_;
  WarmUp* const warm_up_;
  FlowDecider* const decider_;
  const HoldQueue* const for_hop_;
  PlainFlows flows_;
  bool open_ = false;     // in this batch
  uint32_t in_vain_ = 0;  // look-ups since the last one that found something
  uint32_t at_ = 0;       // number of the next packet in this batch
  uint8_t interface_ = 0;
  uint8_t inside_ = 0;          // of this batch: Packet::inside
  bool checks_source_ = false;  // in this batch: IsFromKnownSource
  uint32_t wire_mtu_ = 0;       // of `interface_`
  uint32_t size_ = 0;
  uint32_t runs_ = 0;
  PlainFlow flow_;           // of the last packet, whose SA is that of the last run
  uint64_t generation_ = 0;  // of the decision about it; 0: there is none
  IpPacketView view_;        // of the packet that is built; what all packets share is set once
  Departures order_;
  std::array<OutboundLane, kMaxBatch> lanes_;
  std::array<Run, kMaxBatch> run_;
};

}  // namespace cygnet
