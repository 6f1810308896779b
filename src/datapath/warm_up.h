// WarmUp: prefetches the flows, policies and SAs that a batch will touch, so that cache misses
// overlap. A million SAs do not fit into the CPU's caches, and sequential misses would take longer
// than the cryptography. It is only a hint: it fills the flow cache, and decides nothing that the
// pipeline does not check again.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "datapath/flow_cache.h"
#include "datapath/worker_context.h"

namespace cygnet {

class FlowDecider;

class WarmUp {
 public:
  // True if warming up is worth its cost: the last batch had many SAs or flow cache misses, and the
  // databases are larger than the CPU's caches.
  bool due() const { return due_; }
  void CountMiss() { ++misses_; }
  void CountRun() { ++runs_; }
  // Call after each batch.
  void EndBatch(const DataPath& path) {
    const bool many_sas = path.sad.reachable() > kManySas;
    const bool many = many_sas || path.spd.size(PolicyDirection::kOut) > kManyPolicies;
    due_ = (runs_ > kMany && many_sas) || (misses_ > kMany && many);
    runs_ = 0;
    misses_ = 0;
  }

  // Call before a batch is processed. Outbound() decides new flows and has `decider` store them.
  void Outbound(const WorkerContext& ctx, uint8_t interface, std::span<Packet* const> packets,
                FlowDecider* decider);
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
  void Decide(const WorkerContext& ctx, int32_t ifindex, std::span<Flow* const> fresh,
              FlowDecider* decider);

  bool due_ = false;
  uint32_t runs_ = 0;
  uint32_t misses_ = 0;
  std::array<Flow, kMaxBatch> flows_;
};

// What the outbound pipeline's flow cache entries depend on besides the flow. Port 0 is a real port
// in a whole packet, but means "no port" in a later fragment.
inline uint64_t OutboundTag(uint8_t interface, const IpPacketView& ip) {
  return interface | (ip.later_fragment ? 0x100u : 0u);
}

}  // namespace cygnet
