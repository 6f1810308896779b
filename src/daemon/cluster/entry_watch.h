// EntryWatch: tells each SA and policy in the store, and each change of them. It begins with all
// that are there, and goes on by a watch stream from that revision.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "daemon/cluster/cluster_types.h"
#include "daemon/cluster/etcd_calls.h"
#include "daemon/cluster/etcd_watch.h"

namespace cygnet {

class EntryWatch {
 public:
  using Tell = std::function<void(ClusterEvent)>;
  EntryWatch(EtcdCalls* calls, std::string prefix, Tell tell);

  void Tick(uint64_t now_ns);
  // Everything is read again: this is another store, or one that went back.
  void Restart();

 private:
  void Load(const std::string& from);
  void OnPage(const Result<std::string>& body);
  void EndLoad();
  void Open();
  void OnData(std::string_view bytes);
  void Change(const EtcdChange& change);
  void Close(bool reload);

  EtcdCalls& calls_;
  const std::string prefix_;
  const Tell tell_;
  std::unordered_map<std::string, int64_t> known_;  // revision of each key that was told
  std::unordered_set<std::string> seen_;            // of this reading
  uint64_t generation_ = 0;                         // answers of an earlier one are skipped
  bool loading_ = false;
  bool loaded_ = false;
  int64_t next_revision_ = 0;
  uint64_t stream_ = 0;
  std::string endpoint_;  // of the stream
  EtcdWatchLines lines_;
  uint64_t now_ns_ = 0;
  uint64_t retry_ns_ = 0;
};

}  // namespace cygnet
