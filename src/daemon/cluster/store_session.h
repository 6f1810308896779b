// StoreSession: what guards each change that this node makes in the cluster's store: that it is the
// store that confirmed what came before, the era, who owns the groups, and whether the store
// answers at all. For ClusterStore. Control thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "daemon/cluster/cluster_anchor.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/cluster/etcd_client.h"

namespace cygnet {

// A change, without its guards. Keys are whole.
struct StoreChange {
  std::vector<EtcdCompare> compares{};
  std::vector<EtcdOp> then{};
  std::vector<EtcdOp> otherwise{};  // ranges
  std::set<GroupId> groups{};       // that this node must own
};

struct StoreOutcome {
  bool is_done = false;
  int64_t revision = 0;  // of the store, with the change
  // One for each of `then` or, if it is not done, of `otherwise`.
  std::vector<std::vector<EtcdEntry>> found{};
};

class StoreSession {
 public:
  struct Params {
    EtcdParams etcd;
    std::string prefix;
    std::string node;
    Incarnation incarnation = 0;
    uint32_t timeout_ms = 1000;
    uint32_t probe_timeout_ms = 900;
    uint32_t probe_each_ms = 1000;
  };
  // Steps of a transaction that the guards need; the rest is for the change.
  static constexpr std::size_t kMaxGuards = 11;
  static constexpr std::size_t kMaxGroups = kMaxGuards - 3;

  StoreSession(Params params, ClusterAnchor anchor, const Clock* clock);

  // Groups have the numbers 1, 2 ...
  void AddGroup(const std::string& name) { groups_.push_back(name); }
  EtcdClient* client() { return &client_; }
  // Asks the store who it is, and waits for it.
  void Meet();
  // See ClusterStore.
  void Probe();

  void SetOwned(GroupId group, int64_t owner_revision) { owned_[group] = owner_revision; }
  void SetNotOwned(GroupId group) { owned_.erase(group); }
  bool Owns(GroupId group) const { return group == 0 || owned_.contains(group); }
  Error NotOwned(GroupId group) const;

  // Not done: something that it compares has changed, and is known now: try again. REQUIRES: not
  // more than kEtcdMaxTxnOps steps, compares, and groups with the guards.
  Result<StoreOutcome> Run(const StoreChange& change);
  // What Run has done is on this node's disk, too. Nothing of it counts before.
  Status Confirm();

  uint64_t era() const { return era_; }
  std::optional<std::string> TakeWentBack() { return std::exchange(went_back_, std::nullopt); }
  bool is_away() const { return !away_.empty(); }
  std::string fault() const;
  // Why nothing can be changed now.
  Status Ready() const;

 private:
  // The keys that guard each change, as an answer shows them.
  struct Guards {
    EtcdEntry era;
    EtcdEntry own;
    std::map<GroupId, int64_t> owners{};
  };

  std::string OwnerKey(GroupId group) const;
  EtcdTxn WithGuards(const StoreChange& change) const;
  Guards GuardsOf(const EtcdTxnAnswer& answer, const std::set<GroupId>& groups) const;
  Result<EtcdTxnAnswer> Ask(const EtcdTxn& txn);
  Status Learn(const EtcdHeader& header, const Guards& guards);
  Status LeaveMark();
  Status RaiseEra(const std::string& why, const EtcdHeader& header, const Guards& guards);
  Status SetEra(uint64_t era, const EtcdHeader& header, const Guards& guards);
  Status TakeEra(const EtcdEntry& entry, const std::string& why);
  void Settle();
  void StartProbe();
  void EndProbe(const Result<std::string>& body);
  Result<StoreOutcome> Read(const EtcdTxnAnswer& answer, const StoreChange& change);
  void GoAway(const Error& error);
  void ComeBack();

  const Params params_;
  const Clock& clock_;
  const std::string era_key_;
  const std::string own_key_;
  EtcdClient client_;
  ClusterAnchor anchor_;
  AnchorState seen_;  // what the file has, or will have with the next Confirm
  uint64_t era_ = 0;  // 0: unknown
  int64_t era_revision_ = 0;
  std::string era_text_;             // as the store has it
  bool has_met_ = false;             // guards were read since the start
  std::vector<std::string> groups_;  // names, by GroupId - 1
  std::map<GroupId, int64_t> owned_;
  std::string away_;
  std::string disk_fault_;
  std::string refusal_;  // the store answers, and refuses
  std::optional<std::string> went_back_;
  uint64_t probe_at_ns_ = 0;
};

}  // namespace cygnet
