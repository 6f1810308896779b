#include "policy/policy_index.h"

#include <cstring>

namespace cygnet {
namespace {

uint64_t Mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * 0xC2B2AE3D27D4EB4Fu;
  return h ^ (h >> 32);
}

uint64_t Mix(uint64_t h, const IpAddress& address) {
  uint64_t word[2];
  std::memcpy(word, address.bytes.data(), sizeof(word));
  return Mix(Mix(h, word[0]), word[1]);
}

// Rows with a larger key stand first: of prefix lengths the longest, where IKE daemons put the
// lower priority numbers.
bool StandsBefore(uint8_t a, uint8_t b) { return a > b; }
template <typename Shape>
bool StandsBefore(const Shape& a, const Shape& b) {
  return a.source_bits > b.source_bits;
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
  if (old != nullptr && old != inside_) quiescence->Retire([old] { delete[] old; });
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
  Row<Key>* next = n == 0 && inside_[0].IsEnd() ? inside_ : new Row<Key>[n + 2];
  for (std::size_t i = 0; i < n; ++i) CopyRow(now[i], &next[i < at ? i : i + 1]);
  next[at].key = key;
  next[at].bound.Lower(priority);
  next[at].bound.count.store(1, std::memory_order_relaxed);
  Replace(next, quiescence);
}

// A row that workers may be looking at never gets the look of the end.
template <typename Key>
bool PolicyIndex::RowList<Key>::Drop(const Key& key, Quiescence* quiescence) {
  Row<Key>* now = rows_.load(std::memory_order_relaxed);
  std::size_t at = 0;
  while (!(now[at].key == key)) ++at;
  if (now[at].bound.count.load(std::memory_order_relaxed) > 1) {
    now[at].bound.count.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  const std::size_t n = size() - 1;
  if (n == 0) {
    Replace(nullptr, quiescence);
    return true;
  }
  auto next = std::make_unique<Row<Key>[]>(n + 1);
  for (std::size_t i = 0; i < n; ++i) CopyRow(now[i < at ? i : i + 1], &next[i]);
  Replace(next.release(), quiescence);
  return false;
}

PolicyIndex::PolicyIndex(Quiescence* quiescence, Ports ports)
    : quiescence_(quiescence), ports_(ports), nodes_(quiescence), policies_(quiescence) {}

PolicyIndex::~PolicyIndex() = default;

uint64_t PolicyIndex::NodeHash(const IpAddress& masked, IpFamily family, uint8_t bits) {
  return Mix(uint64_t{bits} << 16 | static_cast<uint16_t>(family), masked);
}

// `flow` need not be cut to the shape.
uint64_t PolicyIndex::HashOf(uint64_t node, const Shape& shape, const FlowKey& flow,
                             int32_t ifindex) {
  const auto asked = static_cast<uint64_t>(shape.source_bits) | (shape.proto ? 0x100u : 0u) |
                     (shape.interface ? 0x200u : 0u) | uint64_t{shape.sport_mask} << 16 |
                     uint64_t{shape.dport_mask} << 32 |
                     uint64_t{shape.proto ? flow.proto : uint8_t{0}} << 48;
  const auto port = [](uint16_t value, uint16_t mask) { return uint64_t{value} & mask; };
  const auto rest = port(flow.sport, shape.sport_mask) | port(flow.dport, shape.dport_mask) << 16 |
                    uint64_t{shape.interface ? static_cast<uint32_t>(ifindex) : 0} << 32;
  return Mix(Mix(Mix(node, asked), rest), Masked(flow.saddr, shape.source_bits));
}

PolicyIndex::Shape PolicyIndex::ShapeOf(const Selector& selector) const {
  const bool ports = ports_ == Ports::kMatter;
  return {.source_bits = uint16_t{selector.prefixlen_s},
          .proto = selector.proto != 0,
          .interface = selector.ifindex != 0,
          .sport_mask = ports ? selector.sport_mask : uint16_t{0},
          .dport_mask = ports ? selector.dport_mask : uint16_t{0}};
}

uint64_t PolicyIndex::HashOf(const Policy& policy) const {
  const Selector& selector = policy.spec.selector;
  FlowKey flow;
  flow.saddr = selector.saddr;
  flow.sport = selector.sport;
  flow.dport = selector.dport;
  flow.proto = selector.proto;
  const IpAddress masked = Masked(selector.daddr, selector.prefixlen_d);
  return HashOf(NodeHash(masked, selector.family, selector.prefixlen_d), ShapeOf(selector), flow,
                selector.ifindex);
}

PolicyIndex::Node* PolicyIndex::FindNode(uint64_t hash, const IpAddress& masked, IpFamily family,
                                         uint8_t bits) const {
  return nodes_.Find(hash, [&](const Node* node) {
    return node->bits == bits && node->family == family && node->destination == masked;
  });
}

bool PolicyIndex::Matches(const Policy& policy, const FlowKey& flow, int32_t ifindex) const {
  const Selector& selector = policy.spec.selector;
  return ports_ == Ports::kMatter ? selector.Matches(flow, ifindex)
                                  : selector.MatchesButForPorts(flow, ifindex);
}

Policy* PolicyIndex::Find(const FlowKey& flow, int32_t ifindex) const {
  Policy* best = nullptr;
  const Row<uint8_t>* length = lengths_[FamilyIndex(flow.family)].get();
  for (; length != nullptr && !length->IsEnd(); ++length) {
    if (!length->bound.MayHaveBetterThan(best)) continue;
    const IpAddress masked = Masked(flow.daddr, length->key);
    const uint64_t hash = NodeHash(masked, flow.family, length->key);
    const Node* node = FindNode(hash, masked, flow.family, length->key);
    const Row<Shape>* shape = node == nullptr ? nullptr : node->shapes.get();
    for (; shape != nullptr && !shape->IsEnd(); ++shape) {
      if (!shape->bound.MayHaveBetterThan(best)) continue;
      Policy* found =
          policies_.Find(HashOf(hash, shape->key, flow, ifindex),
                         [&](const Policy* policy) { return Matches(*policy, flow, ifindex); });
      if (found != nullptr && (best == nullptr || Before(*found, *best))) best = found;
    }
  }
  return best;
}

void PolicyIndex::Prefetch(const FlowKey& flow, int32_t ifindex, int step, Trail* trail) const {
  if (step == 0) {
    const Row<uint8_t>* length = lengths_[FamilyIndex(flow.family)].get();
    for (; length != nullptr && !length->IsEnd() && trail->size < Trail::kLengths; ++length) {
      const uint64_t hash = NodeHash(Masked(flow.daddr, length->key), flow.family, length->key);
      trail->hash[trail->size++] = hash;
      nodes_.Prefetch(hash);
    }
    return;
  }
  for (std::size_t i = 0; i < trail->size; ++i) {
    uint64_t& hash = trail->hash[i];
    const auto* node = static_cast<const Node*>(trail->node[i]);
    if (step == 1) {
      nodes_.PrefetchFirst(hash);
    } else if (step == 2) {
      trail->node[i] = node = nodes_.First(hash);
      __builtin_prefetch(node);
    } else if (node == nullptr) {
      continue;
    } else if (step == 3) {
      if (const Row<Shape>* shape = node->shapes.get()) {
        hash = HashOf(hash, shape->key, flow, ifindex);
        policies_.Prefetch(hash);
      }
    } else if (step == 4) {
      policies_.PrefetchFirst(hash);
    } else if (const Policy* policy = policies_.First(hash)) {
      if (step == 5) {
        __builtin_prefetch(policy);
        __builtin_prefetch(reinterpret_cast<const char*>(policy) + kCacheLine);
      } else {
        __builtin_prefetch(policy->spec.templates.data());
      }
    }
  }
}

// From the end of a look-up to its beginning: what leads to a policy is there before it is needed,
// and a bound is never above what is behind it.
void PolicyIndex::Insert(Policy* policy) {
  const Selector& selector = policy->spec.selector;
  const uint32_t priority = policy->spec.priority;
  const uint8_t bits = selector.prefixlen_d;
  const IpAddress masked = Masked(selector.daddr, bits);
  const uint64_t hash = NodeHash(masked, selector.family, bits);
  Node* node = FindNode(hash, masked, selector.family, bits);
  const bool is_new = node == nullptr;
  if (is_new) {
    auto made = std::make_unique<Node>();
    made->destination = masked;
    made->family = selector.family;
    made->bits = bits;
    node = made.get();
    owned_.emplace(node, std::move(made));
  }
  node->shapes.Add(ShapeOf(selector), priority, quiescence_);
  if (is_new) nodes_.Insert(hash, node);
  lengths_[FamilyIndex(selector.family)].Add(bits, priority, quiescence_);
  policies_.InsertOrdered(HashOf(*policy), policy, Before);
}

void PolicyIndex::Remove(Policy* policy) {
  const Selector& selector = policy->spec.selector;
  const uint8_t bits = selector.prefixlen_d;
  const IpAddress masked = Masked(selector.daddr, bits);
  const uint64_t hash = NodeHash(masked, selector.family, bits);
  policies_.Erase(HashOf(*policy), policy);
  lengths_[FamilyIndex(selector.family)].Drop(bits, quiescence_);
  Node* node = FindNode(hash, masked, selector.family, bits);
  if (node->shapes.Drop(ShapeOf(selector), quiescence_)) {
    nodes_.Erase(hash, node);
    auto owned = owned_.extract(node);
    quiescence_->Retire([gone = std::shared_ptr<Node>(std::move(owned.mapped()))] {});
  }
}

}  // namespace cygnet
