#include "policy/spd.h"

#include <algorithm>

namespace cygnet {
namespace {

bool Before(const Policy* a, const Policy* b) {
  if (a->spec.priority != b->spec.priority) return a->spec.priority < b->spec.priority;
  return a->number < b->number;
}

// Packets carry mark 0 and no if_id here: what demands another is kept for its owner, never
// matched.
bool CanMatchPackets(const PolicySpec& spec) { return spec.mark_value == 0 && spec.if_id == 0; }

}  // namespace

Spd::Spd(Quiescence* quiescence) : quiescence_(quiescence), table_(new Table) {}

Spd::~Spd() { delete table_.load(); }

Policy* Spd::Lookup(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const {
  const Table* table = table_.load(std::memory_order_acquire);
  const auto& by_type = table->ordered[Index(direction)];
  const auto first_match = [&](PolicyType type) -> Policy* {
    for (Policy* policy : by_type[static_cast<std::size_t>(type)]) {
      if (policy->spec.selector.Matches(flow, ifindex)) return policy;
    }
    return nullptr;
  };
  Policy* sub = first_match(PolicyType::kSub);
  if (sub != nullptr && sub->spec.action == PolicyAction::kBlock) return sub;
  Policy* main = first_match(PolicyType::kMain);
  if (sub == nullptr || (main != nullptr && main->spec.action == PolicyAction::kBlock)) {
    return main;
  }
  return sub->spec.templates.empty() && main != nullptr ? main : sub;
}

bool Spd::PortsMightDecide(PolicyDirection direction, const FlowKey& flow, int32_t ifindex,
                           const Policy* certain) const {
  const Table* table = table_.load(std::memory_order_acquire);
  for (const auto& list : table->ordered[Index(direction)]) {
    for (const Policy* policy : list) {
      if (policy == certain) break;
      const Selector& selector = policy->spec.selector;
      const bool asks = selector.sport_mask != 0 || selector.dport_mask != 0;
      if (asks && selector.MatchesButForPorts(flow, ifindex)) return true;
    }
  }
  return false;
}

std::shared_ptr<Policy> Spd::Link(PolicySpec spec, uint64_t now) {
  auto policy = std::make_shared<Policy>();
  spec.index = ChooseIndex(spec);
  policy->spec = std::move(spec);
  policy->add_time = now;
  policy->number = next_number_++;
  by_number_.emplace(policy->number, policy);
  by_index_.emplace(policy->spec.index, policy);
  return policy;
}

// Workers may use the policy until they are quiescent.
void Spd::Unlink(const std::shared_ptr<Policy>& policy) {
  std::shared_ptr<Policy> keep = policy;
  by_number_.erase(keep->number);
  by_index_.erase(keep->spec.index);
  unlinked_.push_back(std::move(keep));
}

std::shared_ptr<Policy> Spd::Insert(PolicySpec spec, uint64_t now) {
  auto policy = Link(std::move(spec), now);
  Publish();
  return policy;
}

std::shared_ptr<Policy> Spd::Replace(const std::shared_ptr<Policy>& old, PolicySpec spec,
                                     uint64_t now) {
  Unlink(old);
  return Insert(std::move(spec), now);  // one publication: no moment without either
}

void Spd::Remove(const std::shared_ptr<Policy>& policy) {
  Unlink(policy);
  Publish();
}

std::size_t Spd::RemoveAll(PolicyType type) {
  std::size_t removed = 0;
  for (const auto& policy : List()) {
    if (policy->spec.type != type) continue;
    Unlink(policy);
    ++removed;
  }
  if (removed > 0) Publish();
  return removed;
}

std::shared_ptr<Policy> Spd::FindByNumber(uint64_t number) const {
  const auto it = by_number_.find(number);
  return it == by_number_.end() ? nullptr : it->second;
}

std::shared_ptr<Policy> Spd::Find(const PolicyId& id) const {
  const auto same = [&](const PolicySpec& spec) {
    return spec.direction == id.direction && spec.type == id.type && spec.if_id == id.if_id &&
           spec.mark_value == id.mark_value && spec.mark_mask == id.mark_mask;
  };
  if (id.index != 0) {
    const auto it = by_index_.find(id.index);
    return it != by_index_.end() && same(it->second->spec) ? it->second : nullptr;
  }
  for (const auto& [number, policy] : by_number_) {
    if (same(policy->spec) && policy->spec.selector == id.selector) return policy;
  }
  return nullptr;
}

std::vector<std::shared_ptr<Policy>> Spd::List() const {
  std::vector<std::shared_ptr<Policy>> all;
  all.reserve(by_number_.size());
  for (auto it = by_number_.rbegin(); it != by_number_.rend(); ++it) all.push_back(it->second);
  return all;
}

std::array<uint32_t, kPolicyDirections> Spd::Counts() const {
  std::array<uint32_t, kPolicyDirections> counts{};
  for (const auto& [number, policy] : by_number_) ++counts[Index(policy->spec.direction)];
  return counts;
}

void Spd::SetDefault(PolicyDirection direction, PolicyAction action) {
  defaults_[Index(direction)] = action;
  Publish();
}

// As the kernel numbers them: one counter for all directions in steps of 8, the direction in the
// low bits, 0 left out; a wanted index is honoured when it is free.
uint32_t Spd::ChooseIndex(const PolicySpec& spec) {
  if (spec.index != 0 && !by_index_.contains(spec.index)) return spec.index;
  for (;;) {
    const uint32_t index = index_counter_ | static_cast<uint32_t>(spec.direction);
    index_counter_ += 8;
    if (index != 0 && !by_index_.contains(index)) return index;
  }
}

void Spd::Publish() {
  auto table = std::make_unique<Table>();
  table->version = ++version_;
  table->defaults = defaults_;
  table->idle = by_number_.empty() && std::all_of(defaults_.begin(), defaults_.end(),
                                                  [](auto a) { return a == PolicyAction::kAllow; });
  for (const auto& [number, policy] : by_number_) {
    if (!CanMatchPackets(policy->spec)) continue;
    table->ordered[Index(policy->spec.direction)][static_cast<std::size_t>(policy->spec.type)]
        .push_back(policy.get());
  }
  for (auto& by_type : table->ordered) {
    for (auto& list : by_type) std::sort(list.begin(), list.end(), Before);
  }
  const Table* old = table_.exchange(table.release(), std::memory_order_acq_rel);
  quiescence_->Retire([old, gone = std::move(unlinked_)] { delete old; });
  unlinked_.clear();
}

}  // namespace cygnet
