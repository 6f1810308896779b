// WarmUp: prefetches the flows, policies and SAs that a batch will touch, for all its packets at
// once, so that cache misses overlap: a million SAs do not fit into the CPU's caches, and one miss
// after the other would take longer than the cryptography. It changes nothing but the flow cache,
// and decides nothing that the pipeline does not look at again.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "datapath/flow_cache.h"
#include "datapath/worker_context.h"

namespace cygnet {

class WarmUp {
 public:
  // Worth it when the last batch was of many SAs, or of flows that the flow cache did not know, and
  // there are more of them than the CPU's caches hold.
  bool due() const { return due_; }
  void CountMiss() { ++misses_; }
  void CountRun() { ++runs_; }
  // After a batch.
  void EndBatch(const DataPath& path) {
    const bool many_sas = path.sad.reachable() > kManySas;
    const bool many = many_sas || path.spd.size(PolicyDirection::kOut) > kManyPolicies;
    due_ = (runs_ > kMany && many_sas) || (misses_ > kMany && many);
    runs_ = 0;
    misses_ = 0;
  }

  // Before a batch is looked at. Outbound decides new flows and stores them in `cache`.
  void Outbound(const WorkerContext& ctx, uint8_t interface, std::span<Packet* const> packets,
                FlowCache* cache);
  void Inbound(const WorkerContext& ctx, std::span<Packet* const> packets);

 private:
  static constexpr uint32_t kMany = kMaxBatch / 8;
  static constexpr std::size_t kManySas = 128;
  static constexpr std::size_t kManyPolicies = 512;
  struct Flow {
    IpPacketView ip;
    uint64_t tag = 0;
    const OutboundSa* sa = nullptr;
  };
  void Decide(const DataPath& path, int32_t ifindex, std::span<Flow* const> fresh,
              FlowCache* cache);

  bool due_ = false;
  uint32_t runs_ = 0;
  uint32_t misses_ = 0;
  std::array<Flow, kMaxBatch> flows_;
};

// What the outbound pipeline's entries in its flow cache depend on beside the flow. Port 0 of a
// whole packet is a port; that of a later fragment is none.
inline uint64_t OutboundTag(uint8_t interface, const IpPacketView& ip) {
  return interface | (ip.later_fragment ? 0x100u : 0u);
}

}  // namespace cygnet
