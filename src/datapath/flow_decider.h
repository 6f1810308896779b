// FlowDecider: policy decisions for the packets of one worker and direction. It looks in its flow
// cache first. On a miss it decides (flow_decision.h) and stores the decision.
#pragma once

#include <span>

#include "datapath/always_passes.h"
#include "datapath/data_path.h"
#include "datapath/flow_cache.h"
#include "datapath/policy_decisions.h"
#include "datapath/warm_up.h"

namespace cygnet {

// Belongs to one worker. A returned reference is valid until the next call.
class FlowDecider {
 public:
  // Both pointers outlive this object. `warm_up` counts the outbound flows that are new in the
  // cache. `cpu`: of the worker.
  FlowDecider(const DataPath* path, WarmUp* warm_up, uint32_t cpu)
      : path_(path), warm_up_(warm_up), cpu_(cpu), cache_(path->flow_entries) {}

  // Decides about a packet that the host sent through `interface`. `l3`: its bytes.
  const FlowDecision& Outbound(uint8_t interface, const IpPacketView& ip,
                               std::span<const uint8_t> l3);

  // What Outbound has decided about a whole packet of IPv4, from the cache alone. nullptr: Outbound
  // must be asked. It does not look whether packets of the flow always pass: the caller does
  // (MayAlwaysPass).
  const FlowDecision* KnownOutbound(uint8_t interface, const FlowKey& flow, uint64_t generation) {
    return cache_.Find(flow, interface, generation);
  }

  // The decision about a new flow, and whether it holds for more packets than this one. `match`:
  // the result of the policy look-up; `generation`, `stamp`: DataPath::generation() and
  // DecisionStamp() from before that look-up.
  struct Fresh {
    const FlowDecision& decision;
    bool holds;
  };
  Fresh DecideNew(const IpPacketView& ip, uint64_t generation, int32_t ifindex,
                  const PolicyMatch& match, uint64_t stamp);

  // Ask first: the same for a whole packet, if other flows of its policy have shown it. nullptr:
  // DecideNew must be asked.
  const FlowDecision* Usual(const PolicyMatch& match, uint64_t generation);

  // Call before each batch of Inbound() calls.
  void BeginInboundBatch();
  // Decides about a packet that arrived at `interface`. `secpath`: the SAs that opened it,
  // outermost first; empty if it came in clear.
  // Inline, because every packet that an SA opened comes here.
  const FlowDecision& Inbound(uint8_t interface, const FlowKey& flow,
                              std::span<const Sa* const> secpath) {
    // Nested SAs are rare, so they do not justify a wider key.
    if (secpath.size() > 1 || bypass_flow_cache_) return DecideFresh(interface, flow, secpath);
    const uint64_t tag = secpath.empty() ? interface : secpath[0]->number << 8 | interface;
    const uint64_t generation = path_->generation();
    if (const FlowDecision* known = cache_.Find(flow, tag, generation)) return *known;
    cache_.Store(flow, tag, generation, DecideFresh(interface, flow, secpath));
    return fresh_;
  }

  // True in this batch: Inbound() decides about each packet anew, because keeping costs more.
  bool keeps_nothing() const { return bypass_flow_cache_; }

  FlowCache* cache() { return &cache_; }

 private:
  const FlowDecision& OutboundFlow(uint8_t interface, const IpPacketView& ip);
  const FlowDecision& DecideFresh(uint8_t interface, const FlowKey& flow,
                                  std::span<const Sa* const> secpath);

  const DataPath* const path_;
  WarmUp* const warm_up_;
  const uint32_t cpu_;
  FlowCache cache_;
  PolicyDecisions of_policies_;
  FlowDecision fresh_;  // the last decision that did not come from the cache
  bool bypass_flow_cache_ = false;
};

}  // namespace cygnet
