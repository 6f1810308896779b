// Spd: the security policy database (RFC 4301 section 4.4.1). The control thread changes it;
// workers look up without locks. The result equals that of an ordered walk: by priority, then
// oldest first.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/numbered_map.h"
#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "net/flow_key.h"
#include "policy/asked_sas.h"
#include "policy/kernel_order.h"
#include "policy/policy.h"
#include "policy/policy_index.h"
#include "policy/policy_state.h"

namespace cygnet {

// The policies that decide for a flow: none, one, or a SUB and a MAIN policy that both allow. In
// the last case both apply: the templates of `second` follow those of `first`, further outside.
struct PolicyMatch {
  Policy* first = nullptr;
  Policy* second = nullptr;

  bool any() const { return first != nullptr; }
  bool blocks() const { return first != nullptr && first->spec.blocks(); }
  std::size_t templates() const {
    return (first == nullptr ? 0 : first->spec.templates.size()) +
           (second == nullptr ? 0 : second->spec.templates.size());
  }
  // REQUIRES: i < templates().
  const Template& at(std::size_t i) const {
    const Templates& inner = first->spec.templates;
    return i < inner.size() ? inner[i] : second->spec.templates[i - inner.size()];
  }
};

class Spd {
 public:
  explicit Spd(Quiescence* quiescence);
  ~Spd();

