// IkeSockets: the sockets that `ike_bypass` is about, as the host's kernel lists them: UDP, port
// 500 or 4500, and owned by root. A port alone says nothing: 4500 is for anybody to bind. A packet
// says nothing either of which socket it is from, so a port that root shares with another user
// (SO_REUSEADDR, or another address of the host) is in the bypass again when root has it alone.
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
  // `sockets` nullptr: the kernel does not tell; then there are none.
  IkeSockets(DataPath* path, HostSockets* sockets) : path_(*path), sockets_(sockets) {}

  // About once a second, and when sockets have ended: hands what there is to the data path. Does
  // nothing while the bypass is off.
  void Refresh();

 private:
  struct Port {
    uint16_t number;
    std::optional<uint32_t> stranger{};  // the user that root shares it with
  };

  void AddOf(Port* port, std::vector<SocketEnds>* ends);
  std::optional<std::vector<HostSocket>> List(uint16_t port) const;
  static void Show(Port* port, std::optional<uint32_t> stranger);

  DataPath& path_;
  HostSockets* const sockets_;
  std::vector<SocketEnds> told_;
  std::array<Port, 2> ports_ = {Port{kPortIke}, Port{kPortIkeNatT}};
};

}  // namespace cygnet
