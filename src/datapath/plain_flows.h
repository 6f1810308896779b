// PlainFlows: the flows of plain IPv4 (PlainFlow) that one worker lets go the straight way in one
// direction. FlowCache is for flows of any kind and all that can be decided about them, in three
// cache lines each; this is for the one case that nearly every packet is, in one line. With many
// flows a packet waits for each line that it touches.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/hash_seed.h"
#include "base/huge_memory.h"
#include "base/ids.h"
#include "datapath/flow_cache.h"
#include "net/flow_key.h"

namespace cygnet {

class PlainFlows {
 public:
  // What a flow is looked up by: what its packets show, and where they came from.
  struct Name {
    uint64_t addresses = 0;
    uint64_t rest = 0;       // ports, protocol, interface
    uint64_t opened_by = 0;  // Sa::number; 0: outbound

    Name() = default;
    Name(const PlainFlow& flow, uint8_t interface, uint64_t sa_number = 0)
        : addresses(flow.addresses),
          rest(uint64_t{flow.ports} | uint64_t{flow.proto} << 32 | uint64_t{interface} << 40),
          opened_by(sa_number) {}
    bool operator==(const Name& other) const {
      return ((addresses ^ other.addresses) | (rest ^ other.rest) |
              (opened_by ^ other.opened_by)) == 0;
    }
    PlainFlow Flow() const {
      PlainFlow flow;
      flow.addresses = addresses;
      flow.ports = static_cast<uint32_t>(rest);
      flow.proto = static_cast<uint8_t>(rest >> 32);
      return flow;
    }
    // A hash, which tells where the flow is.
    uint32_t Place() const {
      const uint64_t hash = SeededHash(addresses, rest ^ opened_by << 20);
      return static_cast<uint32_t>(hash ^ hash >> 32);
    }
  };

  struct alignas(kCacheLine) Entry {
    Name name;
    uint64_t generation = 0;  // DataPath::generation(); 0: empty
    // Outbound: the one that protects the flow; nullptr: a flow that the FlowCache knows (Note).
    OutboundSa* sa = nullptr;
    // The policies that note their use, then nullptr.
    std::array<Policy*, 3> used{};

    // True: its policies fit in `used`.
    static bool Holds(const FlowDecision& decision) {
      return decision.policy == nullptr || decision.second == nullptr ||
             decision.forward.first == nullptr || decision.forward.second == nullptr;
    }
    // REQUIRES: Holds(decision).
    void SetUsed(const FlowDecision& decision) {
      used[0] = decision.policy;
      used[1] = nullptr;
      used[2] = nullptr;
      if (decision.second == nullptr && !decision.forward.any()) return;  // nearly always
      std::size_t n = 0;
      for (Policy* policy :
           {decision.policy, decision.second, decision.forward.first, decision.forward.second}) {
        if (policy != nullptr) used[n++] = policy;
      }
    }
    void CountUse(uint64_t now) const {
      for (Policy* policy : used) {
        if (policy == nullptr) return;
        policy->Touch(now);
      }
    }
  };
  static_assert(sizeof(Entry) == kCacheLine);

  // `cache_entries`: of the FlowCache beside it; a power of two.
  explicit PlainFlows(uint32_t cache_entries)
      : mask_(SetsFor(cache_entries) - 1), sets_(SetsFor(cache_entries)) {
    CYGNET_CHECK(std::has_single_bit(cache_entries));
  }
  // Bytes of memory beside a FlowCache with this many entries.
  static constexpr uint64_t BytesFor(uint32_t cache_entries) {
    return uint64_t{SetsFor(cache_entries)} * sizeof(Set);
  }

  void Prefetch(uint32_t place) const {
    for (const Entry& entry : sets_[place & mask_].ways) __builtin_prefetch(&entry);
  }
  // nullptr: not known. `place`: name.Place(). Valid until the next Store.
  const Entry* Find(uint32_t place, const Name& name, uint64_t generation) const {
    for (const Entry& entry : sets_[place & mask_].ways) {
      if (entry.name == name && entry.generation == generation) return &entry;
    }
    return nullptr;
  }
  // Keeps a decision that lets the packets pass, outbound by one SA. Returns nullptr if it has more
  // policies than an entry. `generation`: from before the decision.
  const Entry* Store(uint32_t place, const Name& name, uint64_t generation,
                     const FlowDecision& decision) {
    if (!Entry::Holds(decision)) return nullptr;
    Entry* const entry = Store(place, name, generation, decision.policy, decision.chain.sas[0]);
    entry->SetUsed(decision);
    return entry;
  }
  // The same of a decision by one policy alone.
  Entry* Store(uint32_t place, const Name& name, uint64_t generation, Policy* policy,
               OutboundSa* sa) {
    Entry* const entry = PlaceFor(&sets_[place & mask_], name, generation);
    entry->name = name;
    entry->generation = generation;
    entry->sa = sa;
    entry->used = {policy};
    return entry;
  }
  // Outbound: keeps that the flow is not new, though it goes the general way: the FlowCache has its
  // decision. So a flow that is not here is new, without a look there.
  void Note(uint32_t place, const Name& name, uint64_t generation) {
    Entry* const entry = PlaceFor(&sets_[place & mask_], name, generation);
    entry->name = name;
    entry->generation = generation;
    entry->sa = nullptr;
    entry->used[0] = nullptr;
  }

 private:
  static constexpr uint32_t kWays = 2;
  // Many flows are what this is for, and an entry is small.
  static constexpr uint32_t SetsFor(uint32_t cache_entries) { return cache_entries * 4 / kWays; }
  struct Set {
    std::array<Entry, kWays> ways;
  };

  // That of the flow itself, or one that is out of date; otherwise both take turns. A flow may come
  // to be in both; what either says holds.
  Entry* PlaceFor(Set* set, const Name& name, uint64_t generation) {
    for (Entry& entry : set->ways) {
      if (entry.generation != generation || entry.name == name) return &entry;
    }
    return &set->ways[++turn_ % kWays];
  }

  const uint32_t mask_;
  uint32_t turn_ = 0;
  std::vector<Set, HugeAllocator<Set>> sets_;
};

}  // namespace cygnet
