// WarmUp: prefetches the flows, policies and SAs that a batch will touch, so that cache misses
// overlap, and decides new flows together. A million SAs do not fit into the CPU's caches, and
// sequential misses would take longer than the cryptography. It is only a hint: it fills the flow
// caches, and decides nothing that the pipeline does not check again.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "datapath/flow_cache.h"
#include "datapath/plain_flows.h"
#include "datapath/worker_context.h"

namespace cygnet {

class FlowDecider;

class WarmUp {
 public:
  // True if warming up is worth its cost: the last batch had many SAs, which are more than the
  // CPU's caches hold, or many new flows.
  bool due() const { return due_; }
  void CountNewFlow() { ++new_flows_; }
  void CountRun() { ++runs_; }
  // Call after each batch.
  void EndBatch(const DataPath& path) {
    due_ = (runs_ > kMany && path.sad.reachable() > kManySas) || new_flows_ > kMany;
    runs_ = 0;
    new_flows_ = 0;
    packets_ = 0;
  }

  // Call before a batch is processed. Outbound() decides new flows and stores them where the
  // pipeline looks first: in `plain`, if they go the straight way, otherwise in the cache of
  // `decider`.
  void Outbound(const WorkerContext& ctx, uint8_t interface, std::span<Packet* const> packets,
                FlowDecider* decider, PlainFlows* plain);
  void Inbound(const WorkerContext& ctx, std::span<Packet* const> packets);

  // PlainFlows::Name::Place of the flow of the batch's packet `index`, for which StraightLength is
  // not 0. False: Outbound() did not look.
  bool PlaceOf(uint32_t index, uint32_t* place) const {
    *place = places_[index];
    return index < packets_;
  }
  // The SA that Inbound() found for the batch's packet `index`; nullptr: none, or it may be another
  // by now. The caller compares its name.
  const Sa* SaOf(uint32_t index, uint64_t generation) const {
    return index < packets_ && generation == generation_ ? sas_[index] : nullptr;
  }

 private:
  static constexpr uint32_t kMany = kMaxBatch / 8;
  // Fewer SAs, with about 1200 bytes of an SA, its session and flow, are in the level 2 cache.
  static constexpr std::size_t kManySas = 1024;
  struct Flow {
    FlowKey key;
    uint64_t tag = 0;  // of the FlowCache
    uint32_t place = 0;
    bool plain = false;     // its packets may go the straight way
    PlainFlows::Name name;  // plain: the key is set only once it is needed
    const OutboundSa* sa = nullptr;
  };
  bool ReadFlow(const DataPath& path, uint8_t interface, const Packet& packet, Flow* flow) const;
  static bool ReadAnyFlow(const DataPath& path, uint8_t interface, const Packet& packet,
                          Flow* flow);
  bool Find(Flow* flow, uint64_t generation, FlowCache* cache, const PlainFlows& plain) const;
  uint32_t ReadFlows(const DataPath& path, uint8_t interface, std::span<Packet* const> packets,
                     const FlowCache& cache, const PlainFlows& plain);
  // What the decisions about a batch are based on.
  struct Moment {
    uint64_t generation;
    uint64_t stamp;
    int32_t ifindex;
    bool cpu_alone;
  };
  void Decide(const WorkerContext& ctx, int32_t ifindex, std::span<Flow* const> fresh,
              FlowDecider* decider, PlainFlows* plain);
  static OutboundSa* DecideOne(const Moment& moment, const PolicyMatch& match, Flow* flow,
                               FlowDecider* decider, PlainFlows* plain);

  bool due_ = false;
  bool may_go_straight_ = false;  // this batch
  uint32_t runs_ = 0;
  uint32_t new_flows_ = 0;
  uint32_t packets_ = 0;  // in places_ or sas_, by direction
  std::array<uint32_t, kMaxBatch> places_{};
  std::array<const Sa*, kMaxBatch> sas_{};
  uint64_t generation_ = 0;  // of sas_
  std::array<Flow, kMaxBatch> flows_;
};

// What the outbound pipeline's flow cache entries depend on besides the flow. Port 0 is a real port
// in a whole packet, but means "no port" in a later fragment.
inline uint64_t OutboundTag(uint8_t interface, const IpPacketView& ip) {
  return interface | (ip.later_fragment ? 0x100u : 0u);
}

}  // namespace cygnet
