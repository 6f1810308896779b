#include "policy/spd.h"

#include <algorithm>
#include <memory>

namespace cygnet {
namespace {

bool AsksForPorts(const Selector& selector) {
  return selector.sport_mask != 0 || selector.dport_mask != 0;
}

// Hash of what identifies a policy to a client, except the index: equal identities have equal
// hashes.
uint64_t IdentityHash(const Selector& selector, uint32_t rest) {
  FlowKey key;
  key.saddr = selector.saddr;
  key.daddr = selector.daddr;
  key.sport = selector.sport;
  key.dport = selector.dport;
  key.family = selector.family;
  key.proto = selector.proto;
  const uint64_t bits = uint64_t{selector.prefixlen_s} << 8 | selector.prefixlen_d;
  return key.Hash() ^ (bits << 32 | rest) * 0x9E3779B97F4A7C15u;
}

template <typename Identified>
uint64_t IdentityHash(const Identified& id) {
  return IdentityHash(id.selector, id.if_id ^ id.mark_value ^
                                       static_cast<uint32_t>(id.direction) << 30 ^
                                       static_cast<uint32_t>(id.type) << 29);
}

uint64_t IndexHash(uint32_t index) { return SeededHash(index, 0); }

uint64_t PeersKey(const PolicySpec& spec) {
  return (uint64_t{spec.priority} << 8 | static_cast<uint64_t>(spec.type) << 4 |
          static_cast<uint64_t>(spec.direction)) ^
         uint64_t { spec.if_id } << 40;
}

// The one that is checked first; either may be nullptr.
Policy* Earlier(Policy* a, Policy* b) {
  if (a == nullptr || b == nullptr) return a == nullptr ? b : a;
  return Before(*b, *a) ? b : a;
}

// As packets of no tunnel show themselves.
FlowKey WithoutTunnel(FlowKey flow) {
  flow.SetTunnel(0, 0);
  return flow;
}

}  // namespace

uint64_t Spd::IndexHashOf::operator()(const Policy& policy) const {
  return IndexHash(policy.spec.index);
}

uint64_t Spd::IdentityHashOf::operator()(const Policy& policy) const {
  return IdentityHash(policy.spec);
}

Spd::Spd(Quiescence* quiescence)
    : quiescence_(quiescence), by_index_(quiescence), by_identity_(quiescence) {
  for (auto& by_type : tables_) {
    for (auto& table : by_type) table = std::make_unique<Table>(quiescence);
  }
}

Spd::~Spd() = default;

Policy* Spd::Table::Find(const FlowKey& flow, int32_t ifindex) const {
  Policy* found = met.all.Find(flow, ifindex);
  if (unmet.all.size() == 0) return found;
  return Earlier(found, unmet.all.Find(WithoutTunnel(flow), ifindex));
}

Policy* Spd::Table::FindWithPorts(const FlowKey& flow, int32_t ifindex) const {
  Policy* found = met.with_ports.Find(flow, ifindex);
  if (unmet.with_ports.size() == 0) return found;
  return Earlier(found, unmet.with_ports.Find(WithoutTunnel(flow), ifindex));
}

// A look-up that overlaps several changes could miss a policy that was moved: too early for its new
// place and too late for its old one. It is repeated. A single change is seen as before or after
// it.
template <typename Fn>
auto Spd::Unmixed(Fn look_up) const {
  for (;;) {
    const uint32_t before = version();
    const auto answer = look_up();
    std::atomic_thread_fence(std::memory_order_acquire);
    if (version_.load(std::memory_order_relaxed) == before) return answer;
  }
}

PolicyMatch Spd::Lookup(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const {
  return Unmixed([&] { return LookupOnce(direction, flow, ifindex); });
}

void Spd::Lookup(PolicyDirection direction, std::span<const FlowKey* const> flows, int32_t ifindex,
                 std::span<PolicyMatch> matches) const {
  const Table& of_main = TableOf(direction, PolicyType::kMain);
  const PolicyIndex& main = of_main.met.all;
  const uint32_t before = version();
  const bool only_main =
      TableOf(direction, PolicyType::kSub).size() == 0 && of_main.unmet.all.size() == 0;
  for (std::size_t from = 0; only_main && from < flows.size(); from += PolicyIndex::kBatch) {
    const std::size_t n = std::min(PolicyIndex::kBatch, flows.size() - from);
    std::array<Policy*, PolicyIndex::kBatch> found;
    main.Find(flows.subspan(from, n), ifindex, found.data());
    for (std::size_t i = 0; i < n; ++i) matches[from + i] = {.first = found[i]};
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  if (only_main && version_.load(std::memory_order_relaxed) == before) return;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    matches[i] = Lookup(direction, *flows[i], ifindex);
  }
}

PolicyMatch Spd::LookupOnce(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const {
  Policy* sub = TableOf(direction, PolicyType::kSub).Find(flow, ifindex);
  if (sub != nullptr && sub->spec.blocks()) return {.first = sub};
  Policy* main = TableOf(direction, PolicyType::kMain).Find(flow, ifindex);
  if (sub == nullptr || (main != nullptr && main->spec.blocks())) {
    return {.first = main};
  }
  return {.first = sub, .second = main};
}

bool Spd::PortsMightDecide(PolicyDirection direction, const FlowKey& flow, int32_t ifindex,
                           const PolicyMatch& certain) const {
  return Unmixed([&] { return PortsMightDecideOnce(direction, flow, ifindex, certain); });
}

bool Spd::PortsMightDecideOnce(PolicyDirection direction, const FlowKey& flow, int32_t ifindex,
                               const PolicyMatch& certain) const {
  for (const PolicyType type : {PolicyType::kMain, PolicyType::kSub}) {
    const Policy* asks = TableOf(direction, type).FindWithPorts(flow, ifindex);
    if (asks == nullptr) continue;
    const Policy* known = nullptr;
    for (const Policy* policy : {certain.first, certain.second}) {
      if (policy != nullptr && policy->spec.type == type) known = policy;
    }
    if (known == nullptr || Before(*asks, *known)) return true;
  }
  return false;
}

std::shared_ptr<Policy> Spd::Link(PolicySpec spec, uint64_t now, std::optional<uint64_t> place) {
  std::shared_ptr<Policy> policy = NewPolicy();
  spec.index = ChooseIndex(spec);
  policy->asks = asked_.NumberOf(spec);
  policy->spec = std::move(spec);
  policy->add_time = now;
  policy->number = next_number_++;
  policy->place = place.value_or(policy->number);
  by_number_.insert_or_assign(policy->number, policy);
  by_index_.Insert(policy.get());
  by_identity_.Insert(policy.get());
  ++counts_[Index(policy->spec.direction)];
  JoinPeers(policy->spec);
  Indexes& table = IndexesOf(policy->spec);
  if (AsksForPorts(policy->spec.selector)) table.with_ports.Insert(policy.get());
  table.all.Insert(policy.get());
  Changed();
  return policy;
}

// Workers may use the policy until they are quiescent.
void Spd::Unlink(const std::shared_ptr<Policy>& policy) {
  std::shared_ptr<Policy> keep = policy;
  Indexes& table = IndexesOf(keep->spec);
  table.all.Remove(keep.get());
  if (AsksForPorts(keep->spec.selector)) table.with_ports.Remove(keep.get());
  by_number_.erase(keep->number);
  by_index_.Erase(keep.get());  // no effect if Replace has done it
  by_identity_.Erase(keep.get());
  --counts_[Index(keep->spec.direction)];
  LeavePeers(keep->spec);
  Changed();
  quiescence_->Retire([gone = std::move(keep)] {});
}

std::shared_ptr<Policy> Spd::Insert(PolicySpec spec, uint64_t now) {
  return Link(std::move(spec), now, std::nullopt);
}

// Links the new policy before it unlinks the old one, so that readers always find one of them. The
// new policy inherits the index.
std::shared_ptr<Policy> Spd::Replace(const std::shared_ptr<Policy>& old, PolicySpec spec,
                                     uint64_t now) {
  const std::shared_ptr<Policy> keep = old;
  by_index_.Erase(keep.get());
  const bool stays = KeepsPlace(*keep, spec);
  auto policy = Link(std::move(spec), now, stays ? std::optional(keep->place) : std::nullopt);
  Unlink(keep);
  return policy;
}

// A policy with neighbours in its list and peers in other lists keeps its place before all of them.
// The kernel's order of these is circular; this choice is the one that changes no tunnel.
bool Spd::KeepsPlace(const Policy& old, const PolicySpec& next) const {
  if (old.spec.priority != next.priority) return false;
  const auto peers = peers_.find(PeersKey(old.spec));
  if (peers == peers_.end()) return false;
  uint32_t all = 0;
  for (const uint32_t n : peers->second) all += n;
  const KernelList list = KernelListOf(old.spec.selector);
  const uint32_t in_list = peers->second[static_cast<std::size_t>(list)];
  if (in_list <= 1 || in_list == all) return in_list > 1;
  return std::any_of(by_number_.begin(), by_number_.end(), [&](const auto& entry) {
    const Policy& other = *entry.second;
    return &other != &old && PeersKey(other.spec) == PeersKey(old.spec) &&
           AreNeighbours(other.spec.selector, old.spec.selector);
  });
}

void Spd::JoinPeers(const PolicySpec& spec) {
  ++peers_[PeersKey(spec)][static_cast<std::size_t>(KernelListOf(spec.selector))];
}

void Spd::LeavePeers(const PolicySpec& spec) {
  const auto at = peers_.find(PeersKey(spec));
  --at->second[static_cast<std::size_t>(KernelListOf(spec.selector))];
  if (at->second == PeerCounts{}) peers_.erase(at);
}

std::shared_ptr<Policy> Spd::Amend(const std::shared_ptr<Policy>& old, Templates templates) {
  PolicySpec next = old->spec;
  next.templates = std::move(templates);
  return Exchange(old, std::move(next));
}

std::shared_ptr<Policy> Spd::SetUnmet(const std::shared_ptr<Policy>& old, bool unmet) {
  PolicySpec next = old->spec;
  next.unmet = unmet;
  return Exchange(old, std::move(next));
}

// REQUIRES: the same identity and priority.
std::shared_ptr<Policy> Spd::Exchange(const std::shared_ptr<Policy>& old, PolicySpec next) {
  const std::shared_ptr<Policy> keep = old;
  std::shared_ptr<Policy> policy = NewPolicy();
  policy->asks = asked_.NumberOf(next);
  policy->spec = std::move(next);
  policy->number = keep->number;
  policy->place = keep->place;
  policy->add_time = keep->add_time;
  policy->soft_signalled_at = keep->soft_signalled_at;
  policy->Touch(keep->use_time.load(std::memory_order_relaxed));
  by_number_.insert_or_assign(keep->number, policy);
  by_index_.Erase(keep.get());
  by_index_.Insert(policy.get());
  by_identity_.Erase(keep.get());
  by_identity_.Insert(policy.get());
  // The new one first, so that readers always find one of them.
  for (const auto index : {&Indexes::all, &Indexes::with_ports}) {
    if (index == &Indexes::with_ports && !AsksForPorts(keep->spec.selector)) continue;
    (IndexesOf(policy->spec).*index).Insert(policy.get());
    Changed();  // repeats look-ups that ran between the two
    (IndexesOf(keep->spec).*index).Remove(keep.get());
  }
  Changed();
  quiescence_->Retire([gone = keep] {});
  return policy;
}

void Spd::Remove(const std::shared_ptr<Policy>& policy) { Unlink(policy); }

std::size_t Spd::RemoveAll(PolicyType type) {
  std::size_t removed = 0;
  for (const auto& policy : List()) {
    if (policy->spec.type != type) continue;
    Unlink(policy);
    ++removed;
  }
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
  const Policy* found =
      id.index != 0 ? by_index_.Find(IndexHash(id.index),
                                     [&](const Policy* p) { return p->spec.index == id.index; })
                    : by_identity_.Find(IdentityHash(id), [&](const Policy* p) {
                        return same(p->spec) && p->spec.selector == id.selector;
                      });
  return found != nullptr && same(found->spec) ? FindByNumber(found->number) : nullptr;
}

std::shared_ptr<Policy> Spd::FindFirst(PolicyDirection direction, PolicyType type,
                                       const FlowKey& flow, int32_t ifindex) const {
  const Policy* found = TableOf(direction, type).Find(flow, ifindex);
  return found == nullptr ? nullptr : FindByNumber(found->number);
}

std::vector<std::shared_ptr<Policy>> Spd::List() const {
  std::vector<std::shared_ptr<Policy>> all;
  all.reserve(by_number_.size());
  by_number_.ForEachReversed(
      [&](uint64_t, const std::shared_ptr<Policy>& policy) { all.push_back(policy); });
  return all;
}

void Spd::SetDefault(PolicyDirection direction, PolicyAction action) {
  defaults_[Index(direction)].store(action, std::memory_order_release);
  Changed();
}

bool Spd::IndexTaken(uint32_t index) const {
  return by_index_.Find(IndexHash(index),
                        [index](const Policy* p) { return p->spec.index == index; }) != nullptr;
}

uint32_t Spd::NewIndex(uint32_t low) {
  for (;;) {
    uint32_t index = index_counter_ | low;
    index_counter_ += 8;
    if (index == 0) index = 8;
    if (!IndexTaken(index)) return index;
  }
}

// A requested index is honoured if it is free.
uint32_t Spd::ChooseIndex(const PolicySpec& spec) {
  if (spec.index != 0 && !IndexTaken(spec.index)) return spec.index;
  return NewIndex(static_cast<uint32_t>(spec.direction));
}

void Spd::Changed() {
  const bool allows =
      std::all_of(defaults_.begin(), defaults_.end(), [](const std::atomic<PolicyAction>& a) {
        return a.load(std::memory_order_relaxed) == PolicyAction::kAllow;
      });
  idle_.store(by_number_.empty() && allows, std::memory_order_release);
  version_.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace cygnet
