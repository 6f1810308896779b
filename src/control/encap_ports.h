// EncapPorts: the UDP ports of this host at which the data path looks for ESP: the two of IKE, and
// those that SAs use. Control thread.
#pragma once

#include <cstdint>
#include <map>

#include "datapath/data_path.h"

namespace cygnet {

// SAs of unknown direction count as well: for an outbound one it is the peer's port, which is
// harmless.
class EncapPorts {
 public:
  explicit EncapPorts(DataPath* path) : path_(*path) {}

  void Add(uint16_t port);
  // REQUIRES: it was added.
  void Remove(uint16_t port);

 private:
  void Publish();

  DataPath& path_;
  std::map<uint16_t, uint32_t> users_;  // the number of SAs that use each
};

}  // namespace cygnet
