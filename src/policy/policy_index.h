// PolicyIndex: finds the first policy of an ordered list that matches a flow, without walking the
// list.
//
// Policies are grouped by destination prefix, cut to whole bytes: policies within 10.2.3.0/24, but
// within no longer prefix of whole bytes, and of one if_id, form one group. A flow belongs to at
// most one group of each such length (5 for IPv4, 17 for IPv6), and each length costs one probe of
// a hash table, even if there is no group. A small group is an ordered list. For a large group, the
// index probes once more for each selector shape in it (prefix lengths, protocol or not, port
// masks, interface or not, mask of the mark) with the flow cut to that shape. It skips everything
// that cannot precede the best match so far by priority.
//
// So the cost depends neither on the number of policies nor on the prefixes of other destinations.
// Policies with the same shape and match that differ only in host bits share a bucket and are
// searched one by one. A match costs two cache lines (bucket, and group with its first rule), or
// four in a large group.
//
// While there are only a few policies of IPv4, its flows are compared with them directly
// (FewPolicies), which costs less than a search.
//
// One control thread changes the index; workers look up without locks. A look-up that overlaps one
// change sees the policies before or after it. One that overlaps several may see a mixture; the Spd
// detects that and repeats the look-up.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "net/flow_key.h"
#include "policy/policy_state.h"

namespace cygnet {

class FewPolicies;

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
  // Find for many flows. All flows advance step by step together, so that their cache misses
  // overlap. REQUIRES: flows.size() <= kBatch, room for as many in `found`.
  static constexpr std::size_t kBatch = 32;  // cache lines that a CPU can fetch at once
  void Find(std::span<const FlowKey* const> flows, int32_t ifindex, Policy** found) const;

  // --- Control thread ---
  void Insert(Policy* policy);
  void Remove(Policy* policy);

 private:
  // Copy of the policy fields that look-ups compare, stored in a group or a table. FewPolicies::Set
  // has the same fields.
  struct Rule {
    IpAddress daddr;  // cut to its prefix, like saddr
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
    bool of_tunnel : 1 = false;  // its policy selects by if_id or mark
    bool is_last : 1 = true;     // of its list
    uint32_t priority = 0;
    Policy* policy = nullptr;

    bool Matches(const FlowKey& flow, int32_t ifindex) const;
    IpFamily family() const { return is_v6 ? IpFamily::kV6 : IpFamily::kV4; }
    uint32_t if_id() const { return of_tunnel ? policy->spec.if_id : 0; }
    bool IsBefore(const Rule* other) const {
      if (other == nullptr) return true;
      if (priority != other->priority) return priority < other->priority;
      return policy->place < other->policy->place;
    }
  };
  // Lower bound of the priority numbers behind a row; it is not raised when a policy is removed.
  struct Bound {
    std::atomic<uint32_t> priority{~uint32_t{0}};
    std::atomic<uint32_t> count{0};  // policies; 0: not a row, the end of the list
    bool MayHaveBetterThan(const Rule* best) const {
      return best == nullptr || priority.load(std::memory_order_acquire) <= best->priority;
    }
    void Lower(uint32_t to) {
      if (to < priority.load(std::memory_order_relaxed)) {
        priority.store(to, std::memory_order_release);
      }
    }
  };
  // The parts of a flow that a selector compares.
  struct Shape {
    uint8_t bits_d = 0;
    uint8_t bits_s = 0;
    bool proto = false;
    bool interface = false;
    uint16_t sport_mask = 0;
    uint16_t dport_mask = 0;
    uint32_t mark_mask = 0;
    bool operator==(const Shape&) const = default;
  };
  static_assert(sizeof(Shape) == 12);
  // Small arrays that look-ups walk. A change of length replaces the whole array.
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
    // The last row is the one that IsEnd; nullptr if there are no rows.
    const Row<Key>* get() const { return rows_.load(std::memory_order_acquire); }
    void Add(const Key& key, uint32_t priority, Quiescence* quiescence);
    void Drop(const Key& key, Quiescence* quiescence);

   private:
    std::size_t size() const;
    void Replace(Row<Key>* next, Quiescence* quiescence);
    std::atomic<Row<Key>*> rows_{nullptr};
  };
  // A destination prefix of whole bytes, and its policies. In most groups a look-up reads only the
  // first line: a rule that matches proves that the group does.
  struct alignas(kCacheLine) Group : FromSlab<Group> {
    Group() = default;
    ~Group();
    // Ordered list of rules, the last one marked; nullptr if there are many, which are found
    // through `shapes`.
    std::atomic<const Rule*> few{nullptr};
    Rule first;  // the group's first list, never changed; most groups need no other
    RowList<Shape> shapes;
    IpAddress destination;
    IpFamily family = IpFamily::kUnspec;
    uint8_t bits = 0;
    uint32_t if_id = 0;
    uint32_t size = 0;  // used by the control thread
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
  // The policies for the flow if they are few; nullptr: the index must be searched.
  const FewPolicies* FewFor(const FlowKey& flow) const;
  Policy* Search(const FlowKey& flow, int32_t ifindex) const;
  void Search(std::span<const FlowKey* const> flows, int32_t ifindex, Policy** found) const;
  struct Query;  // one flow of a batch
  void Begin(const FlowKey& flow, Query* query) const;
  void FindGroups(Query* query) const;
  bool FetchRules(const FlowKey& flow, int32_t ifindex, Query* query) const;
  Policy* Finish(const FlowKey& flow, int32_t ifindex, const Query& query) const;
  static std::size_t FamilyIndex(IpFamily family) { return family == IpFamily::kV4 ? 0 : 1; }
  static uint8_t WholeBytes(uint8_t bits) { return static_cast<uint8_t>(bits / 8 * 8); }
  static uint64_t HashOfGroup(const IpAddress& destination, IpFamily family, uint8_t bits,
                              uint32_t if_id);
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
  void Link(const Rule& rule);
  void Unlink(const Rule& rule);
  void JoinFew(Policy* policy);
  void LeaveFew(Policy* policy);
  void SetFew(std::span<Policy* const> in_order);
  std::vector<Policy*> PoliciesOfV4() const;

  Quiescence* const quiescence_;
  const Ports ports_;
  std::array<RowList<uint8_t>, 2> lengths_;  // of group prefixes, longest first; by family
  RcuHash<Group, GroupHash> groups_;
  RcuHash<OneOfMany, RuleHash> rules_;  // rules of large groups
  std::atomic<std::size_t> size_{0};
  std::size_t size_of_v4_ = 0;  // control thread
  std::atomic<const FewPolicies*> few_{nullptr};
};

}  // namespace cygnet
