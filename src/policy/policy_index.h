// PolicyIndex: of an ordered list of policies the first that matches a flow, without walking it.
//
// Policies are in groups by their destination, cut to whole bytes: all that lies in 10.2.3.0/24 and
// no smaller prefix of whole bytes is one group. A flow lies in at most one group of each such
// length (5 of IPv4, 17 of IPv6), and each costs one probe of a hash table, also where it has
// none. A group of few policies is a list of them in their order. For one of many, the index asks
// for each shape of selector in it (lengths of the prefixes, protocol or not, masks of the ports,
// interface or not) whether there is a policy for the flow cut to that shape: one more probe each.
// What cannot come before the best policy found so far, by its priority, is not asked for.
//
// So how many policies there are does not matter, nor which prefixes other destinations use. Many
// policies of one shape and one match, which differ in host bits alone, are a list in one bucket
// and cost as such. A policy that is found costs two lines of the cache, bucket and group with its
// first rule; one of many in its group four.
//
// One control thread changes it, workers look up without locks. A look-up that meets one change
// sees the policies as before or as after it; one that meets several may see a mixture: the Spd
// notices, and looks again.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

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
  std::size_t size() const { return size_.load(std::memory_order_relaxed); }
  Policy* Find(const FlowKey& flow, int32_t ifindex) const;
  // Find for many flows, step by step for all of them, so that what one waits for from memory comes
  // while others are worked on. REQUIRES: flows.size() <= kBatch, room for as many in `found`.
  static constexpr std::size_t kBatch = 32;  // lines on their way: what a CPU keeps track of
  void Find(std::span<const FlowKey* const> flows, int32_t ifindex, Policy** found) const;

  // --- Control thread ---
  void Insert(Policy* policy);
  void Remove(Policy* policy);

 private:
  // What look-ups ask of a policy, beside them in a group or a table.
  struct Rule {
    IpAddress daddr;  // cut to its prefix, as is saddr
    IpAddress saddr;
    uint16_t sport = 0;
    uint16_t sport_mask = 0;
    uint16_t dport = 0;
    uint16_t dport_mask = 0;
    uint8_t bits_d = 0;
    uint8_t bits_s = 0;
    uint8_t proto = 0;
    bool is_v6 : 1 = false;
    bool of_interface : 1 = false;
    bool is_last : 1 = true;  // of a list
    uint32_t priority = 0;
    Policy* policy = nullptr;

    bool Matches(const FlowKey& flow, int32_t ifindex) const;
    IpFamily family() const { return is_v6 ? IpFamily::kV6 : IpFamily::kV4; }
    bool IsBefore(const Rule* other) const {
      if (other == nullptr) return true;
      if (priority != other->priority) return priority < other->priority;
      return policy->place < other->policy->place;
    }
  };
  // The lowest priority number of what is behind it, or less: it stays when that policy goes.
  struct Bound {
    std::atomic<uint32_t> priority{~uint32_t{0}};
    std::atomic<uint32_t> count{0};  // policies; 0: no row, the end of the list
    bool MayHaveBetterThan(const Rule* best) const {
      return best == nullptr || priority.load(std::memory_order_acquire) <= best->priority;
    }
    void Lower(uint32_t to) {
      if (to < priority.load(std::memory_order_relaxed)) {
        priority.store(to, std::memory_order_release);
      }
    }
  };
  // What of a flow a selector looks at.
  struct Shape {
    uint8_t bits_d = 0;
    uint8_t bits_s = 0;
    bool proto = false;
    bool interface = false;
    uint16_t sport_mask = 0;
    uint16_t dport_mask = 0;
    bool operator==(const Shape&) const = default;
  };
  static_assert(sizeof(Shape) == 8);
  // What look-ups walk: small arrays that are replaced as a whole when they get longer or shorter.
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
    ~RowList() { delete[] rows_.load(); }
    RowList(const RowList&) = delete;
    RowList& operator=(const RowList&) = delete;
    // Ends with a row that IsEnd; nullptr: there are none.
    const Row<Key>* get() const { return rows_.load(std::memory_order_acquire); }
    void Add(const Key& key, uint32_t priority, Quiescence* quiescence);
    void Drop(const Key& key, Quiescence* quiescence);

   private:
    std::size_t size() const;
    void Replace(Row<Key>* next, Quiescence* quiescence);
    std::atomic<Row<Key>*> rows_{nullptr};
  };
  // A destination prefix of whole bytes, and its policies. A look-up of most groups reads the first
  // line of it alone: that a rule matches says that the group does.
  struct alignas(kCacheLine) Group : FromSlab<Group> {
    Group() = default;
    ~Group();
    // Their list, in order, its last rule marked; nullptr: they are many, and `shapes` are what to
    // ask for.
    std::atomic<const Rule*> few{nullptr};
    Rule first;  // the first list of a group, used once: most need no other
    RowList<Shape> shapes;
    IpAddress destination;
    IpFamily family = IpFamily::kUnspec;
    uint8_t bits = 0;
    uint32_t size = 0;  // control thread
  };
  static_assert(offsetof(Group, shapes) == kCacheLine && sizeof(Group) == 2 * kCacheLine);
  struct alignas(kCacheLine) OneOfMany : FromSlab<OneOfMany> {
    Rule rule;
  };
  static constexpr uint32_t kFew = 4;

  struct GroupHash {
    uint64_t operator()(const Group& group) const;
  };
  struct RuleHash {
    uint64_t operator()(const OneOfMany& one) const { return HashOfRule(one.rule); }
  };
  struct Query;  // of a batch
  void Begin(const FlowKey& flow, Query* query) const;
  void FindGroups(Query* query) const;
  bool FetchRules(const FlowKey& flow, int32_t ifindex, Query* query) const;
  Policy* Finish(const FlowKey& flow, int32_t ifindex, const Query& query) const;
  static std::size_t FamilyIndex(IpFamily family) { return family == IpFamily::kV4 ? 0 : 1; }
  static uint8_t WholeBytes(uint8_t bits) { return static_cast<uint8_t>(bits / 8 * 8); }
  static uint64_t HashOfGroup(const IpAddress& destination, IpFamily family, uint8_t bits);
  static uint64_t HashOfRule(const Rule& rule);
  static uint64_t HashOfRule(const Shape& shape, const FlowKey& flow, int32_t ifindex);
  static Shape ShapeOf(const Rule& rule);
  Rule RuleOf(Policy* policy) const;
  Group* GroupOf(const Rule& rule) const;
  static const Rule* FirstMatch(const Rule* list, const FlowKey& flow, int32_t ifindex);
  const Rule* BestOf(const Group& group, const FlowKey& flow, int32_t ifindex,
                     const Rule* best) const;
  const Rule* FindInShapes(const Group& group, const FlowKey& flow, int32_t ifindex,
                           const Rule* best) const;
  void InsertInto(Group* group, const Rule& rule);
  void RemoveFrom(Group* group, const Rule& rule);
  void SetList(Group* group, std::span<const Rule> rules);
  void InsertIntoShapes(Group* group, const Rule& rule);

  Quiescence* const quiescence_;
  const Ports ports_;
  std::array<RowList<uint8_t>, 2> lengths_;  // of groups' prefixes, longest first; by family
  RcuHash<Group, GroupHash> groups_;
  RcuHash<OneOfMany, RuleHash> rules_;  // of groups that have many
  std::atomic<std::size_t> size_{0};
};

}  // namespace cygnet
