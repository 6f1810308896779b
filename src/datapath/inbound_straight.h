// InboundStraight: the straight way of the inbound pipeline, for what nearly every packet of a
// tunnel is: ESP in IPv4 without options, whole, opened by the CPU, with whole TCP or UDP in IPv4
// inside. It takes such packets through all steps (inbound_pipeline.h) in two passes, one before
// and one after the cryptography, and keeps little about each. Packets may leave it twice: before
// step 3, and, when they are open and show that they are something else, before step 8. Then
// InboundPipeline goes on with them. Decision 0036.
#pragma once

#include <array>
#include <span>
#include <utility>

#include "datapath/flow_decider.h"
#include "datapath/inside_exit.h"
#include "datapath/plain_flows.h"
#include "datapath/worker_context.h"
#include "net/flow_key.h"

namespace cygnet {

// Belongs to one worker.
class InboundStraight {
 public:
  // All arguments outlive this object. `decider`: of the general way.
  InboundStraight(WorkerContext* context, WarmUp* warm_up, FlowDecider* decider)
      : ctx_(context), warm_up_(warm_up), decider_(decider), flows_(context->path->flow_entries) {}

  // `packets`: how many come until the next Begin, from the wire of `interface`.
  void Begin(uint8_t interface, uint32_t packets);
  // Takes the packets at the front of `left` that may go the straight way, and returns how many
  // they are. Nothing has happened to them then that would not happen on the general way, too.
  // `left`: what is left of the batch. The next call must be for what follows the packet that was
  // not taken.
  uint32_t Take(std::span<Packet* const> left);
  uint32_t size() const { return size_; }
  uint8_t interface() const { return interface_; }
  // Gives back the packets that Take has taken, in order: fn(packet).
  template <typename Fn>
  void GiveBack(Fn fn) {
    const uint32_t n = std::exchange(size_, 0);
    Forget();
    for (uint32_t i = 0; i < n; ++i) fn(packet_[i]);
  }

  // Packets that follow each other and go on in the same way.
  struct Part {
    uint32_t begin = 0;
    uint32_t end = 0;
    bool straight = false;
  };
  // Steps 4 to 7 for the packets that Take has taken. Then each part, in order, must be handed on,
  // by Complete or by the general way, before Clear.
  void Open();
  // The part that begins with packet `begin`.
  Part PartFrom(uint32_t begin) const;
  // Steps 8 to 10: the packets that may pass are added to `to_host`, or to `inside` as InsideExit
  // has prepared them; the others are dropped. Returns how many of those for the host are TCP.
  // REQUIRES: part.straight; both have room.
  uint32_t Complete(const Part& part, PacketBatch* to_host, PacketBatch* inside);
  void Clear() {
    size_ = 0;
    Forget();
  }

  // What the general way takes over after Open.
  struct Opened {
    Packet* packet;
    InboundSa* sa;
    const SaBinding* binding;
    uint64_t seq;
    DropReason verdict;
  };
  Opened At(uint32_t index) const;

 private:
  // Consecutive packets of one SA.
  struct Run {
    InboundSa* sa;
    const SaBinding* binding;
    uint32_t least;  // length of an ESP packet that has all its parts
    uint8_t begin;   // its first packet
    uint8_t end;
  };

  // Packets of a batch whose look-up was in vain before none is offered any more.
  static constexpr uint32_t kPatience = 4;

  bool Find(uint32_t at, uint32_t spi, uint32_t daddr, uint64_t generation);
  bool Lookup(uint32_t at, uint32_t spi, uint32_t daddr);
  // Addresses of this host do not change without a new generation.
  bool IsOwn(uint32_t daddr, uint64_t generation) {
    return (daddr == own_ && generation == own_generation_) || LookForOwn(daddr, generation);
  }
  bool LookForOwn(uint32_t daddr, uint64_t generation);
  const Sa* SaOf(uint32_t at, uint32_t spi, uint32_t daddr) const;
  void Forget();
  // REQUIRES for its use: there is one.
  Run* LastRun() { return &run_[runs_ == 0 ? 0 : runs_ - 1]; }
  void OpenRun(const Run& run);
  bool IsPlain(uint32_t index, const InboundSa& sa);
  bool MayBeEsp(uint16_t port) { return port == esp_port_ ? may_be_esp_ : LookForEsp(port); }
  bool LookForEsp(uint16_t port);
  uint32_t CompleteRun(const Run& run, uint32_t begin, uint32_t end, PacketBatch* to_host,
                       PacketBatch* inside);
  DropReason Decide(const InboundSa& sa, PlainFlow flow, uint32_t index, uint64_t generation);
  DropReason Ask(const InboundSa& sa, const PlainFlow& flow, uint32_t index, uint64_t generation);
  // Then hardly any packet has the flow and the SA of the one before, and it pays to prefetch
  // decisions.
  bool HasManyRuns() const { return runs_ > kMaxBatch / 8; }

  WorkerContext* const ctx_;
  WarmUp* const warm_up_;
  FlowDecider* const decider_;
  PlainFlows flows_;
  bool open_ = false;     // in this batch
  uint32_t in_vain_ = 0;  // look-ups since the last one that found something
  uint32_t at_ = 0;       // number of the next packet in this batch
  uint8_t interface_ = 0;
  uint32_t size_ = 0;
  uint32_t runs_ = 0;
  uint32_t spi_ = 0;  // of the last packet, as in the packet; its SA is that of the last run
  uint32_t daddr_ = 0;
  uint64_t generation_ = 0;  // of the look-up; 0: there is none
  // The last address that was found to be this host's, and when.
  uint32_t own_ = 0;
  uint64_t own_generation_ = 0;
  // The last UDP port that MayBeEsp looked for in this batch, and its answer.
  uint16_t esp_port_ = 0;
  bool may_be_esp_ = false;
  // The last decision of policy in this batch.
  PlainFlow flow_;
  const InboundSa* flow_sa_ = nullptr;
  uint64_t flow_generation_ = 0;
  DropReason flow_verdict_ = DropReason::kNone;
  bool has_inside_ = false;  // there are inside interfaces
  InsideExit exit_;          // has_inside_: of that flow, if it may pass

  // By packet.
  std::array<Packet*, kMaxBatch> packet_;
  std::array<uint32_t, kMaxBatch> low_;  // of the sequence number
  std::array<uint64_t, kMaxBatch> seq_;
  std::array<uint32_t, kMaxBatch> payload_;  // bytes that the SA protected
  std::array<DropReason, kMaxBatch> verdict_;
  std::array<bool, kMaxBatch> plain_;
  std::array<uint32_t, kMaxBatch> place_;  // of its flow, if there are many runs
  std::array<Run, kMaxBatch> run_;
};

}  // namespace cygnet
