// Look-ups, by workers. The hash functions are in this file so that they are inlined.
#include "policy/policy_index.h"

#include <cstring>

#include "base/endian.h"
#include "policy/few_policies.h"

namespace cygnet {
namespace {

uint64_t Mix(uint64_t h, uint64_t word) { return SeededHash(h, word); }

// The first `bits` bits of an IPv4 address as it is in memory; the others are zero.
uint32_t MaskedV4(const IpAddress& address, uint8_t bits) {
  uint32_t word;
  std::memcpy(&word, address.bytes.data(), sizeof(word));
  const unsigned cut = bits < 32 ? 32u - bits : 0;
  return word & ByteSwap(static_cast<uint32_t>(~uint64_t{0} << cut));
}

// True if `address` is in the network: its first `bits` bits, the others are zero.
bool IsWithin(const IpAddress& address, const IpAddress& network, uint8_t bits, bool is_v6) {
  if (is_v6) return Masked(address, bits) == network;
  return MaskedV4(address, bits) == MaskedV4(network, 32);
}

uint64_t Mix(uint64_t h, const IpAddress& address) {
  uint64_t word[2];
  std::memcpy(word, address.bytes.data(), sizeof(word));
  return Mix(Mix(h, word[0]), word[1]);
}

}  // namespace

// --- Hashes ---

// `destination` may have bits beyond the first `bits`.
uint64_t PolicyIndex::HashOfGroup(const IpAddress& destination, IpFamily family, uint8_t bits,
                                  uint32_t if_id) {
  const auto of = uint64_t{if_id} << 32 | uint64_t{bits} << 16 | static_cast<uint16_t>(family);
  return family == IpFamily::kV4 ? Mix(of, MaskedV4(destination, bits))
                                 : Mix(of, Masked(destination, bits));
}

// `flow` may have fields and bits that `shape` does not compare.
uint64_t PolicyIndex::HashOfRule(const Shape& shape, const FlowKey& flow, int32_t ifindex) {
  const auto asked =
      uint64_t{shape.bits_d} | uint64_t{shape.bits_s} << 8 | uint64_t{shape.sport_mask} << 16 |
      uint64_t{shape.dport_mask} << 32 | uint64_t{shape.proto ? flow.proto : uint8_t{0}} << 48 |
      (shape.proto ? uint64_t{1} << 56 : 0) | (shape.interface ? uint64_t{1} << 57 : 0) |
      (flow.family == IpFamily::kV6 ? uint64_t{1} << 58 : 0);
  const auto port = [](uint16_t value, uint16_t mask) { return uint64_t{value} & mask; };
  const auto rest = port(flow.sport, shape.sport_mask) | port(flow.dport, shape.dport_mask) << 16 |
                    uint64_t{shape.interface ? static_cast<uint32_t>(ifindex) : 0} << 32;
  const uint64_t tunnel = uint64_t{flow.mark & shape.mark_mask} << 32 | flow.if_id;
  return Mix(Mix(Mix(Mix(tunnel, asked), rest), Masked(flow.daddr, shape.bits_d)),
             Masked(flow.saddr, shape.bits_s));
}

// --- Look-up ---

bool PolicyIndex::Rule::Matches(const FlowKey& flow, int32_t ifindex) const {
  return is_v6 == (flow.family == IpFamily::kV6) && IsWithin(flow.daddr, daddr, bits_d, is_v6) &&
         IsWithin(flow.saddr, saddr, bits_s, is_v6) && (proto == 0 || proto == flow.proto) &&
         ((sport ^ flow.sport) & sport_mask) == 0 && ((dport ^ flow.dport) & dport_mask) == 0 &&
         (!of_interface || policy->spec.selector.ifindex == ifindex) &&
         (of_tunnel ? policy->spec.IsFor(flow.if_id, flow.mark) : flow.if_id == 0);
}

// nullptr if no rule of the list matches.
const PolicyIndex::Rule* PolicyIndex::FirstMatch(const Rule* list, const FlowKey& flow,
                                                 int32_t ifindex) {
  for (;; ++list) {
    if (list->Matches(flow, ifindex)) return list;
    if (list->is_last) return nullptr;
  }
}

const PolicyIndex::Rule* PolicyIndex::FindInShapes(const Group& group, const FlowKey& flow,
                                                   int32_t ifindex, const Rule* best) const {
  const Row<Shape>* shape = group.shapes.get();
  for (; shape != nullptr && !shape->IsEnd(); ++shape) {
    if (!shape->bound.MayHaveBetterThan(best)) continue;
    // Looks at all rules with this hash, because their order says nothing about priority.
    (void)rules_.Find(HashOfRule(shape->key, flow, ifindex), [&](const OneOfMany* one) {
      if (one->rule.Matches(flow, ifindex) && one->rule.IsBefore(best)) best = &one->rule;
      return false;
    });
  }
  return best;
}

const PolicyIndex::Rule* PolicyIndex::BestOf(const Group& group, const FlowKey& flow,
                                             int32_t ifindex, const Rule* best) const {
  const Rule* list = group.few.load(std::memory_order_acquire);
  if (list == nullptr) return FindInShapes(group, flow, ifindex, best);
  const Rule* rule = FirstMatch(list, flow, ifindex);
  return rule != nullptr && rule->IsBefore(best) ? rule : best;
}

inline const FewPolicies* PolicyIndex::FewFor(const FlowKey& flow) const {
  return flow.family == IpFamily::kV4 ? few_.load(std::memory_order_acquire) : nullptr;
}

Policy* PolicyIndex::Find(const FlowKey& flow, int32_t ifindex) const {
  const FewPolicies* few = FewFor(flow);
  return few != nullptr ? few->Find(flow, ifindex) : Search(flow, ifindex);
}

Policy* PolicyIndex::Search(const FlowKey& flow, int32_t ifindex) const {
  const Rule* best = nullptr;
  const Row<uint8_t>* length = lengths_[FamilyIndex(flow.family)].get();
  for (; length != nullptr && !length->IsEnd(); ++length) {
    if (!length->bound.MayHaveBetterThan(best)) continue;
    // Does not check that the group is the right one (tags may be equal): BestOf checks its rules.
    const uint64_t hash = HashOfGroup(flow.daddr, flow.family, length->key, flow.if_id);
    (void)groups_.Find(hash, [&](const Group* group) {
      best = BestOf(*group, flow, ifindex, best);
      return false;
    });
  }
  return best == nullptr ? nullptr : best->policy;
}

// --- Look-up of many flows ---

// Not initialized, because it is filled step by step.
struct PolicyIndex::Query {
  static constexpr std::size_t kMost = 6;  // limit of lengths and of groups
  std::array<uint64_t, kMost> hash;
  std::array<const Group*, kMost> group;
  std::size_t hashes;
  std::size_t groups;
  bool alone;  // over a limit: looked up alone, at the end

