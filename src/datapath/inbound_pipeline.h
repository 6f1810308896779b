// Inbound: from the wire to the host (architecture, section 5; RFC 4301 section 5.2, RFC 4303
// section 3.4). The order of the security steps stands here and nowhere else.
#pragma once

#include <array>

#include "datapath/coalesce.h"
#include "datapath/path_ops.h"
#include "datapath/worker_context.h"
#include "esp/decapsulate.h"

namespace cygnet {

class InboundPipeline {
 public:
  explicit InboundPipeline(WorkerContext* context) : ctx_(context) {}

  // Takes all packets of `in`, which came from the wire by `interface`.
  void Run(uint8_t interface, PacketBatch* in);

 private:
  struct RunRange {
    uint32_t begin = 0;
    uint32_t end = 0;
  };

  // 1 – 3: classify, find the SA.
  void Admit(Packet* packet);
  bool IsForIpsec(uint32_t i) const;
  DropReason FindSa(uint32_t i);
  DropReason CheckClearPacket(const Packet& packet, const IpPacketView& ip);
  // 4 – 6: replay check, prepare.
  void BeginRun(const RunRange& run);
  // 7 – 10: authentication result, replay commit, lifetime, decapsulate, policy.
  void CompleteRun(const RunRange& run);
  void ReadTrailers(const InboundSa& sa, const RunRange& run);
  void CommitReplay(InboundSa* sa, const RunRange& run);
  void ChargeLifetime(InboundSa* sa, const RunRange& run);
  DropReason DecapsulateAndCheck(InboundSa* sa, uint32_t i);
  DropReason CheckPolicy(const FlowKey& flow, const Sa* sa);
  void Deliver();

  WorkerContext* const ctx_;
  FlowCache cache_;
  Coalescer coalescer_;
  uint8_t interface_ = 0;
  uint32_t size_ = 0;
  std::array<Packet*, kMaxBatch> packets_;
  std::array<IpPacketView, kMaxBatch> views_;
  std::array<EspView, kMaxBatch> esp_;
  std::array<InboundSa*, kMaxBatch> sas_;  // nullptr: not ESP
  std::array<DropReason, kMaxBatch> verdicts_;
  std::array<uint32_t, kMaxBatch> low_;
  std::array<uint64_t, kMaxBatch> seqs_;
  std::array<esp::Trailer, kMaxBatch> trailers_;
  JobList jobs_;
};

}  // namespace cygnet
