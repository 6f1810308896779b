#include "control/ike_sockets.h"

#include <utility>

#include "net/ip_protocol.h"

namespace cygnet {

void IkeSockets::Refresh() {
  std::vector<SocketEnds> found;
  if (path_.ike_bypass && sockets_ != nullptr) found = Find();
  if (found == told_) return;
  told_ = found;
  path_.SetIkeSockets(std::move(found));
  path_.BumpGeneration();
}

std::vector<SocketEnds> IkeSockets::Find() const {
  std::vector<SocketEnds> ends;
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    for (const uint16_t port : {kPortIke, kPortIkeNatT}) {
      const auto listed = sockets_->List(family, kProtoUdp, port);
      if (!listed) continue;  // closed where the kernel does not say
      for (const HostSocket& socket : *listed) {
        if (socket.uid == 0) ends.push_back(socket.ends);
      }
    }
  }
  return ends;
}

}  // namespace cygnet
