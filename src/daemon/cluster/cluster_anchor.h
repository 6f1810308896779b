// ClusterAnchor: a file on this node's disk with what the store confirmed last. A store that was
// restored from a backup, wiped, or exchanged is whole and does not show it, but it never got that
// far. Numbers that it gave since are unknown to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/store/kept_file.h"

namespace cygnet {

struct AnchorState {
  uint64_t cluster_id = 0;   // etcd's
  uint64_t era = 0;          // of the names of SAs
  int64_t revision = 0;      // the highest that the store had in any answer
  int64_t own_revision = 0;  // mod_revision of this node's mark, which it alone writes
  bool operator==(const AnchorState&) const = default;
};

// What an answer of the store shows. `own_revision`: nullopt: the answer does not have it.
struct StoreSight {
  uint64_t cluster_id = 0;
  int64_t revision = 0;
  std::optional<int64_t> own_revision{};
};

// Why this cannot be the store that confirmed `before`, for the operator; empty: it can.
std::string WhyItWentBack(const AnchorState& before, const StoreSight& now);

class ClusterAnchor {
 public:
  // kBusy: another process uses the file. kInvalid: it is damaged, or of another cluster or node.
  static Result<ClusterAnchor> Open(const std::string& path, const std::string& cluster,
                                    const std::string& node);

  // What was written last; nullopt: this node has not met the store yet.
  const std::optional<AnchorState>& state() const { return state_; }
  // On the disk when it returns. The two halves of the file take turns, so the one before stays
  // until the new one is whole.
  Status Write(const AnchorState& state);

 private:
  ClusterAnchor() = default;
  Status Read();

  std::string path_;
  uint64_t owner_ = 0;  // checksum of cluster and node
  WriterLock lock_;
  UniqueFd file_;
  uint64_t sequence_ = 0;
  bool must_replace_ = false;
  std::optional<AnchorState> state_;
};

}  // namespace cygnet