  void GoAlone() {
    alone = true;
    hashes = 0;
    groups = 0;
  }
};

void PolicyIndex::Begin(const FlowKey& flow, Query* query) const {
  query->hashes = 0;
  query->alone = false;
  const Row<uint8_t>* length = lengths_[FamilyIndex(flow.family)].get();
  for (; length != nullptr && !length->IsEnd(); ++length) {
    if (query->hashes == Query::kMost) return query->GoAlone();
    const uint64_t hash = HashOfGroup(flow.daddr, flow.family, length->key, flow.if_id);
    query->hash[query->hashes++] = hash;
    groups_.Prefetch(hash);
  }
}

void PolicyIndex::FindGroups(Query* query) const {
  query->groups = 0;
  for (std::size_t i = 0; i < query->hashes; ++i) {
    (void)groups_.Find(query->hash[i], [&](const Group* group) {
      if (query->groups == Query::kMost) {
        query->GoAlone();
        return true;
      }
      __builtin_prefetch(group);
      query->group[query->groups++] = group;
      return false;
    });
  }
}

// True if a group has its rules in the hash table: `query` gets the hash of its first shape.
bool PolicyIndex::FetchRules(const FlowKey& flow, int32_t ifindex, Query* query) const {
  query->hashes = 0;
  for (std::size_t i = 0; i < query->groups; ++i) {
    const Group& group = *query->group[i];
    const Rule* few = group.few.load(std::memory_order_acquire);
    const Row<Shape>* shape = few == nullptr ? group.shapes.get() : nullptr;
    if (few != nullptr && few != &group.first) __builtin_prefetch(few);
    if (shape == nullptr) continue;
    const uint64_t hash = HashOfRule(shape->key, flow, ifindex);
    query->hash[query->hashes++] = hash;
    rules_.Prefetch(hash);
  }
  return query->hashes > 0;
}

Policy* PolicyIndex::Finish(const FlowKey& flow, int32_t ifindex, const Query& query) const {
  if (query.alone) return Search(flow, ifindex);
  const Rule* best = nullptr;
  for (std::size_t i = 0; i < query.groups; ++i) {
    best = BestOf(*query.group[i], flow, ifindex, best);
  }
  return best == nullptr ? nullptr : best->policy;
}

void PolicyIndex::Search(std::span<const FlowKey* const> flows, int32_t ifindex,
                         Policy** found) const {
  const std::size_t n = flows.size();
  std::array<Query, kBatch> queries;
  const std::span<Query> all = std::span(queries).first(n);
  for (std::size_t i = 0; i < n; ++i) Begin(*flows[i], &queries[i]);
  for (Query& query : all) FindGroups(&query);
  bool many = false;
  for (std::size_t i = 0; i < n; ++i) many |= FetchRules(*flows[i], ifindex, &queries[i]);
  if (many) {
    for (const Query& query : all) {
      for (std::size_t k = 0; k < query.hashes; ++k) {
        __builtin_prefetch(rules_.First(query.hash[k]));
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) found[i] = Finish(*flows[i], ifindex, queries[i]);
}

void PolicyIndex::Find(std::span<const FlowKey* const> flows, int32_t ifindex,
                       Policy** found) const {
  std::size_t n = 0;
  for (; n < flows.size(); ++n) {
    const FewPolicies* few = FewFor(*flows[n]);
    if (few == nullptr) break;  // as for nearly all of a batch
    found[n] = few->Find(*flows[n], ifindex);
  }
  if (n < flows.size()) Search(flows.subspan(n), ifindex, found + n);
}

}  // namespace cygnet