  // --- Workers ---
  // True if no policy is installed and every default is "allow", so that no look-up is needed.
  bool Idle() const { return idle_.load(std::memory_order_acquire); }
  // Same for one direction. False while a policy moves from one table to another, when both may
  // look empty.
  bool Idle(PolicyDirection direction) const {
    const uint32_t before = version();
    const bool idle = TableOf(direction, PolicyType::kMain).size() == 0 &&
                      TableOf(direction, PolicyType::kSub).size() == 0 &&
                      DefaultAction(direction) == PolicyAction::kAllow;
    std::atomic_thread_fence(std::memory_order_acquire);
    return idle && version() == before;
  }
  // No match: the default action applies. A block of either type blocks.
  PolicyMatch Lookup(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const;
  // Looks up each flow as by itself. If the policies exceed the CPU's caches, it prefetches for all
  // flows before the first look-up. REQUIRES: matches.size() >= flows.size().
  void Lookup(PolicyDirection direction, std::span<const FlowKey* const> flows, int32_t ifindex,
              std::span<PolicyMatch> matches) const;
  // For a later fragment, which carries no ports: true if a policy that selects by ports might
  // match it ahead of `certain`, the result of Lookup.
  bool PortsMightDecide(PolicyDirection direction, const FlowKey& flow, int32_t ifindex,
                        const PolicyMatch& certain) const;
  std::size_t size(PolicyDirection direction) const {
    return TableOf(direction, PolicyType::kMain).size();
  }
  // Rises with every change. If read before a look-up, the result is of this version or a later
  // one.
  uint32_t version() const { return version_.load(std::memory_order_acquire); }
  PolicyAction DefaultAction(PolicyDirection direction) const {
    return defaults_[Index(direction)].load(std::memory_order_acquire);
  }

  // --- Control thread ---
  // Chooses the index. REQUIRES: no policy has the same identity (use `Find`).
  std::shared_ptr<Policy> Insert(PolicySpec spec, uint64_t now);
  // Replaces `old` by a policy with the same identity and index. It keeps its order among policies
  // of equal priority if the kernel's would (policy/kernel_order.h).
  std::shared_ptr<Policy> Replace(const std::shared_ptr<Policy>& old, PolicySpec spec,
                                  uint64_t now);
  // True if the policy that replaces `old` gets its place (Policy::place) instead of a new one.
  bool KeepsPlace(const Policy& old, const PolicySpec& next) const;
  // Replaces the policy by one with another PolicySpec::unmet. Order, index, age and clocks stay.
  std::shared_ptr<Policy> SetUnmet(const std::shared_ptr<Policy>& old, bool unmet);
  // Replaces the templates. Order, index, age and clocks stay.
  std::shared_ptr<Policy> Amend(const std::shared_ptr<Policy>& old, Templates templates);
  void Remove(const std::shared_ptr<Policy>& policy);
  std::size_t RemoveAll(PolicyType type);
  std::shared_ptr<Policy> FindByNumber(uint64_t number) const;
  // By index if not 0, otherwise by exact selector, direction, type, mark and if_id.
  std::shared_ptr<Policy> Find(const PolicyId& id) const;
  // The first policy of one type that matches a flow.
  std::shared_ptr<Policy> FindFirst(PolicyDirection direction, PolicyType type, const FlowKey& flow,
                                    int32_t ifindex) const;
  // Newest first.
  std::vector<std::shared_ptr<Policy>> List() const;
  std::array<uint32_t, kPolicyDirections> Counts() const { return counts_; }
  void SetDefault(PolicyDirection direction, PolicyAction action);
  // An unused index with `low` in its three low bits. Chosen as in the kernel: one counter for all,
  // in steps of 8, skipping 0.
  uint32_t NewIndex(uint32_t low);
  // The index that Insert would give to this policy.
  uint32_t ChooseIndex(const PolicySpec& spec);

 private:
  struct IndexHashOf {
    uint64_t operator()(const Policy& policy) const;
  };
  struct IdentityHashOf {
    uint64_t operator()(const Policy& policy) const;
  };
  bool IndexTaken(uint32_t index) const;
  using PeerCounts = std::array<uint32_t, kKernelLists>;
  // The policies of one direction and type; those that select by ports are also indexed without
  // ports.
  struct Indexes {
    explicit Indexes(Quiescence* quiescence)
        : all(quiescence), with_ports(quiescence, PolicyIndex::Ports::kIgnored) {}
    PolicyIndex all;
    PolicyIndex with_ports;
  };
  struct Table {
    explicit Table(Quiescence* quiescence) : met(quiescence), unmet(quiescence) {}
    Indexes met;
    Indexes unmet;  // PolicySpec::unmet: for the packets of all interfaces
    std::size_t size() const { return met.all.size() + unmet.all.size(); }
    Policy* Find(const FlowKey& flow, int32_t ifindex) const;
    Policy* FindWithPorts(const FlowKey& flow, int32_t ifindex) const;
  };
  static std::size_t Index(PolicyDirection d) { return static_cast<std::size_t>(d); }
  const Table& TableOf(PolicyDirection direction, PolicyType type) const {
    return *tables_[Index(direction)][static_cast<std::size_t>(type)];
  }
  Indexes& IndexesOf(const PolicySpec& spec) {
    Table& table = *tables_[Index(spec.direction)][static_cast<std::size_t>(spec.type)];
    return spec.unmet ? table.unmet : table.met;
  }
  PolicyMatch LookupOnce(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const;
  bool PortsMightDecideOnce(PolicyDirection direction, const FlowKey& flow, int32_t ifindex,
                            const PolicyMatch& certain) const;
  template <typename Fn>
  auto Unmixed(Fn look_up) const;
  std::shared_ptr<Policy> Exchange(const std::shared_ptr<Policy>& old, PolicySpec next);
  std::shared_ptr<Policy> Link(PolicySpec spec, uint64_t now, std::optional<uint64_t> place);
  void JoinPeers(const PolicySpec& spec);
  void LeavePeers(const PolicySpec& spec);
  void Unlink(const std::shared_ptr<Policy>& policy);
  // Call after each change that look-ups can see.
  void Changed();

  Quiescence* const quiescence_;
  std::array<std::array<std::unique_ptr<Table>, 2>, kPolicyDirections> tables_;
  std::array<std::atomic<PolicyAction>, kPolicyDirections> defaults_{};
  std::atomic<bool> idle_{true};
  std::atomic<uint32_t> version_{0};
  // Control thread.
  NumberedMap<std::shared_ptr<Policy>> by_number_;
  RcuHash<Policy, IndexHashOf> by_index_;
  RcuHash<Policy, IdentityHashOf> by_identity_;
  std::array<uint32_t, kPolicyDirections> counts_{};
  // Number of policies of one direction, type and priority in each of the kernel's lists.
  std::unordered_map<uint64_t, PeerCounts> peers_;
  uint64_t next_number_ = 1;
  AskedSas asked_;
  uint32_t index_counter_ = 0;
};

}  // namespace cygnet
