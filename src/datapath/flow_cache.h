// FlowCache: one worker's cache of flow decisions. An entry is valid only in the generation that it
// was made in, so a decision from before a policy or SA change is never used. A flow has two
// possible places. A new flow replaces an invalid entry, or else the one used less recently, so
// that two flows that collide do not evict each other with every packet.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/huge_memory.h"
#include "base/ids.h"
#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "policy/spd.h"
#include "sa/sa.h"

namespace cygnet {

enum class FlowAction : uint8_t { kBypass, kProtect, kDrop };

// The transforms of an outbound flow, innermost first (RFC 4301 appendix E: nested SAs).
struct SaChain {
  uint8_t size = 0;
  std::array<OutboundSa*, kMaxTemplates> sas{};
};

// In the order of FlowCache::Entry: with one transform, its first cache line has all of it.
struct FlowDecision {
  FlowAction action = FlowAction::kDrop;
  DropReason reason = DropReason::kNone;  // for kDrop
  bool acquire = false;                   // an SA must be requested from key management
  bool wants_own = false;  // kProtect: the policy wants an SA for this CPU alone (RFC 9611)
  Policy* policy = nullptr;
  Policy* second = nullptr;  // the MAIN policy if `policy` is a SUB policy and both apply
  // Outbound: the policies of direction fwd that admit a packet from another host.
  PolicyMatch forward = {};
  // Outbound: generation (high word) and SPD version that the decision is based on, or older ones.
  // 0: it depends on neither.
  uint64_t stamp = 0;
  SaChain chain = {};  // outbound kProtect

  // Records the time of use in the policies.
  void CountUse(uint64_t now) const {
    for (Policy* of_forward : {forward.first, forward.second}) {
      if (of_forward != nullptr) of_forward->Touch(now);
    }
    // A packet that must wait for its SA does not count as use, as in the kernel.
    if (acquire && action == FlowAction::kDrop) return;
    if (policy != nullptr) policy->Touch(now);
    if (second != nullptr) second->Touch(now);
  }
};

class FlowCache {
 public:
  // `entries`: a power of two.
  explicit FlowCache(uint32_t entries) : sets_(entries / kWays) {
    CYGNET_CHECK(std::has_single_bit(entries) && entries >= kWays);
  }

  // Bytes of memory for a cache with this many entries.
  static constexpr uint64_t BytesFor(uint32_t entries) {
    return uint64_t{entries} / kWays * sizeof(Set);
  }

  // The number of the set that may have the flow. `tag`: what the decision depends on besides the
  // flow (interface, SA that opened the packet).
  uint32_t SetOf(const FlowKey& key, uint64_t tag) const {
    const uint64_t hash = key.Hash() ^ (tag * 0x9E3779B97F4A7C15u >> 32);
    return static_cast<uint32_t>(hash & (sets_.size() - 1));
  }
  // nullptr if the flow is not cached. Inline, because it runs once per packet.
  [[gnu::always_inline]] const FlowDecision* Find(const FlowKey& key, uint64_t tag,
                                                  uint64_t generation) {
    return FindIn(SetOf(key, tag), key, tag, generation);
  }
  // The same. `number`: SetOf; with another set nothing is found.
  [[gnu::always_inline]] const FlowDecision* FindIn(uint32_t number, const FlowKey& key,
                                                    uint64_t tag, uint64_t generation) {
    Set& set = sets_[number];
    for (uint32_t way = 0; way < kWays; ++way) {
      const Entry& entry = set.ways[way];
      if (entry.tag != tag || entry.generation != generation || !(entry.key == key)) continue;
      if (set.ways[0].last != way) set.ways[0].last = static_cast<uint8_t>(way);
      return &entry.decision;
    }
    return nullptr;
  }
  // Prefetches a set for a later FindIn.
  void Prefetch(uint32_t number) const {
    for (const Entry& entry : sets_[number].ways) {
      const auto* line = reinterpret_cast<const char*>(&entry);
      for (std::size_t i = 0; i < kUsedLines; ++i) __builtin_prefetch(line + i * kCacheLine);
    }
  }
  // Returns the stored decision.
  const FlowDecision& Store(const FlowKey& key, uint64_t tag, uint64_t generation,
                            const FlowDecision& decision) {
    Set& set = sets_[SetOf(key, tag)];
    uint32_t way = set.ways[0].last ^ 1u;
    for (uint32_t w = 0; w < kWays; ++w) {
      const Entry& entry = set.ways[w];
      if (entry.generation != generation || (entry.tag == tag && entry.key == key)) way = w;
    }
    Entry& entry = set.ways[way];
    entry.key = key;
    entry.tag = tag;
    entry.generation = generation;
    entry.decision = decision;
    set.ways[0].last = static_cast<uint8_t>(way);
    return entry.decision;
  }

 private:
  static constexpr uint32_t kWays = 2;
  // A look-up reads the first line of each way and the second line of the right one.
  struct alignas(kCacheLine) Entry {
    uint64_t generation = 0;
    uint64_t tag = 0;
    FlowKey key;
    FlowDecision decision;
    uint8_t last = 0;  // only in a set's first entry: the way used last
  };
  static constexpr std::size_t kUsedLines = 2;
  static_assert(sizeof(Entry) == 3 * kCacheLine);
  static_assert(offsetof(Entry, decision.chain.sas) + sizeof(void*) == kUsedLines * kCacheLine);
  struct Set {
    std::array<Entry, kWays> ways;
  };

  std::vector<Set, HugeAllocator<Set>> sets_;
};

}  // namespace cygnet
