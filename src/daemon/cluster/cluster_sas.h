// ClusterSas: nodes share whole SAs and policies (share = "sas"). The owner of a group puts each of
// its SAs into the cluster's store before packets find it, and how much it has carried, ahead. The
// other nodes install what they find there, without numbers, so that they can go on at once.
// Policies of the group go the same way.
//
// What an entry says counts only if it can be opened (sealed_entry.h), belongs to a group of this
// node, and is newer than what this node has seen. Everything else is refused, told to the audit,
// and shown; what this node has stays as it is. An entry of an earlier era of the store is refused,
// too: its numbers are not known any more.
//
// Numbers are not here: the number store has them, whoever installs an SA.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "control/control_plane.h"
#include "control/state_keeper.h"
#include "daemon/cluster/cluster_entries.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/cluster/group_addresses.h"
#include "daemon/cluster/sealed_entry.h"
#include "daemon/cluster/shared_record.h"
#include "requests/control_event.h"

namespace cygnet {

// FIPS mode: keys leave the host, wrapped. An error refuses the configuration.
Status CheckSharing(const ClusterConfig& config, bool fips_enforced);

struct SharedReport {
  std::size_t sas = 0;       // in the store, as far as this node knows
  std::size_t policies = 0;  // likewise
  std::size_t unsent = 0;    // changes that the store does not have yet
  std::size_t waiting = 0;   // entries that this node could not install yet
  std::string error;         // why changes are not sent; empty: they are
  struct Refused {
    std::string key;
    std::string why;
  };
  std::vector<Refused> refused;
  uint64_t refused_count = 0;  // since the start, also those that are right by now
};

class ClusterSas final : public StateKeeper, public ChangeJournal {
 public:
  struct Params {
    ClusterEntries* entries = nullptr;
    const Clock* clock = nullptr;
    GroupAddresses groups;
    EntrySeal seal;
    KeyMaterial secret;  // of the cluster: for names
    // An entry was refused: for the audit.
    std::function<void(const std::string& text)> refused{};
  };
  explicit ClusterSas(Params params);

  // REQUIRES: before the first event, and before any client is let in.
  void Start(ControlPlane* control);
  // An orderly end: SAs that end afterwards stay in the store.
  void Stop() { control_ = nullptr; }

  // kGained, kLost, kOwner, kEntry; others have no effect. Entries are read by DoSome, in order.
  void OnEvent(const ClusterEvent& event);
  // About once a second.
  void Tick();
  // Each turn of the loop; waits for the store some milliseconds at most. True: more is left.
  bool DoSome();

  SharedReport Report() const;
  // Why this node may not know all policies of its groups; empty: it does. Else it must not get a
  // group: what the others protect would leave in clear.
  std::string WhyBlind() const;

  // --- StateKeeper ---
  void Keep(const ConstSaPtr& sa) override;
  void Update(const Sa& sa) override;
  void Forget(const Sa& sa) override;
  // --- ChangeJournal ---
  Status Prepare(const ControlEvent& change) override;
  void Note(const ControlEvent& change) override;

 private:
  struct Group {
    bool owned = false;
    uint64_t epoch = 0;
    uint64_t gained_ns = 0;
    uint64_t announced = 0;  // the epoch for which this node said so
    uint64_t complete = 0;   // the epoch whose owner has written everything anew
  };
  struct SaRow {
    GroupId group = 0;
    ConstSaPtr sa;  // nullptr: not installed here
    bool stored = false;
    bool by_us = false;     // this node wrote what was seen last
    bool restored = false;  // of the process before
    EntryPlace seen;
    uint64_t era = 0;
    std::string waiting;  // an entry that is to be installed
    // What the store has, ahead of what was true then.
    EntryPlace usage_seen;
    SharedUsage usage;
    LifetimeUsage lead;
    LifetimeUsage written;
    uint64_t written_ns = 0;
  };
  struct PolicyRow {
    GroupId group = 0;
    PolicyId id;
    bool stored = false;
    bool by_us = false;
    bool installed_here = false;  // because of its entry, so it goes with it
    bool failed = false;          // it could not be installed: tried again
    bool restored = false;        // of the process before, and no client has written it since
    EntryPlace seen;
    std::vector<uint8_t> clear;  // of the entry
  };
  struct Change {
    enum class Of : uint8_t { kSa, kPolicy };
    Of of = Of::kSa;
    std::string name;
    auto operator<=>(const Change&) const = default;
  };
  // Entries of one group that go to the store as one step.
  struct Batch {
    GroupId group = 0;
    std::vector<ClusterEntries::Pair> pairs{};
    std::vector<std::function<void()>> then{};  // once they are stored
  };
  using SaRows = std::map<std::string, SaRow>;
  using PolicyRows = std::map<std::string, PolicyRow>;

