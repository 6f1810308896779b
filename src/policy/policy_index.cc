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
  to->bound.count = from.bound.count;
}

}  // namespace

template <typename Key>
void PolicyIndex::RowList<Key>::Replace(Rows<Key>* next, Quiescence* quiescence) {
  Rows<Key>* old = rows_.exchange(next, std::memory_order_acq_rel);
  if (old != nullptr) quiescence->Retire([old] { delete old; });
}

template <typename Key>
void PolicyIndex::RowList<Key>::Add(const Key& key, uint32_t priority, Quiescence* quiescence) {
  Rows<Key>* now = rows_.load(std::memory_order_relaxed);
  const std::size_t n = now == nullptr ? 0 : now->size;
  std::size_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    Row<Key>& row = now->rows[i];
    if (row.key == key) {
      row.bound.Lower(priority);
      ++row.bound.count;
      return;
    }
    if (StandsBefore(row.key, key)) at = i + 1;
  }
  auto next = std::make_unique<Rows<Key>>(n + 1);
  for (std::size_t i = 0; i < n; ++i) CopyRow(now->rows[i], &next->rows[i < at ? i : i + 1]);
  next->rows[at].key = key;
  next->rows[at].bound.Lower(priority);
  next->rows[at].bound.count = 1;
  Replace(next.release(), quiescence);
}

template <typename Key>
bool PolicyIndex::RowList<Key>::Drop(const Key& key, Quiescence* quiescence) {
  Rows<Key>* now = rows_.load(std::memory_order_relaxed);
  std::size_t at = 0;
  while (!(now->rows[at].key == key)) ++at;
  if (--now->rows[at].bound.count > 0) return false;
  if (now->size == 1) {
    Replace(nullptr, quiescence);
    return true;
  }
  auto next = std::make_unique<Rows<Key>>(now->size - 1);
  for (std::size_t i = 0; i < next->size; ++i) {
    CopyRow(now->rows[i < at ? i : i + 1], &next->rows[i]);
  }
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
  return {.source_bits = selector.prefixlen_s,
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
  const Rows<uint8_t>* lengths = lengths_[FamilyIndex(flow.family)].get();
  Policy* best = nullptr;
  for (std::size_t i = 0; lengths != nullptr && i < lengths->size; ++i) {
    const Row<uint8_t>& length = lengths->rows[i];
    if (!length.bound.MayHaveBetterThan(best)) continue;
    const IpAddress masked = Masked(flow.daddr, length.key);
    const uint64_t hash = NodeHash(masked, flow.family, length.key);
    const Node* node = FindNode(hash, masked, flow.family, length.key);
    const Rows<Shape>* shapes = node == nullptr ? nullptr : node->shapes.get();
    for (std::size_t k = 0; shapes != nullptr && k < shapes->size; ++k) {
      const Row<Shape>& shape = shapes->rows[k];
      if (!shape.bound.MayHaveBetterThan(best)) continue;
      Policy* found =
          policies_.Find(HashOf(hash, shape.key, flow, ifindex),
                         [&](const Policy* policy) { return Matches(*policy, flow, ifindex); });
      if (found != nullptr && (best == nullptr || Before(*found, *best))) best = found;
    }
  }
  return best;
}

void PolicyIndex::Prefetch(const FlowKey& flow) const {
  const Rows<uint8_t>* lengths = lengths_[FamilyIndex(flow.family)].get();
  if (lengths == nullptr) return;
  const uint8_t bits = lengths->rows[0].key;
  nodes_.Prefetch(NodeHash(Masked(flow.daddr, bits), flow.family, bits));
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
  size_.fetch_add(1, std::memory_order_acq_rel);
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
  size_.fetch_sub(1, std::memory_order_acq_rel);
}

}  // namespace cygnet
