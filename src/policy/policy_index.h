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
  std::size_t size() const { return policies_.size(); }
  Policy* Find(const FlowKey& flow, int32_t ifindex) const;
  // A look-up is near: what it will touch is on its way into the cache, one step further with each
  // call of Prefetch, of which there are kPrefetchSteps. Between two steps of one flow come those
  // of others.
  static constexpr int kPrefetchSteps = 7;
  struct Trail {
    static constexpr std::size_t kLengths = 4;  // those with the longest prefixes
    std::array<uint64_t, kLengths> hash{};
    std::array<const void*, kLengths> node{};
    std::size_t size = 0;
  };
  void Prefetch(const FlowKey& flow, int32_t ifindex, int step, Trail* trail) const;

  // --- Control thread ---
  void Insert(Policy* policy);
  void Remove(Policy* policy);

 private:
  // The lowest priority number of what is behind it, or less: it stays when that policy goes.
  struct Bound {
    std::atomic<uint32_t> priority{~uint32_t{0}};
    std::atomic<uint32_t> count{0};  // policies; 0: no row, the end of the list
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
    uint16_t source_bits = 0;
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
    bool IsEnd() const { return bound.count.load(std::memory_order_relaxed) == 0; }
  };
  template <typename Key>
  class RowList {
   public:
    RowList() = default;
    ~RowList() { Free(rows_.load()); }
    RowList(const RowList&) = delete;
    RowList& operator=(const RowList&) = delete;
    // Ends with a row that IsEnd; nullptr: there are none.
    const Row<Key>* get() const { return rows_.load(std::memory_order_acquire); }
    void Add(const Key& key, uint32_t priority, Quiescence* quiescence);
    // True: it was the last row.
    bool Drop(const Key& key, Quiescence* quiescence);

   private:
    std::size_t size() const;
    void Replace(Row<Key>* next, Quiescence* quiescence);
    void Free(Row<Key>* rows) {
      if (rows != inside_) delete[] rows;
    }
    std::atomic<Row<Key>*> rows_{nullptr};
    Row<Key> inside_[2];  // the first list, of one row, which most never outgrow; used once
  };
  struct alignas(kCacheLine) Node : FromSlab<Node> {  // a destination prefix
    IpAddress destination;
    RowList<Shape> shapes;
    IpFamily family = IpFamily::kUnspec;
    uint8_t bits = 0;
  };
  static_assert(sizeof(Shape) == 8);

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
};

}  // namespace cygnet
