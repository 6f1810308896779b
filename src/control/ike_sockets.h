// IkeSockets: the sockets that `ike_bypass` is about, as the host's kernel lists them: UDP, port
// 500 or 4500, and owned by root. A port alone says nothing: 4500 is for anybody to bind.
#pragma once

#include <vector>

#include "control/host_sockets.h"
#include "datapath/data_path.h"

namespace cygnet {

// Control thread.
class IkeSockets {
 public:
  // `sockets` nullptr: the kernel does not tell; then there are none.
  IkeSockets(DataPath* path, HostSockets* sockets) : path_(*path), sockets_(sockets) {}

  // About once a second, and when sockets have ended: hands what there is to the data path. Does
  // nothing while the bypass is off.
  void Refresh();

 private:
  std::vector<SocketEnds> Find() const;

  DataPath& path_;
  HostSockets* const sockets_;
  std::vector<SocketEnds> told_;
};

}  // namespace cygnet
