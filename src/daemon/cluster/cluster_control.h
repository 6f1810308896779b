// ClusterControl: the control thread's part of a cluster. It takes the events of the node's thread
// and mutes or wakes the SAs of groups, moves groups for the operator, and asks key management for
// new SAs after a take-over. It decides nothing about safety: the store does, with each block.
//
// Control thread.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/cluster_report.h"
#include "control/daemon_report.h"
#include "control/numbers/numbers.h"
#include "daemon/cluster/cluster_node.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/config/cluster_config.h"

namespace cygnet {

// The number store, as far as a cluster controls it (ClusterStore).
class GroupStore {
 public:
  virtual ~GroupStore() = default;
  virtual void SetOwned(GroupId group, int64_t owner_revision) = 0;
  virtual void SetNotOwned(GroupId group) = 0;
  virtual void Probe() = 0;
  virtual bool is_away() const = 0;
  virtual std::string fault() const = 0;
  virtual uint64_t era() const = 0;
  virtual std::optional<std::string> TakeWentBack() = 0;
};

class ClusterControl final : public ClusterOperator {
 public:
  struct Params {
    ClusterConfig config;
    ClusterNode* node = nullptr;
    GroupStore* store = nullptr;
    Numbers* numbers = nullptr;
    const Clock* clock = nullptr;
    // Asks key management to replace the SA.
    std::function<void(const Sa& sa)> expire{};
    // A group that came has its numbers: packets that were held for it may pass. May be empty.
    std::function<void()> resume{};
    // For the audit trail. `group` empty: of the whole cluster. `event`: "gained", "lost", "given",
    // "kept" (a move was given up), "owner", "store-away", "went-back".
    std::function<void(const std::string& group, const std::string& event, const std::string& text)>
        record{};
    // Each event, for who shares SAs through the store. May be empty.
    std::function<void(const ClusterEvent& event)> on_event{};
    std::function<uint64_t()> refused_entries{};
    // Why this node does not know all policies of its groups; empty: it does. May be empty.
    std::function<std::string()> why_blind{};
    // For the ledger: from here on this process uses the keys of the group, or no more.
    std::function<void(const std::string& group, uint64_t epoch, const std::string& why)> on_use{};
    std::function<void(const std::string& group, uint64_t epoch, const std::string& why)> on_end{};
  };

  explicit ClusterControl(Params params);

  // Each turn of the loop, 50 ms apart at most.
  enum class Workers : uint8_t { kRun, kHang };
  void Turn(Workers workers);
  // The process ends. Groups are given away, or kept for the next start of this node.
  enum class End : uint8_t { kStop, kRestart };
  void Stop(End end);

  // --- ClusterOperator ---
  ClusterReport Report() const override;
  Status Move(const std::string& group, const std::string& node) override;

  // For `cygnet doctor`.
  std::vector<DoctorRow> Doctor() const;

 private:
  // What this node does with a group.
  enum class Use : uint8_t { kStandby, kActive, kGiving };
  struct Group {
    Use use = Use::kStandby;
    bool is_offered = false;  // kActive: another node is to hold its packets, then it is given
    uint64_t gained = 0;
    uint64_t lost = 0;
    uint64_t epoch = 0;
    uint64_t woken_ns = 0;    // until it has all its numbers
    uint64_t given_ns = 0;    // kGiving: since when
    uint64_t refused_ns = 0;  // the store said that it is another node's
    std::optional<ClusterTakeOverReport> last{};
  };
  struct Expiry {
    uint64_t at_ns = 0;
    uint64_t sa = 0;  // Sa::number
  };

  const std::string& NameOf(GroupId group) const { return config_.groups[group - 1].name; }
  void Handle(const ClusterEvent& event);
  void OnGained(const ClusterEvent& event);
  void OnLost(const ClusterEvent& event);
  void OnReady(const ClusterEvent& event);
  void OnNotReady(const ClusterEvent& event);
  void OnStore(const ClusterEvent& event);
  void OnWentBack(const std::string& why);
  void OnNotOwner(GroupId group);
  void CheckGroup(GroupId group, uint64_t now);
  void Woken(GroupId group, uint64_t sas, uint64_t now);
  Status GiveAway(GroupId group, const std::string& to);
  void TakeBack(GroupId group);
  void PlanExpiries(GroupId group, uint64_t now);
  void ExpireSome(uint64_t now);
  void Record(GroupId group, const std::string& event, const std::string& text);
  ClusterGroupReport ReportOf(GroupId group, const GroupOwner& owner) const;

  const ClusterConfig config_;
  const Params params_;
  ClusterNode& node_;
  GroupStore& store_;
  Numbers& numbers_;
  std::vector<Group> groups_;  // by GroupId - 1
  std::deque<Expiry> expiries_;
  uint64_t reported_ns_ = 0;
  bool is_ending_ = false;
  uint64_t away_since_ = 0;  // wall-clock seconds; 0: the store answers
  std::string went_back_;
  uint64_t went_back_ns_ = 0;  // the number store found it
};

}  // namespace cygnet
