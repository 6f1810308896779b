// Changes, by the control thread: inserts and removes policies while workers look up.
#include <algorithm>
#include <iterator>
#include <memory>

#include "policy/few_policies.h"
#include "policy/policy_index.h"

namespace cygnet {
namespace {

// Rows with a larger key come first, so the longest prefix lengths do: IKE daemons give those the
// lower priority numbers.
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

bool IsCheckedBefore(const Policy* a, const Policy* b) { return Before(*a, *b); }

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

// The count of a row that workers may read never becomes 0, which would mark the end of the list.
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
  delete few_.load();
  rules_.ForEach([](OneOfMany* one) { delete one; });
  groups_.ForEach([](Group* group) { delete group; });
}

// --- Hashes ---

uint64_t PolicyIndex::GroupHash::operator()(const Group& group) const {
  return HashOfGroup(group.destination, group.family, group.bits, group.if_id);
}

uint64_t PolicyIndex::HashOfRule(const Rule& rule) {
  FlowKey flow;
  flow.saddr = rule.saddr;
  flow.daddr = rule.daddr;
  flow.sport = rule.sport;
  flow.dport = rule.dport;
  flow.family = rule.family();
  flow.proto = rule.proto;
  flow.if_id = rule.if_id();
  if (rule.of_tunnel) flow.mark = rule.policy->spec.mark_value;
  return HashOfRule(ShapeOf(rule), flow, rule.policy->spec.selector.ifindex);
}

PolicyIndex::Shape PolicyIndex::ShapeOf(const Rule& rule) {
  return {.bits_d = rule.bits_d,
          .bits_s = rule.bits_s,
          .proto = rule.proto != 0,
          .interface = rule.of_interface,
          .sport_mask = rule.sport_mask,
          .dport_mask = rule.dport_mask,
          .mark_mask = rule.of_tunnel ? rule.policy->spec.mark_mask : 0};
}

PolicyIndex::Rule PolicyIndex::RuleOf(Policy* policy) const {
  const Selector& selector = policy->spec.selector;
  Rule rule;
  rule.daddr = Masked(selector.daddr, selector.prefixlen_d);
  rule.saddr = Masked(selector.saddr, selector.prefixlen_s);
  if (ports_ == Ports::kMatter) {
    rule.sport = selector.sport;
    rule.sport_mask = selector.sport_mask;
    rule.dport = selector.dport;
    rule.dport_mask = selector.dport_mask;
  }
  rule.bits_d = selector.prefixlen_d;
  rule.bits_s = selector.prefixlen_s;
  rule.proto = selector.proto;
  rule.is_v6 = selector.family == IpFamily::kV6;
  rule.of_interface = selector.ifindex != 0;
  rule.of_tunnel = policy->spec.of_tunnel() && !policy->spec.unmet;
  rule.priority = policy->spec.priority;
  rule.policy = policy;
  return rule;
}

// --- Changes ---

PolicyIndex::Group* PolicyIndex::GroupOf(const Rule& rule) const {
  const uint8_t bits = WholeBytes(rule.bits_d);
  const IpAddress masked = Masked(rule.daddr, bits);
  const uint64_t hash = HashOfGroup(rule.daddr, rule.family(), bits, rule.if_id());
  return groups_.Find(hash, [&](const Group* group) {
    return group->bits == bits && group->family == rule.family() && group->if_id == rule.if_id() &&
           group->destination == masked;
  });
}

// What look-ups read first changes last, so they see a change at once, whatever they read.
void PolicyIndex::Insert(Policy* policy) {
  size_.fetch_add(1, std::memory_order_relaxed);
  Link(RuleOf(policy));
  if (policy->spec.selector.family != IpFamily::kV6) JoinFew(policy);
}

void PolicyIndex::Remove(Policy* policy) {
  size_.fetch_sub(1, std::memory_order_relaxed);
  Unlink(RuleOf(policy));
  if (policy->spec.selector.family != IpFamily::kV6) LeaveFew(policy);
}

// The last store makes the rule findable: everything that leads to it exists by then.
void PolicyIndex::Link(const Rule& rule) {
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
  group->if_id = rule.if_id();
  group->size = 1;
  group->first = rule;
  group->few.store(&group->first, std::memory_order_relaxed);
  groups_.Insert(group);
  lengths_[FamilyIndex(rule.family())].Add(bits, rule.priority, quiescence_);
}

void PolicyIndex::Unlink(const Rule& rule) {
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
  } else {  // stays in shapes, even if rules are removed
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

// --- Few policies of IPv4 ---

void PolicyIndex::JoinFew(Policy* policy) {
  const FewPolicies* few = few_.load(std::memory_order_relaxed);
  if (++size_of_v4_ > FewPolicies::kMost) {
    if (few != nullptr) SetFew({});
    return;
  }
  std::vector<Policy*> next;
  if (few != nullptr) next.assign(few->policies().begin(), few->policies().end());
  next.insert(std::upper_bound(next.begin(), next.end(), policy, IsCheckedBefore), policy);
  SetFew(next);
}

void PolicyIndex::LeaveFew(Policy* policy) {
  if (--size_of_v4_ > FewPolicies::kMost) return;
  const FewPolicies* few = few_.load(std::memory_order_relaxed);
  std::vector<Policy*> next;
  if (few == nullptr) {
    next = PoliciesOfV4();
  } else {
    std::remove_copy(few->policies().begin(), few->policies().end(), std::back_inserter(next),
                     policy);
  }
  SetFew(next);
}

// Walks the whole index: many policies have become few, or one of exactly kMost was replaced.
std::vector<Policy*> PolicyIndex::PoliciesOfV4() const {
  std::vector<Policy*> found;
  const auto add = [&found](const Rule& rule) {
    if (!rule.is_v6) found.push_back(rule.policy);
  };
  groups_.ForEach([&](const Group* group) {
    const Rule* rule = group->few.load(std::memory_order_relaxed);
    for (; rule != nullptr; rule = rule->is_last ? nullptr : rule + 1) add(*rule);
  });
  rules_.ForEach([&](const OneOfMany* one) { add(one->rule); });
  std::sort(found.begin(), found.end(), IsCheckedBefore);
  return found;
}

// An empty span removes the list.
void PolicyIndex::SetFew(std::span<Policy* const> in_order) {
  const bool with_ports = ports_ == Ports::kMatter;
  const auto* next = in_order.empty() ? nullptr : new FewPolicies(in_order, with_ports);
  const FewPolicies* old = few_.exchange(next, std::memory_order_acq_rel);
  if (old != nullptr) quiescence_->Retire([old] { delete old; });
}

}  // namespace cygnet
