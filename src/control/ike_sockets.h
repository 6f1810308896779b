// IkeSockets: the sockets that `ike_bypass` applies to, as the kernel lists them: UDP, port 500 or
// 4500, owned by root. The port alone proves nothing, because anybody may bind 4500. A packet does
// not show which socket sent it, so a port that root shares with another user (SO_REUSEADDR, or
// another address of the host) has no bypass until root owns it alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "control/host_sockets.h"
#include "datapath/data_path.h"
#include "net/ip_protocol.h"

namespace cygnet {

// Control thread.
class IkeSockets {
 public:
  // `sockets` nullptr: the kernel does not report sockets, so none has the bypass.
  IkeSockets(DataPath* path, HostSockets* sockets) : path_(*path), sockets_(sockets) {}

  // About once a second, and when sockets have ended: hands the current sockets to the data path.
  // Does nothing while the bypass is off.
  void Refresh();

 private:
  struct Port {
    uint16_t number;
    std::optional<uint32_t> stranger{};  // the user that shares the port with root
  };

  void AddOf(Port* port, std::vector<SocketEnds>* ends);
  static void Show(Port* port, std::optional<uint32_t> stranger);

  DataPath& path_;
  HostSockets* const sockets_;
  std::vector<SocketEnds> told_;
  std::array<Port, 2> ports_ = {Port{kPortIke}, Port{kPortIkeNatT}};
};

}  // namespace cygnet
