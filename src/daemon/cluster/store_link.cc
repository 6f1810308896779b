#include "daemon/cluster/store_link.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/cluster/boot_clock.h"
#include "daemon/cluster/cluster_keys.h"
#include "daemon/cluster/cluster_store.h"

namespace cygnet {
namespace {

constexpr int64_t kTtlS = 3;
constexpr uint64_t kSecondNs = 1000 * kMsNs;
// Between the end of the lease here and in the store: clocks of both may differ so much in 3 s.
constexpr uint64_t kMarginNs = 500 * kMsNs;
constexpr uint64_t kKeepAliveNs = 500 * kMsNs;
constexpr uint64_t kSyncNs = 300 * kMsNs;
constexpr uint64_t kRetryNs = 300 * kMsNs;
constexpr uint32_t kTimeoutMs = 900;
constexpr uint32_t kWriteTimeoutMs = 600;
constexpr uint32_t kLeaveMs = 300;
constexpr uint64_t kHistory = 100;  // owners of a group that are kept
constexpr const char* kGroups = "group/";
constexpr const char* kNodes = "node/";

}  // namespace

StoreLink::StoreLink(Params params, Ownership* ownership, Tell tell)
    : params_(std::move(params)),
      prefix_(ClusterPrefix(params_.cluster)),
      ownership_(*ownership),
      tell_(std::move(tell)),
      calls_(params_.etcd) {
  if (params_.entries) entries_.emplace(&calls_, prefix_, tell_);
}

void StoreLink::Tick(uint64_t now_ns) {
  now_ns_ = now_ns;
  if (!asking_lease_ && now_ns >= lease_ns_) {
    if (registered_) {
      KeepAlive();
    } else if (!replaced_) {
      Grant();
    }
  }
  if (!syncing_ && (resync_ || now_ns >= sync_ns_)) Sync();
  if (stream_ != 0 && endpoint_ != calls_.endpoint()) CloseWatch();
  if (synced_ && stream_ == 0) OpenWatch();
  if (entries_.has_value() && synced_) entries_->Tick(now_ns);
}

void StoreLink::Leave() {
  ++generation_;
  if (lease_ == 0) return;
  bool done = false;
  calls_.Start("/v3/lease/revoke", EtcdLeaseBody(lease_), kLeaveMs,
               [&done](const Result<std::string>&) { done = true; });
  const uint64_t end_ns = BootNs() + 2 * kLeaveMs * kMsNs;
  while (!done && BootNs() < end_ns) {
    calls_.Work();
    if (!done) calls_.Wait(-1, 10);
  }
}

void StoreLink::Call(const char* path, std::string body, uint32_t timeout_ms, Answer answer) {
  calls_.Start(path, std::move(body), timeout_ms,
               [this, generation = generation_,
                answer = std::move(answer)](const Result<std::string>& result) {
                 if (generation != generation_) return;
                 now_ns_ = BootNs();
                 answer(result);
               });
}

// --- The lease ---

void StoreLink::Grant() {
  asking_lease_ = true;
  const uint64_t asked_ns = BootNs();
  Call("/v3/lease/grant", EtcdLeaseGrantBody(kTtlS, 0), kTimeoutMs,
       [this, asked_ns](const Result<std::string>& body) {
         const auto lease = body ? ParseEtcdLease(*body) : Result<EtcdLeaseAnswer>(body.error());
         NoteAnswer(lease ? nullptr : &lease.error());
         if (lease) {
           PutNode(lease->id, asked_ns, lease->ttl_s);
           return;
         }
         asking_lease_ = false;
         lease_ns_ = now_ns_ + kRetryNs;
       });
}

void StoreLink::PutNode(int64_t lease, uint64_t asked_ns, int64_t ttl_s) {
  const ClusterPeers::Key key{
      .incarnation = params_.incarnation, .address = params_.heartbeat, .groups = params_.groups};
  EtcdTxn txn;
  txn.then.push_back(
      EtcdPut(prefix_ + NodeKey(params_.node), NodeJson(key, CYGNET_VERSION), lease));
  Call("/v3/kv/txn", EtcdTxnBody(txn), kTimeoutMs,
       [this, lease, asked_ns, ttl_s](const Result<std::string>& body) {
         asking_lease_ = false;
         NoteAnswer(body ? nullptr : &body.error());
         if (!body) {
           lease_ns_ = now_ns_ + kRetryNs;
           return;
         }
         lease_ = lease;
         registered_ = true;
         registered_ns_ = now_ns_;
         SetLease(asked_ns, ttl_s);
         Resync();
       });
}

void StoreLink::KeepAlive() {
  asking_lease_ = true;
  const uint64_t asked_ns = BootNs();
  Call("/v3/lease/keepalive", EtcdLeaseBody(lease_), kTimeoutMs,
       [this, asked_ns](const Result<std::string>& body) {
         asking_lease_ = false;
         const auto lease = body ? ParseEtcdLease(*body) : Result<EtcdLeaseAnswer>(body.error());
         NoteAnswer(lease ? nullptr : &lease.error());
         if (!lease) {
           lease_ns_ = now_ns_ + kRetryNs;
         } else if (lease->ttl_s > 0) {
           SetLease(asked_ns, lease->ttl_s);
         } else {
           LoseLease("the store ended this node's lease");
         }
       });
}

void StoreLink::SetLease(uint64_t asked_ns, int64_t ttl_s) {
  if (!registered_) return;
  const auto ttl_ns = static_cast<uint64_t>(std::clamp<int64_t>(ttl_s, 0, kTtlS)) * kSecondNs;
  ownership_.OnLease(asked_ns + ttl_ns - std::min(ttl_ns, kMarginNs));
  lease_ns_ = asked_ns + kKeepAliveNs;
}

void StoreLink::LoseLease(const std::string& why) {
  Log(LogLevel::kWarning, "cluster: " + why);
  lease_ = 0;
  registered_ = false;
  lease_ns_ = now_ns_;
  ownership_.OnLease(0);
}

// --- Owners and nodes ---

void StoreLink::Sync() {
  syncing_ = true;
  resync_ = false;
  const uint64_t asked_ns = BootNs();
  EtcdTxn txn;
  txn.then = {EtcdGetAll(prefix_ + kGroups), EtcdGetAll(prefix_ + kNodes)};
  Call("/v3/kv/txn", EtcdTxnBody(txn), kTimeoutMs,
       [this, asked_ns, known = revision_](const Result<std::string>& body) {
         syncing_ = false;
         const auto answer = body ? ParseEtcdTxn(*body) : Result<EtcdTxnAnswer>(body.error());
         NoteAnswer(answer ? nullptr : &answer.error());
         sync_ns_ = now_ns_ + (answer ? kSyncNs : kRetryNs);
         if (answer && answer->found.size() == 2 && Learn(answer->header, known)) {
           OnSync(*answer, asked_ns);
         }
       });
}

void StoreLink::OnSync(const EtcdTxnAnswer& answer, uint64_t asked_ns) {
  LearnNodes(answer.found[1], asked_ns);
  std::set<std::string> keys;
  for (const EtcdEntry& entry : answer.found[0]) {
    keys.insert(entry.key);
    LearnOwner(entry, answer.header.revision);
  }
  for (GroupId id = 1; id <= params_.groups.size(); ++id) {
    if (keys.contains(prefix_ + OwnerKey(params_.groups[id - 1]))) continue;
    ownership_.OnOwner(id, {}, answer.header.revision, now_ns_);
  }
  ownership_.OnStoreAnswer(now_ns_);
  // Without a key of its own, others do not know this node: it waits for it.
  if (!registered_) return;
  synced_ = true;
  synced_revision_ = answer.header.revision;
  ownership_.OnSynced(asked_ns, now_ns_);
}

void StoreLink::LearnNodes(const std::vector<EtcdEntry>& entries, uint64_t asked_ns) {
  std::set<std::string> there;
  bool own = false;
  bool others = false;  // another process has this node's name
  for (const EtcdEntry& entry : entries) {
    const auto name = NodeOfNodeKey(std::string_view(entry.key).substr(prefix_.size()));
    const auto key = ParseNode(entry.value);
    if (!name.has_value() || !key.has_value()) continue;
    there.insert(*name);
    ownership_.peers().Register(*name, *key, now_ns_);
    if (*name != params_.node) continue;
    own = key->incarnation == params_.incarnation;
    others = !own;
  }
  for (const auto& [name, peer] : ownership_.peers().all()) {
    if (!there.contains(name)) ownership_.peers().Unregister(name, now_ns_);
  }
  // Before this start has written its key, an earlier one may have left its own.
  const bool expected = registered_ && asked_ns > registered_ns_;
  replaced_ = others && (expected || replaced_);
  if (own || !expected) return;
  LoseLease(others ? "another process of this cluster has the name " + params_.node +
                         "; this one waits until it ends"
                   : "the store lost this node's key");
}

void StoreLink::LearnOwner(const EtcdEntry& entry, int64_t at_revision) {
  const auto name = GroupOfOwnerKey(std::string_view(entry.key).substr(prefix_.size()));
  const GroupId id = name.has_value() ? ownership_.Find(*name) : 0;
  if (id == 0) return;
  ParsedOwner parsed = ParseOwner(entry.value);
  parsed.owner.revision = entry.mod_revision;
  ownership_.peers().Introduce(parsed.owner.node, parsed.owner.incarnation, parsed.heartbeat);
  ownership_.OnOwner(id, parsed.owner, at_revision, now_ns_);
}

// --- Writing owners ---

EtcdTxn StoreLink::TxnFor(const Ownership::Step& step, const GroupOwner& owner) const {
  const std::string& group = params_.groups[step.group - 1];
  const std::string key = prefix_ + OwnerKey(group);
  const ClusterPeers::Peer* peer = ownership_.peers().Find(owner.node);
  const std::string heartbeat = owner.node == params_.node ? params_.heartbeat
                                : peer != nullptr          ? peer->address
                                                           : "";
  EtcdTxn txn;
  txn.compares = {{key, step.owner.revision}};
  txn.then = {EtcdPut(key, OwnerJson(owner, heartbeat)),
              EtcdPut(prefix_ + HistoryKey(group, owner.epoch), HistoryJson(owner, 0))};
  if (step.before.epoch != 0 && step.before.epoch != owner.epoch) {
    txn.then.push_back(EtcdPut(prefix_ + HistoryKey(group, step.before.epoch),
                               HistoryJson(step.before, owner.since_unix_ns)));
  }
  if (owner.epoch > kHistory) {
    txn.then.push_back({.kind = EtcdOp::Kind::kDelete,
                        .key = prefix_ + HistoryKey(group, 0),
                        .range_end = prefix_ + HistoryKey(group, owner.epoch - kHistory)});
  }
  txn.otherwise = {EtcdGet(key)};
  return txn;
}

void StoreLink::Write(const Ownership::Step& step) {
  GroupOwner owner = step.owner;
  owner.since_unix_ns = SystemClock().WallMs() * kMsNs;
  Call("/v3/kv/txn", EtcdTxnBody(TxnFor(step, owner)), kWriteTimeoutMs,
       [this, step, owner, known = revision_](const Result<std::string>& body) {
         const auto answer = body ? ParseEtcdTxn(*body) : Result<EtcdTxnAnswer>(body.error());
         if (answer && !Learn(answer->header, known)) return;
         OnWritten(step, owner, answer);
       });
}

void StoreLink::OnWritten(const Ownership::Step& step, const GroupOwner& written,
                          const Result<EtcdTxnAnswer>& answer) {
  if (!answer) {
    ownership_.OnWriteFailed(step.group, answer.error().message, now_ns_);
    return;
  }
  if (answer->succeeded) {
    GroupOwner owner = written;
    owner.revision = answer->header.revision;
    ownership_.OnOwner(step.group, owner, owner.revision, now_ns_);
    return;
  }
  const EtcdEntry found = answer->FoundOne(0);
  if (found.mod_revision == 0) {
    ownership_.OnOwner(step.group, {}, answer->header.revision, now_ns_);
  } else {
    LearnOwner(found, answer->header.revision);
  }
  // Known already, by the watch: then the write is over all the same.
  ownership_.OnWriteFailed(step.group, "another node was faster", now_ns_);
}

// --- The watch ---

void StoreLink::OpenWatch() {
  endpoint_ = calls_.endpoint();
  lines_ = EtcdWatchLines();
  stream_ = calls_.Stream(
      "/v3/watch", EtcdWatchBody({prefix_ + kGroups, prefix_ + kNodes}, synced_revision_ + 1),
      [this](std::string_view bytes) { OnData(bytes); },
      [this](const Result<std::string>&) { CloseWatch(); });
}

void StoreLink::OnData(std::string_view bytes) {
  now_ns_ = BootNs();
  auto messages = lines_.Add(bytes);
  if (!messages) {
    Log(LogLevel::kWarning, "cluster: " + messages.error().message);
    CloseWatch();
    return;
  }
  for (const EtcdWatchMessage& message : *messages) {
    if (message.canceled || message.compact_revision != 0) {
      CloseWatch();
      return;
    }
    for (const EtcdChange& change : message.changes) OnChange(change);
  }
}

void StoreLink::OnChange(const EtcdChange& change) {
  const EtcdEntry& entry = change.entry;
  if (!entry.key.starts_with(prefix_)) return;
  const std::string_view key = std::string_view(entry.key).substr(prefix_.size());
  if (const auto name = NodeOfNodeKey(key)) {
    const auto parsed = change.removed ? std::nullopt : ParseNode(entry.value);
    if (parsed.has_value()) {
      ownership_.peers().Register(*name, *parsed, now_ns_);
    } else {
      ownership_.peers().Unregister(*name, now_ns_);
    }
    return;
  }
  if (!change.removed) {
    LearnOwner(entry, entry.mod_revision);
  } else if (const auto name = GroupOfOwnerKey(key)) {
    const GroupId id = ownership_.Find(*name);
    if (id != 0) ownership_.OnOwner(id, {}, entry.mod_revision, now_ns_);
  }
}

// The next one begins behind what a sync has read.
void StoreLink::CloseWatch() {
  if (stream_ != 0) calls_.Stop(std::exchange(stream_, 0));
  synced_ = false;
  sync_ns_ = now_ns_ + kRetryNs;
}

// --- The store itself ---

bool StoreLink::Learn(const EtcdHeader& header, int64_t known) {
  const bool other = cluster_id_ != 0 && header.cluster_id != cluster_id_;
  if (!other && header.revision >= known) {
    cluster_id_ = header.cluster_id;
    revision_ = std::max(revision_, header.revision);
    return true;
  }
  const std::string why = other ? "another store answers than before"
                                : "the store is at revision " + std::to_string(header.revision) +
                                      ", it had confirmed " + std::to_string(known);
  ++generation_;
  cluster_id_ = 0;
  revision_ = 0;
  lease_ = 0;
  registered_ = asking_lease_ = syncing_ = false;
  CloseWatch();
  lease_ns_ = sync_ns_ = 0;
  ownership_.OnLease(0);
  ownership_.OnWentBack(now_ns_);
  if (entries_.has_value()) entries_->Restart();
  ClusterEvent event;
  event.kind = ClusterEvent::Kind::kWentBack;
  event.text = why;
  tell_(std::move(event));
  return false;
}

// Of the calls that are made all the time, whatever happens.
void StoreLink::NoteAnswer(const Error* error) {
  if ((error != nullptr) == away_) return;
  away_ = error != nullptr;
  ClusterEvent event;
  event.kind = away_ ? ClusterEvent::Kind::kStoreAway : ClusterEvent::Kind::kStoreBack;
  if (error != nullptr) event.text = error->message;
  tell_(std::move(event));
}

}  // namespace cygnet
