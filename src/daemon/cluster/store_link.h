// StoreLink: this node's calls to the store, in its cluster thread. It keeps the lease and the
// node's key, reads owners and nodes each 300 ms, learns of changes by a watch stream, and writes
// the owners that Ownership decides on. What it learns goes to Ownership.
//
// The lease counts from before the request was sent, by CLOCK_BOOTTIME, less a margin.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/cluster/cluster_types.h"
#include "daemon/cluster/entry_watch.h"
#include "daemon/cluster/etcd_calls.h"
#include "daemon/cluster/ownership.h"

namespace cygnet {

class StoreLink {
 public:
  struct Params {
    EtcdParams etcd;
    std::string cluster;
    std::string node;
    Incarnation incarnation = 0;
    std::string heartbeat;            // of this node
    std::vector<std::string> groups;  // names, by GroupId - 1
    bool entries = false;             // tell SAs and policies, too
  };
  using Tell = std::function<void(ClusterEvent)>;

  StoreLink(Params params, Ownership* ownership, Tell tell);

  // Starts what is due.
  void Tick(uint64_t now_ns);
  void Wait(int fd, int timeout_ms) { calls_.Wait(fd, timeout_ms); }
  // Takes answers. Call Tick before.
  void Work() { calls_.Work(); }
  void Wake() { calls_.Wake(); }  // any thread

  void Write(const Ownership::Step& step);
  void Resync() { resync_ = true; }
  // Gives the lease back, waiting a short time: this node ends. Nothing may be called after it.
  void Leave();

  bool is_synced() const { return synced_; }
  // Of this host, towards the store. Empty: unknown.
  const std::string& local_address() const { return calls_.local_address(); }

 private:
  using Answer = std::function<void(const Result<std::string>&)>;

  void Call(const char* path, std::string body, uint32_t timeout_ms, Answer answer);
  void Grant();
  void PutNode(int64_t lease, uint64_t asked_ns, int64_t ttl_s);
  void KeepAlive();
  void LoseLease(const std::string& why);
  void Sync();
  void OnSync(const EtcdTxnAnswer& answer, uint64_t asked_ns);
  void LearnNodes(const std::vector<EtcdEntry>& entries, uint64_t asked_ns);
  void LearnOwner(const EtcdEntry& entry, int64_t at_revision);
  void OnWritten(const Ownership::Step& step, const GroupOwner& written,
                 const Result<EtcdTxnAnswer>& answer);
  EtcdTxn TxnFor(const Ownership::Step& step, const GroupOwner& owner) const;
  void OpenWatch();
  void OnData(std::string_view bytes);
  void OnChange(const EtcdChange& change);
  void CloseWatch();
  // False: the store went back; everything begins anew. `known`: its revision when it was asked.
  bool Learn(const EtcdHeader& header, int64_t known);
  void NoteAnswer(const Error* error);
  void SetLease(uint64_t asked_ns, int64_t ttl_s);

  const Params params_;
  const std::string prefix_;
  Ownership& ownership_;
  const Tell tell_;
  EtcdCalls calls_;
  std::optional<EntryWatch> entries_;
  uint64_t now_ns_ = 0;
  uint64_t generation_ = 0;  // answers of an earlier one are skipped
  // The store, as it was last seen.
  uint64_t cluster_id_ = 0;
  int64_t revision_ = 0;
  bool away_ = false;
  bool synced_ = false;
  // The lease.
  int64_t lease_ = 0;
  bool registered_ = false;
  bool asking_lease_ = false;  // a grant or a keepalive is under way
  bool replaced_ = false;      // another process has this node's name
  uint64_t lease_ns_ = 0;      // when the next request is due
  uint64_t registered_ns_ = 0;
  // Owners and nodes.
  bool syncing_ = false;
  bool resync_ = false;
  uint64_t sync_ns_ = 0;
  int64_t synced_revision_ = 0;
  uint64_t stream_ = 0;
  std::string endpoint_;  // of the stream
  EtcdWatchLines lines_;
};

}  // namespace cygnet
