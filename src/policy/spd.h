// Spd: the security policy database (RFC 4301 section 4.4.1). The control thread changes it;
// workers read an immutable, ordered table. The ordered walk is the truth that every cache is
// tested against.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/quiescence.h"
#include "net/flow_key.h"
#include "policy/policy.h"

namespace cygnet {

// A policy that is installed. `spec` never changes; a replaced policy is a new object.
struct Policy {
  PolicySpec spec;
  uint64_t add_time = 0;              // wall-clock seconds
  std::atomic<uint64_t> use_time{0};  // last match, wall-clock seconds; 0 = never
  uint64_t number = 0;                // order of insertion; the older wins among equals
  uint64_t soft_signalled_at = 0;     // control thread

  // Worker: the idle clock of IKE daemons moves with every match, in seconds.
  void Touch(uint64_t now) {
    if (use_time.load(std::memory_order_relaxed) != now) {
      use_time.store(now, std::memory_order_relaxed);
    }
  }
};

class Spd {
 public:
  explicit Spd(Quiescence* quiescence);
  ~Spd();

  // --- Workers ---
  // True when no policy is installed and every default is "allow": nothing to look at.
  bool Idle() const { return table_.load(std::memory_order_acquire)->idle; }
  // The policy that decides for this flow; nullptr: none, the default action holds. SUB policies
  // are looked at first; one that only allows leaves the decision to the MAIN ones; a block of
  // either kind blocks.
  Policy* Lookup(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const;
  // A later fragment carries no ports. True when a policy that asks for ports might be the one for
  // it, ahead of `certain`, the one that Lookup found.
  bool PortsMightDecide(PolicyDirection direction, const FlowKey& flow, int32_t ifindex,
                        const Policy* certain) const;
  // Rises with every change. Read before a look-up: the answer is of this version or a later one.
  uint32_t version() const { return table_.load(std::memory_order_acquire)->version; }
  PolicyAction DefaultAction(PolicyDirection direction) const {
    return table_.load(std::memory_order_acquire)->defaults[Index(direction)];
  }

  // --- Control thread ---
  // Fills in the index. `Find` first: two policies of one identity are the caller's to refuse.
  std::shared_ptr<Policy> Insert(PolicySpec spec, uint64_t now);
  // Puts a policy in the place of one with the same identity and index.
  std::shared_ptr<Policy> Replace(const std::shared_ptr<Policy>& old, PolicySpec spec,
                                  uint64_t now);
  void Remove(const std::shared_ptr<Policy>& policy);
  std::size_t RemoveAll(PolicyType type);
  std::shared_ptr<Policy> FindByNumber(uint64_t number) const;
  // By index when it is given, else by the exact selector, direction, type, mark and if_id.
  std::shared_ptr<Policy> Find(const PolicyId& id) const;
  // Newest first.
  std::vector<std::shared_ptr<Policy>> List() const;
  std::array<uint32_t, kPolicyDirections> Counts() const;
  void SetDefault(PolicyDirection direction, PolicyAction action);

 private:
  struct Table {
    bool idle = true;
    uint32_t version = 0;
    std::array<PolicyAction, kPolicyDirections> defaults{};
    // By direction and type, best first.
    std::array<std::array<std::vector<Policy*>, 2>, kPolicyDirections> ordered;
  };
  static std::size_t Index(PolicyDirection d) { return static_cast<std::size_t>(d); }
  uint32_t ChooseIndex(const PolicySpec& spec);
  std::shared_ptr<Policy> Link(PolicySpec spec, uint64_t now);
  void Unlink(const std::shared_ptr<Policy>& policy);
  void Publish();

  Quiescence* const quiescence_;
  std::atomic<const Table*> table_;
  std::map<uint64_t, std::shared_ptr<Policy>> by_number_;
  std::unordered_map<uint32_t, std::shared_ptr<Policy>> by_index_;
  std::vector<std::shared_ptr<Policy>> unlinked_;  // since the last publication
  std::array<PolicyAction, kPolicyDirections> defaults_{};
  uint64_t next_number_ = 1;
  uint32_t version_ = 0;
  uint32_t index_counter_ = 0;
};

}  // namespace cygnet
