// FlowCache: one worker's memory of what was decided for a flow. An entry holds only while the
// generation it was made in does, so a policy or SA that changed is never met through it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "policy/spd.h"
#include "sa/sa.h"

namespace cygnet {

enum class FlowAction : uint8_t { kBypass, kProtect, kDrop };

// The transforms of an outbound flow, innermost first (RFC 4301 appendix E: nested SAs).
struct SaChain {
  std::array<OutboundSa*, kMaxTemplates> sas{};
  uint8_t size = 0;
};

struct FlowDecision {
  FlowAction action = FlowAction::kDrop;
  DropReason reason = DropReason::kNone;  // of kDrop
  bool acquire = false;                   // key management should be asked
  Policy* policy = nullptr;
  // Outbound: generation (high word) and SPD version that it was made of, or older ones. 0: it
  // depends on neither.
  uint64_t stamp = 0;
  SaChain chain = {};  // outbound kProtect
};

class FlowCache {
 public:
  static constexpr uint32_t kEntries = 8192;  // power of two

  FlowCache() : entries_(std::make_unique<Entry[]>(kEntries)) {}

  // `tag`: what else the decision depends on (interface, SA the packet came by).
  const FlowDecision* Find(const FlowKey& key, uint64_t tag, uint64_t generation) const {
    const Entry& entry = entries_[Slot(key, tag)];
    const bool hit = entry.generation == generation && entry.tag == tag && entry.key == key;
    return hit ? &entry.decision : nullptr;
  }
  void Store(const FlowKey& key, uint64_t tag, uint64_t generation, const FlowDecision& decision) {
    entries_[Slot(key, tag)] = {key, tag, generation, decision};
  }

 private:
  struct Entry {
    FlowKey key;
    uint64_t tag = 0;
    uint64_t generation = 0;
    FlowDecision decision;
  };
  static uint32_t Slot(const FlowKey& key, uint64_t tag) {
    return static_cast<uint32_t>(key.Hash() ^ (tag * 0x9E3779B97F4A7C15u >> 32)) & (kEntries - 1);
  }
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace cygnet