  bool is_passive() const { return control_ == nullptr || applying_; }
  bool Owns(GroupId group) const { return group != 0 && groups_.at(group - 1).owned; }
  GroupId GroupOfShared(const SaSpec& spec) const;
  GroupId GroupOfShared(const PolicySpec& spec) const;

  // --- To the store: cluster_sas.cc, cluster_sas_send.cc ---
  void Gain(GroupId group, uint64_t epoch);
  bool GainSome();
  void OnWentBack();
  void Lose(GroupId group, uint64_t epoch);
  Status PreparePolicy(const PolicyView& policy);
  void ChangePolicies(PolicyType type);
  Status AddSa(const std::string& name, SaRow* row, const Sa& sa, Batch* batch);
  Status AddUsage(const std::string& name, SaRow* row, Batch* batch);
  Status AddPolicy(const std::string& name, PolicyRow* row, std::vector<uint8_t> clear,
                   Batch* batch);
  Status Add(const std::string& key, SharedRecord record, uint64_t era, EntryPlace* place,
             Batch* batch);
  Status Commit(Batch* batch);
  Status Settle(const Change& change, Batch* batch);
  Status SettleSa(const std::string& name, Batch* batch);
  Status SettlePolicy(const std::string& name, Batch* batch);
  std::vector<Change> NextChanges() const;
  Status SendSome(uint64_t until_ns);
  Status SendUsage(uint64_t until_ns);
  Status SendComplete();
  Status SendComplete(GroupId group);
  GroupId GroupOf(const Change& change) const;
  bool HasUnsent(GroupId group) const;

  // --- From the store: cluster_sas_take.cc ---
  void Take(const std::string& key, const std::string& value);
  void TakeSa(const std::string& name, const std::string& value);
  void TakeUsage(const std::string& name, const std::string& value);
  void TakePolicy(const std::string& name, const std::string& value);
  void TakeComplete(const std::string& group, const std::string& value);
  bool IsOurs(GroupId group, uint64_t epoch);
  bool IsOfEarlierEra(const Entry& entry) const;
  void TakeOldSa(const std::string& name, const Entry& entry, GroupId group);
  void DropOld(GroupId group, uint64_t epoch);
  void LoseSa(const std::string& name);
  void LosePolicy(const std::string& name);
  std::string Objection(const std::string& name, const Entry& entry, const SaSpec& spec) const;
  Result<ConstSaPtr> Install(RestoredSa from, uint64_t era);
  void Adopt(const Sa& sa, const RestoredSa& from);
  Status InstallPolicy(PolicyRow* row, PolicySpec spec);
  void InstallFailed();
  bool IsRestoredBypass(const PolicyRow& row) const;
  // nullopt: it changes nothing, or was refused.
  std::optional<Entry> Open(const std::string& key, const std::string& value, EntryKind kind,
                            const EntryPlace& seen, bool quiet);
  void Refuse(const std::string& key, const std::string& why);
  void ForgetPlaces();
  void ApplyUsage(const SaRow& row);

  const Params params_;
  ControlPlane* control_ = nullptr;  // nullptr: not started, or stopped
  bool applying_ = false;            // a change comes from the store
  std::vector<Group> groups_;        // by GroupId - 1
  uint64_t serial_ = 0;
  uint64_t era_ = 0;  // at the last Tick
  // Groups that this node got, whose SAs are still to be written anew, from this name on.
  std::deque<std::pair<GroupId, std::string>> gaining_;
  SaRows sas_;  // by name
  PolicyRows policies_;
  std::vector<std::string> prepared_;  // SAs whose client may still be refused
  std::set<Change> unsent_;
  bool held_ = false;  // the store failed: until the next Tick
  std::string error_;
  std::deque<std::pair<std::string, std::string>> taken_;  // entries to read
  std::optional<std::string> usage_next_;                  // SendUsage continues here
  std::map<std::string, std::string> refused_;
  uint64_t refused_count_ = 0;
  bool all_read_ = false;  // all entries that were in the store
};

}  // namespace cygnet
