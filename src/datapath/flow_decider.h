// FlowDecider: what policy says about the packets of one worker and direction. It asks its flow
// cache first; what is not there it decides anew (flow_decision.h) and stores.
#pragma once

#include <span>

#include "datapath/flow_cache.h"
#include "datapath/warm_up.h"

namespace cygnet {

// One worker's. An answer holds until the next question.
class FlowDecider {
 public:
  // Both outlive this. `warm_up` is told of outbound flows that the cache did not know.
  FlowDecider(const DataPath* path, WarmUp* warm_up)
      : path_(path), warm_up_(warm_up), cache_(path->flow_entries) {}

  // About a packet that the host sent by `interface`. `l3`: its bytes.
  const FlowDecision& Outbound(uint8_t interface, const IpPacketView& ip,
                               std::span<const uint8_t> l3);

  // Before a batch of Inbound() questions.
  void BeginInboundBatch();
  // About a packet that came by `interface`. `secpath`: the SAs that it was opened with, outermost
  // first; none: it came in clear.
  const FlowDecision& Inbound(uint8_t interface, const FlowKey& flow,
                              std::span<const Sa* const> secpath);

  FlowCache* cache() { return &cache_; }

 private:
  const DataPath* const path_;
  WarmUp* const warm_up_;
  FlowCache cache_;
  FlowDecision fresh_;  // the last answer that is not in the cache, or was not
  bool bypass_flow_cache_ = false;
};

}  // namespace cygnet
