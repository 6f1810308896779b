// FlowCache: one worker's cache of flow decisions. An entry is valid only in the generation that it
// was made in, so a decision from before a policy or SA change is never used. A flow has two
// possible places. A new flow replaces the one used less recently (which is invalid if any is), so
// that two flows that collide do not evict each other with every packet.
//
// An entry is three cache lines, and a worker's flows may not fit into the CPU's near caches. So a
// small table of marks, a few bits of the flows' hashes, tells which entry to look at: a look-up
// touches two lines of one entry, and that a flow is new it mostly finds out without any.
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

  SaChain() = default;
  SaChain(const SaChain& other) { *this = other; }
  // Copies what is used: the SAs after the first are in a cache line of their own (FlowCache).
  SaChain& operator=(const SaChain& other) {
    size = other.size;
    sas[0] = other.sas[0];
    if (other.size > 1) sas = other.sas;
    return *this;
  }
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
  explicit FlowCache(uint32_t entries)
      : mask_(entries / kWays - 1), sets_(entries / kWays), marks_(entries / kWays) {
    CYGNET_CHECK(std::has_single_bit(entries) && entries >= kWays);
  }

  // Bytes of memory for a cache with this many entries.
  static constexpr uint64_t BytesFor(uint32_t entries) {
    return uint64_t{entries} / kWays * (sizeof(Set) + sizeof(Marks));
  }

  // A hash, which tells where the flow is. `tag`: what the decision depends on besides the flow
  // (interface, SA that opened the packet).
  static uint32_t PlaceOf(const FlowKey& key, uint64_t tag) {
    return static_cast<uint32_t>(key.Hash() ^ (tag * 0x9E3779B97F4A7C15u >> 32));
  }
  // nullptr if the flow is not cached. Inline, because it runs once per packet.
  [[gnu::always_inline]] const FlowDecision* Find(const FlowKey& key, uint64_t tag,
                                                  uint64_t generation) {
    return FindAt(PlaceOf(key, tag), key, tag, generation);
  }
  // The same. `place`: PlaceOf; at another place nothing is found.
  [[gnu::always_inline]] const FlowDecision* FindAt(uint32_t place, const FlowKey& key,
                                                    uint64_t tag, uint64_t generation) {
    Marks& marks = marks_[place & mask_];
    for (uint32_t way = marks.FirstOf(MarkOf(place)); way < kWays; ++way) {
      if (!marks.Has(way, MarkOf(place))) continue;
      const Entry& entry = sets_[place & mask_].ways[way];
      if (entry.tag != tag || entry.generation != generation || !(entry.key == key)) continue;
      if (marks.last() != way) marks.SetLast(way);
      return &entry.decision;
    }
    return nullptr;
  }
  // Prefetches for a later FindAt, or for Store if the flow is new.
  void Prefetch(uint32_t place) const {
    const Marks& marks = marks_[place & mask_];
    const uint32_t first = marks.FirstOf(MarkOf(place));
    const uint32_t way = marks.Has(first, MarkOf(place)) ? first : marks.last() ^ 1u;
    const auto* line = reinterpret_cast<const char*>(&sets_[place & mask_].ways[way]);
    for (std::size_t i = 0; i < kUsedLines; ++i) __builtin_prefetch(line + i * kCacheLine);
  }
  // Returns the stored decision.
  const FlowDecision& Store(const FlowKey& key, uint64_t tag, uint64_t generation,
                            const FlowDecision& decision) {
    return StoreAt(PlaceOf(key, tag), key, tag, generation, decision);
  }
  // The same. `place`: PlaceOf.
  const FlowDecision& StoreAt(uint32_t place, const FlowKey& key, uint64_t tag, uint64_t generation,
                              const FlowDecision& decision) {
    Marks& marks = marks_[place & mask_];
    Set& set = sets_[place & mask_];
    uint32_t way = marks.last() ^ 1u;
    for (uint32_t w = 0; w < kWays; ++w) {
      const Entry& entry = set.ways[w];
      if (marks.Has(w, MarkOf(place)) && entry.tag == tag && entry.key == key) way = w;
    }
    marks.Set(way, MarkOf(place));
    Entry& entry = set.ways[way];
    entry.key = key;
    entry.tag = tag;
    entry.generation = generation;
    entry.decision = decision;
    return entry.decision;
  }

 private:
  static constexpr uint32_t kWays = 2;
  // A look-up reads the first line, and the second one if it is the right entry.
  struct alignas(kCacheLine) Entry {
    uint64_t generation = 0;
    uint64_t tag = 0;
    FlowKey key;
    FlowDecision decision;
  };
  static constexpr std::size_t kUsedLines = 2;
  static_assert(sizeof(Entry) == 3 * kCacheLine);
  static_assert(offsetof(Entry, decision.chain.sas) + sizeof(void*) == kUsedLines * kCacheLine);
  struct Set {
    std::array<Entry, kWays> ways;
  };
  // Of a set: the mark of each way, and which way was used last.
  class Marks {
   public:
    bool Has(uint32_t way, uint32_t mark) const { return (of_[way] & kMarkMask) == mark; }
    // Without a branch, which nobody could predict; if no way has the mark: the last one.
    uint32_t FirstOf(uint32_t mark) const { return Has(0, mark) ? 0 : kWays - 1; }
    uint32_t last() const { return of_[0] >> kMarkBits; }
    void SetLast(uint32_t way) {
      of_[0] = static_cast<uint8_t>((of_[0] & kMarkMask) | way << kMarkBits);
    }
    void Set(uint32_t way, uint32_t mark) {
      of_[way] = static_cast<uint8_t>((of_[way] & ~kMarkMask) | mark);
      SetLast(way);
    }

   private:
    std::array<uint8_t, kWays> of_{};  // mark; above that of the first: the way used last
  };
  static constexpr uint32_t kMarkBits = 7;
  static constexpr uint32_t kMarkMask = (1u << kMarkBits) - 1;
  static uint32_t MarkOf(uint32_t place) { return place >> (32 - kMarkBits); }

  const uint32_t mask_;
  std::vector<Set, HugeAllocator<Set>> sets_;
  std::vector<Marks, HugeAllocator<Marks>> marks_;
};

}  // namespace cygnet
