// PolicyIndex: of an ordered list of policies the first that matches a flow, without walking it.
//
// Three steps. Which lengths of destination prefix are there at all; is there a node for the flow's
// destination cut to that length; and for each shape of the rest of a selector that the node has
// policies of (length of the source prefix, protocol or not, masks of the ports, interface or
// not), is there a policy for the flow cut to that shape. Each question is one probe of a hash
// table. What cannot come before the best policy found so far, by its priority, is not asked for.
//
// Probes for one flow: at most one for each destination length (33 of IPv4, 129 of IPv6) and one
// for each shape in the nodes that the flow lies in; how many policies there are does not matter,
// nor how many pairs of lengths other destinations use. Many policies of one shape and one
// match, which differ in host bits alone, are a list in one bucket and cost as such.
//
// One control thread changes it, workers look up without locks. A look-up that meets one change
// sees the policies as before or as after it; one that meets several may see a mixture: the Spd
// notices, and looks again.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "net/flow_key.h"
#include "policy/policy_state.h"

namespace cygnet {

class PolicyIndex {
 public:
  enum class Ports : uint8_t { kMatter, kIgnored };

  explicit PolicyIndex(Quiescence* quiescence, Ports ports = Ports::kMatter);
  ~PolicyIndex();
  PolicyIndex(const PolicyIndex&) = delete;
  PolicyIndex& operator=(const PolicyIndex&) = delete;

  // --- Workers ---
  bool empty() const { return size_.load(std::memory_order_acquire) == 0; }
  Policy* Find(const FlowKey& flow, int32_t ifindex) const;
  // What Find will touch first is on its way into the cache.
  void Prefetch(const FlowKey& flow) const;

  // --- Control thread ---
  void Insert(Policy* policy);
  void Remove(Policy* policy);

 private:
  // The lowest priority number of what is behind it, or less: it stays when that policy goes.
  struct Bound {
    std::atomic<uint32_t> priority{~uint32_t{0}};
    uint32_t count = 0;  // control thread
    bool MayHaveBetterThan(const Policy* best) const {
      return best == nullptr || priority.load(std::memory_order_acquire) <= best->spec.priority;
    }
    void Lower(uint32_t to) {
      if (to < priority.load(std::memory_order_relaxed)) {
        priority.store(to, std::memory_order_release);
      }
    }
  };
  // What of a flow a selector looks at, beside its destination.
  struct Shape {
    uint8_t source_bits = 0;
    bool proto = false;
    bool interface = false;
    uint16_t sport_mask = 0;
    uint16_t dport_mask = 0;
    bool operator==(const Shape&) const = default;
  };
  // What the steps walk: small arrays that are replaced as a whole when they get longer or shorter.
  template <typename Key>
  struct Row {
    Key key{};
    Bound bound{};
  };
  template <typename Key>
  struct Rows {
    explicit Rows(std::size_t n) : size(n), rows(std::make_unique<Row<Key>[]>(n)) {}
    const std::size_t size;
    const std::unique_ptr<Row<Key>[]> rows;
  };
  template <typename Key>
  class RowList {
   public:
    ~RowList() { delete rows_.load(); }
    const Rows<Key>* get() const { return rows_.load(std::memory_order_acquire); }
    void Add(const Key& key, uint32_t priority, Quiescence* quiescence);
    // True: it was the last row.
    bool Drop(const Key& key, Quiescence* quiescence);

   private:
    void Replace(Rows<Key>* next, Quiescence* quiescence);
    std::atomic<Rows<Key>*> rows_{nullptr};
  };
  struct Node {  // a destination prefix
    IpAddress destination;
    IpFamily family;
    uint8_t bits;
    RowList<Shape> shapes;
  };

  static std::size_t FamilyIndex(IpFamily family) { return family == IpFamily::kV4 ? 0 : 1; }
  static uint64_t NodeHash(const IpAddress& masked, IpFamily family, uint8_t bits);
  static uint64_t HashOf(uint64_t node, const Shape& shape, const FlowKey& flow, int32_t ifindex);
  uint64_t HashOf(const Policy& policy) const;
  Shape ShapeOf(const Selector& selector) const;
  Node* FindNode(uint64_t hash, const IpAddress& masked, IpFamily family, uint8_t bits) const;
  bool Matches(const Policy& policy, const FlowKey& flow, int32_t ifindex) const;

  Quiescence* const quiescence_;
  const Ports ports_;
  std::array<RowList<uint8_t>, 2> lengths_;  // of destination prefixes, longest first; by family
  RcuHash<Node> nodes_;
  RcuHash<Policy> policies_;
  std::unordered_map<const Node*, std::unique_ptr<Node>> owned_;  // control thread
  std::atomic<std::size_t> size_{0};
};

}  // namespace cygnet
