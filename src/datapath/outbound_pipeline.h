// Outbound: from the host to the wire (architecture, section 4; RFC 4301 section 5.1).
#pragma once

#include <array>

#include "datapath/in_flight.h"
#include "datapath/path_ops.h"
#include "datapath/segment.h"
#include "datapath/worker_context.h"

namespace cygnet {

class OutboundPipeline {
 public:
  explicit OutboundPipeline(WorkerContext* context) : ctx_(context) {}

  // Takes all packets of `in`, which came from the host by `interface`.
  void Run(uint8_t interface, PacketBatch* in);
  // Frames of control (DataPath::injected): they leave as they are.
  void RunInjected(PacketBatch* in);

  // A look-aside engine finished the job with this tag.
  void OnJobDone(uint32_t tag, CryptoStatus status) { in_flight_.Finish(tag, status); }
  // Goes on with what is finished. Returns how many packets.
  uint32_t Resume();
  const InFlight<OutboundItem>& in_flight() const { return in_flight_; }

 private:
  // 1 – 3: parse, decide.
  void Admit(Packet* packet);
  FlowDecision Decide(const IpPacketView& ip, std::span<const uint8_t> l3);
  void Acquire(const FlowDecision& decision, const FlowKey& flow);
  // 3b: super-packets are looked up once and cut here; what does not fit is answered.
  void AdmitSegments(Packet* packet, const IpPacketView& ip, const SaChain& chain);
  uint32_t InnerMtu(const IpPacketView& ip, const SaChain& chain) const;
  bool FitsOrTellSender(Packet* packet, const IpPacketView& ip, uint32_t length,
                        const SaChain& chain);
  OutboundItem* Add(Packet* packet, const IpPacketView& ip, const SaChain& chain);
  // 4 – 8: rounds of runs (lifetime and sequence, prepare, crypto), then transmit.
  void Flush();
  bool TransformRound();
  void BeginRun(OutboundSa* sa, uint32_t begin, uint32_t end);
  uint64_t ChargeAndReserve(OutboundSa* sa, std::span<OutboundItem> run);
  uint8_t WriteNextHop(std::span<OutboundItem> run);
  void EndRound();
  void TransmitAll();
  DropReason Guard(const OutboundItem& item) const;

  WorkerContext* const ctx_;
  FlowCache cache_;
  InFlight<OutboundItem> in_flight_;
  uint8_t interface_ = 0;
  uint32_t size_ = 0;
  std::array<OutboundItem, kMaxBatch> items_;
  PacketBatch to_host_;  // answers to the sender
};

}  // namespace cygnet
