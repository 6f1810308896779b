// ClusterStore: the number store of a cluster, in etcd (decision 0026). Keys are below
// /cygnet/v1/CLUSTER/:
//   num/ID/out, num/ID/in   decimal: the last number given, the mark
//   era                     decimal; it rises when the store lost what it had confirmed
//   anchor/NODE             incarnation, in hex. Each change of this node writes it, too, and
//                           compares its revision: so no change gets into an older copy of the
//                           store
//
// Numbers are given by one transaction. It compares the revision of each row, of the era, of this
// node's mark, and of the owner of each group that the rows belong to. So whoever lost a group gets
// no numbers of it, whatever its clock and its heartbeats say. What the transaction did counts once
// the state file has its revision.
//
// Together collects what its steps ask for. They are answered from the rows as they were last seen,
// and run again if a row has changed since: so steps must set all of their results each time. More
// than kRowsPerTxn rows are several transactions. If a later one fails, all of it counts as not
// given; what is stored of it stays a gap, and no mark is lost by it.
//
// A store that does not answer in time is away: all calls fail at once, until Probe has reached it.
//
// Control thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/key_material.h"
#include "control/numbers/number_store.h"
#include "daemon/cluster/cluster_anchor.h"
#include "daemon/cluster/cluster_entries.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/cluster/etcd_client.h"
#include "daemon/cluster/store_session.h"
#include "daemon/config/cluster_config.h"
#include "net/address.h"

namespace cygnet {

// "/cygnet/v1/CLUSTER/"
std::string ClusterPrefix(const std::string& cluster);

class ClusterStore final : public NumberStore, public ClusterEntries {
 public:
  struct Params {
    EtcdParams etcd;
    std::string cluster;
    std::string node;
    Incarnation incarnation = 0;
    std::string state_file;
    std::vector<ClusterGroupConfig> groups{};
    uint32_t timeout_ms = 1000;       // of a call that gives numbers
    uint32_t probe_timeout_ms = 900;  // of a probe, for which nobody waits
    uint32_t probe_each_ms = 1000;
    // Called at least each 10 ms while a call waits for the store: the loop is alive.
    std::function<void()> while_waiting{};
  };
  // `secret`: what secret_file has, kNumberSecretBytes or more. Asks the store once; if it is away,
  // that is not an error. kBusy, kInvalid, kIo: of the state file.
  static Result<std::unique_ptr<ClusterStore>> Open(const Params& params, const KeyMaterial& secret,
                                                    const Clock* clock);

  // --- Groups ---
  // This start owns `group`, and the owner's key has this mod_revision (ClusterEvent::kGained).
  void SetOwned(GroupId group, int64_t owner_revision);
  // Calls for its SAs fail without the network: kPermission.
  void SetNotOwned(GroupId group);
  // False after SetNotOwned, and after the store said that another node owns it.
  bool Owns(GroupId group) const;
  // The group that has one of the addresses at this end; 0: none. Outbound SAs have it as their
  // source, inbound ones as their destination; without a direction either will do.
  GroupId GroupOf(const SaSpec& spec) const;

  // --- From time to time ---
  // Each turn of the loop. Each second it asks the store, without waiting: whether it answers,
  // takes changes, and still has what it confirmed.
  void Probe();
  bool is_away() const { return session_.is_away(); }
  // Of the names that Identify gives; 0: the store was never reached.
  uint64_t era() const override { return session_.era(); }
  // Since the last call: the store lost what it had confirmed, or another node found so. The text
  // says why. From now on SAs that were there before get no numbers (kNoEntry): ask key management
  // for new ones.
  std::optional<std::string> TakeWentBack() { return session_.TakeWentBack(); }

  // --- NumberStore ---
  // A group that this node does not own: kPermission. Of an SA of an older era: kNoEntry. The store
  // is away: kNetworkDown.
  Result<NumberIdentity> Identify(const SaSpec& spec) override;
  void Retain(const NumberIdentity& identity) override;
  void Release(const NumberIdentity& identity) override;
  Result<NumberBlock> Outbound(const NumberId& id, uint64_t after, uint64_t count) override;
  Result<InboundMark> Inbound(const NumberId& id, uint64_t from, uint64_t up_to) override;
  // Without effect, and without an error, if another node owns the group now.
  Status ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) override;
  Status LowerInbound(const NumberId& id, uint64_t mark, uint64_t last) override;
  Status Together(const std::function<Status()>& steps) override;
  std::string fault() const override;

  // --- Entries: SAs, policies, history ---
  // Group 0: whoever owns what.
  Status Put(const std::string& key, const std::string& value, GroupId group) override;
  Status Delete(const std::string& key, GroupId group) override;
  Status PutAll(const std::vector<Pair>& pairs, GroupId group) override;

 private:
  // A counter of an SA, as it was last seen.
  struct Row {
    std::string key;
    uint64_t era = 0;
    GroupId group = 0;
    uint32_t retained = 0;
    bool is_known = false;
    int64_t revision = 0;  // 0: the store does not have it
    uint64_t value = 0;
    // The value before changes that are stored, but that no caller got: the revision is of them.
    std::optional<uint64_t> unclaimed{};
    // What the steps of Together want.
    bool is_touched = false;
    std::optional<uint64_t> wanted{};
  };
  using Rows = std::unordered_map<std::string, Row>;  // by the key without the prefix

  ClusterStore(const Params& params, const KeyMaterial& secret, ClusterAnchor anchor,
               const Clock* clock);
  Result<Row*> Touch(const NumberId& id, const char* kind);
  void Note(const std::string& name, GroupId group);
  void ForgetOld();
  Status Retry(const std::function<Status()>& steps);
  Result<bool> Commit();
  Result<bool> CommitSome(std::size_t first, std::size_t end);
  Result<bool> FetchUnknown();
  void Reread(Row* row, const std::vector<EtcdEntry>& found);
  void Untouch();
  Status Change(std::vector<EtcdOp> steps, GroupId group);
  Status LowerIfLast(const NumberId& id, const char* kind, uint64_t value, uint64_t last);

  const std::string prefix_;
  KeyMaterial secret_;
  KeyMaterial era_secret_;
  uint64_t era_ = 0;                                   // of era_secret_
  std::vector<std::vector<ParsedAddress>> addresses_;  // by GroupId - 1
  StoreSession session_;
  Rows rows_;
  std::deque<std::string> released_;  // the oldest first
  std::vector<Row*> touched_;
  int depth_ = 0;
};

}  // namespace cygnet
