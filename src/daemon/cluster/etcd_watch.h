// The watch stream of etcd's JSON gateway: lines of JSON, each of which tells changes. The parser
// takes any bytes: it returns messages or an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/cluster/etcd_json.h"

namespace cygnet {

struct EtcdChange {
  bool removed = false;  // then the entry has a key and the revision of the removal
  EtcdEntry entry{};
};

struct EtcdWatchMessage {
  EtcdHeader header{};
  // The watch ended. With a compact_revision, changes before it are lost: all has to be read again.
  bool canceled = false;
  int64_t compact_revision = 0;
  std::string reason{};
  std::vector<EtcdChange> changes{};
};

// A body for POST to /v3/watch: all keys that begin with one of `prefixes`, from `revision` on.
std::string EtcdWatchBody(const std::vector<std::string>& prefixes, int64_t revision);

Result<EtcdWatchMessage> ParseEtcdWatch(std::string_view line);

// Puts lines together from what arrives.
class EtcdWatchLines {
 public:
  // The messages that are complete. After an error the stream is of no use.
  Result<std::vector<EtcdWatchMessage>> Add(std::string_view bytes);

 private:
  std::string rest_;
};

}  // namespace cygnet
