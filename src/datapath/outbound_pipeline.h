// Outbound: from the host to the wire (architecture, section 4; RFC 4301 section 5.1).
#pragma once

#include <array>

#include "datapath/path_ops.h"
#include "datapath/segment.h"
#include "datapath/worker_context.h"

namespace cygnet {

class OutboundPipeline {
 public:
  explicit OutboundPipeline(WorkerContext* context) : ctx_(context) {}

  // Takes all packets of `in`, which came from the host by `interface`.
  void Run(uint8_t interface, PacketBatch* in);

 private:
  // 1 – 3: parse, decide.
  void Admit(Packet* packet);
  FlowDecision Decide(const IpPacketView& ip, std::span<const uint8_t> l3);
  void Acquire(const FlowDecision& decision, const FlowKey& flow);
  // 3b: super-packets are looked up once and cut here; what does not fit is answered.
  void AdmitSegments(Packet* packet, const IpPacketView& ip, OutboundSa* sa);
  bool FitsOrTellSender(Packet* packet, const IpPacketView& ip, uint32_t length, OutboundSa* sa);
  void Add(Packet* packet, const IpPacketView& ip, OutboundSa* sa);
  // 4 – 8: runs, lifetime and sequence, prepare, crypto, transmit.
  void Flush();
  void BeginRun(uint32_t begin, uint32_t end);
  void ChargeAndReserve(OutboundSa* sa, uint32_t begin, uint32_t end, uint64_t* first_seq);
  uint8_t WriteNextHop(const OutboundSa& sa, uint32_t begin, uint32_t end);
  void TransmitAll();
  void Refuse(uint32_t begin, uint32_t end, DropReason reason);

  WorkerContext* const ctx_;
  FlowCache cache_;
  uint8_t interface_ = 0;
  uint32_t size_ = 0;
  std::array<Packet*, kMaxBatch> packets_;
  std::array<IpPacketView, kMaxBatch> views_;
  std::array<OutboundSa*, kMaxBatch> sas_;  // nullptr: passes in clear
  std::array<DropReason, kMaxBatch> verdicts_;
  std::array<uint8_t, kMaxBatch> egress_;  // interface it leaves by
  std::array<uint32_t, kMaxBatch> charged_;
  JobList jobs_;
  PacketBatch to_host_;  // answers to the sender
};

}  // namespace cygnet
