// What workers do: look-ups. The hashes stand with them, so that they are inlined.
#include "policy/policy_index.h"

#include <cstring>

namespace cygnet {
namespace {

uint64_t Mix(uint64_t h, uint64_t word) { return SeededHash(h, word); }

uint64_t Mix(uint64_t h, const IpAddress& address) {
  uint64_t word[2];
  std::memcpy(word, address.bytes.data(), sizeof(word));
  return Mix(Mix(h, word[0]), word[1]);
}

// Larger keys come first: the longest prefix lengths, because IKE daemons give those lower priority
// numbers.
bool StandsBefore(uint8_t a, uint8_t b) { return a > b; }
template <typename Shape>
bool StandsBefore(const Shape& a, const Shape& b) {
  return a.bits_d + a.bits_s > b.bits_d + b.bits_s;
}

template <typename Key>
void CopyRow(const auto& from, Key* to) {
  to->key = from.key;
  to->bound.priority.store(from.bound.priority.load(std::memory_order_relaxed),
                           std::memory_order_relaxed);
  to->bound.count.store(from.bound.count.load(std::memory_order_relaxed),
                        std::memory_order_relaxed);
}

}  // namespace

template <typename Key>
std::size_t PolicyIndex::RowList<Key>::size() const {
  const Row<Key>* rows = rows_.load(std::memory_order_relaxed);
  std::size_t n = 0;
  while (rows != nullptr && !rows[n].IsEnd()) ++n;
  return n;
}

template <typename Key>
void PolicyIndex::RowList<Key>::Replace(Row<Key>* next, Quiescence* quiescence) {
  Row<Key>* old = rows_.exchange(next, std::memory_order_acq_rel);
  if (old != nullptr) quiescence->Retire([old] { delete[] old; });
}

template <typename Key>
void PolicyIndex::RowList<Key>::Add(const Key& key, uint32_t priority, Quiescence* quiescence) {
  Row<Key>* now = rows_.load(std::memory_order_relaxed);
  const std::size_t n = size();
  std::size_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    Row<Key>& row = now[i];
    if (row.key == key) {
      row.bound.Lower(priority);
      row.bound.count.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    if (StandsBefore(row.key, key)) at = i + 1;
  }
  auto* next = new Row<Key>[n + 2];
  for (std::size_t i = 0; i < n; ++i) CopyRow(now[i], &next[i < at ? i : i + 1]);
  next[at].key = key;
  next[at].bound.Lower(priority);
  next[at].bound.count.store(1, std::memory_order_relaxed);
  Replace(next, quiescence);
}

// Never turns a row that workers may be reading into an end row.
template <typename Key>
void PolicyIndex::RowList<Key>::Drop(const Key& key, Quiescence* quiescence) {
  Row<Key>* now = rows_.load(std::memory_order_relaxed);
  std::size_t at = 0;
  while (!(now[at].key == key)) ++at;
  if (now[at].bound.count.load(std::memory_order_relaxed) > 1) {
    now[at].bound.count.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  const std::size_t n = size() - 1;
  if (n == 0) {
    Replace(nullptr, quiescence);
    return;
  }
  auto next = std::make_unique<Row<Key>[]>(n + 1);
  for (std::size_t i = 0; i < n; ++i) CopyRow(now[i < at ? i : i + 1], &next[i]);
  Replace(next.release(), quiescence);
}

PolicyIndex::Group::~Group() {
  const Rule* list = few.load(std::memory_order_relaxed);
  if (list != &first) delete[] list;
}

PolicyIndex::PolicyIndex(Quiescence* quiescence, Ports ports)
    : quiescence_(quiescence), ports_(ports), groups_(quiescence), rules_(quiescence) {}

PolicyIndex::~PolicyIndex() {
  rules_.ForEach([](OneOfMany* one) { delete one; });
  groups_.ForEach([](Group* group) { delete group; });
}

// --- Keys ---

// `destination` need not be cut to the length.
uint64_t PolicyIndex::HashOfGroup(const IpAddress& destination, IpFamily family, uint8_t bits) {
  return Mix(uint64_t{bits} << 16 | static_cast<uint16_t>(family), Masked(destination, bits));
}

// `flow` need not be cut to the shape.
uint64_t PolicyIndex::HashOfRule(const Shape& shape, const FlowKey& flow, int32_t ifindex) {
  const auto asked =
      uint64_t{shape.bits_d} | uint64_t{shape.bits_s} << 8 | uint64_t{shape.sport_mask} << 16 |
      uint64_t{shape.dport_mask} << 32 | uint64_t{shape.proto ? flow.proto : uint8_t{0}} << 48 |
      (shape.proto ? uint64_t{1} << 56 : 0) | (shape.interface ? uint64_t{1} << 57 : 0) |
      (flow.family == IpFamily::kV6 ? uint64_t{1} << 58 : 0);
  const auto port = [](uint16_t value, uint16_t mask) { return uint64_t{value} & mask; };
  const auto rest = port(flow.sport, shape.sport_mask) | port(flow.dport, shape.dport_mask) << 16 |
                    uint64_t{shape.interface ? static_cast<uint32_t>(ifindex) : 0} << 32;
  return Mix(Mix(Mix(Mix(0, asked), rest), Masked(flow.daddr, shape.bits_d)),
             Masked(flow.saddr, shape.bits_s));
}

// --- Look-up ---

bool PolicyIndex::Rule::Matches(const FlowKey& flow, int32_t ifindex) const {
  return Masked(flow.daddr, bits_d) == daddr && Masked(flow.saddr, bits_s) == saddr &&
         is_v6 == (flow.family == IpFamily::kV6) && (proto == 0 || proto == flow.proto) &&
         ((sport ^ flow.sport) & sport_mask) == 0 && ((dport ^ flow.dport) & dport_mask) == 0 &&
         (!of_interface || policy->spec.selector.ifindex == ifindex);
}

// nullptr if none matches.
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
    // All entries with this hash, because they are unordered.
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

Policy* PolicyIndex::Find(const FlowKey& flow, int32_t ifindex) const {
  const Rule* best = nullptr;
  const Row<uint8_t>* length = lengths_[FamilyIndex(flow.family)].get();
  for (; length != nullptr && !length->IsEnd(); ++length) {
    if (!length->bound.MayHaveBetterThan(best)) continue;
    // Does not verify that it is the group rather than another with the same tag: rules are
    // verified.
    (void)groups_.Find(HashOfGroup(flow.daddr, flow.family, length->key), [&](const Group* group) {
      best = BestOf(*group, flow, ifindex, best);
      return false;
    });
  }
  return best == nullptr ? nullptr : best->policy;
}

// --- Look-up of many flows ---

// Left uninitialised: the steps fill it.
struct PolicyIndex::Query {
  static constexpr std::size_t kMost = 6;  // prefix lengths, and groups
  std::array<uint64_t, kMost> hash;
  std::array<const Group*, kMost> group;
  std::size_t hashes;
  std::size_t groups;
  bool alone;  // exceeds kMost: Finish looks it up by itself

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
    const uint64_t hash = HashOfGroup(flow.daddr, flow.family, length->key);
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

// Prefetches for the first shape of each large group. True if there is any.
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
  if (query.alone) return Find(flow, ifindex);
  const Rule* best = nullptr;
  for (std::size_t i = 0; i < query.groups; ++i) {
    best = BestOf(*query.group[i], flow, ifindex, best);
  }
  return best == nullptr ? nullptr : best->policy;
}

void PolicyIndex::Find(std::span<const FlowKey* const> flows, int32_t ifindex,
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

// --- Changes ---

PolicyIndex::Group* PolicyIndex::GroupOf(const Rule& rule) const {
  const uint8_t bits = WholeBytes(rule.bits_d);
  const IpAddress masked = Masked(rule.daddr, bits);
  return groups_.Find(HashOfGroup(rule.daddr, rule.family(), bits), [&](const Group* group) {
    return group->bits == bits && group->family == rule.family() && group->destination == masked;
  });
}

// Publishes from the end of a look-up to its beginning: a rule is there before anything leads to
// it.
void PolicyIndex::Insert(Policy* policy) {
  size_.fetch_add(1, std::memory_order_relaxed);
  const Rule rule = RuleOf(policy);
  const uint8_t bits = WholeBytes(rule.bits_d);
  Group* group = GroupOf(rule);
  if (group != nullptr) {
    lengths_[FamilyIndex(rule.family())].Add(bits, rule.priority, quiescence_);
    InsertInto(group, rule);
    return;
  }
  group = new Group;
  group->destination = Masked(rule.daddr, bits);
  group->family = rule.family();
  group->bits = bits;
  group->size = 1;
  group->first = rule;
  group->few.store(&group->first, std::memory_order_relaxed);
  groups_.Insert(group);
  lengths_[FamilyIndex(rule.family())].Add(bits, rule.priority, quiescence_);
}

void PolicyIndex::Remove(Policy* policy) {
  size_.fetch_sub(1, std::memory_order_relaxed);
  const Rule rule = RuleOf(policy);
  const uint8_t bits = WholeBytes(rule.bits_d);
  lengths_[FamilyIndex(rule.family())].Drop(bits, quiescence_);
  Group* group = GroupOf(rule);
  if (--group->size > 0) {
    RemoveFrom(group, rule);
    return;
  }
  if (group->few.load(std::memory_order_relaxed) == nullptr) RemoveFrom(group, rule);
  groups_.Erase(group);
  quiescence_->Retire([group] { delete group; });
}

void PolicyIndex::InsertInto(Group* group, const Rule& rule) {
  const Rule* few = group->few.load(std::memory_order_relaxed);
  const std::size_t n = group->size++;
  if (few == nullptr) {
    InsertIntoShapes(group, rule);
  } else if (n < kFew) {
    std::array<Rule, kFew> rules;
    std::size_t at = 0;
    while (at < n && few[at].IsBefore(&rule)) ++at;
    std::copy(few, few + at, rules.begin());
    rules[at] = rule;
    std::copy(few + at, few + n, rules.begin() + at + 1);
    SetList(group, std::span(rules).first(n + 1));
  } else {  // from here on a large group, even if it shrinks
    for (std::size_t i = 0; i < n; ++i) InsertIntoShapes(group, few[i]);
    InsertIntoShapes(group, rule);
    SetList(group, {});
  }
}

void PolicyIndex::RemoveFrom(Group* group, const Rule& rule) {
  const Rule* few = group->few.load(std::memory_order_relaxed);
  const auto is_it = [&](const Rule& other) { return other.policy == rule.policy; };
  if (few != nullptr) {
    std::array<Rule, kFew> rules;
    const auto end = std::remove_copy_if(few, few + group->size + 1, rules.begin(), is_it);
    SetList(group, {rules.begin(), end});
    return;
  }
  OneOfMany* gone =
      rules_.Find(HashOfRule(rule), [&](const OneOfMany* other) { return is_it(other->rule); });
  rules_.Erase(gone);
  group->shapes.Drop(ShapeOf(rule), quiescence_);
  quiescence_->Retire([gone] { delete gone; });
}

void PolicyIndex::InsertIntoShapes(Group* group, const Rule& rule) {
  group->shapes.Add(ShapeOf(rule), rule.priority, quiescence_);
  auto* one = new OneOfMany;
  one->rule = rule;
  rules_.Insert(one);
}

// An empty span removes the list.
void PolicyIndex::SetList(Group* group, std::span<const Rule> rules) {
  Rule* next = nullptr;
  if (!rules.empty()) {
    next = new Rule[rules.size()];
    std::copy(rules.begin(), rules.end(), next);
    for (std::size_t i = 0; i < rules.size(); ++i) next[i].is_last = i + 1 == rules.size();
  }
  const Rule* old = group->few.exchange(next, std::memory_order_acq_rel);
  if (old != &group->first) quiescence_->Retire([old] { delete[] old; });
}

}  // namespace cygnet
