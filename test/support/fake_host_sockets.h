// FakeHostSockets: the sockets of a namespace as a list that the test sets. For tests only.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "control/host_sockets.h"
#include "net/ip_protocol.h"

namespace cygnet::test {

class FakeHostSockets final : public HostSockets {
 public:
  std::optional<std::vector<HostSocket>> List(IpFamily family, uint8_t proto,
                                              uint16_t port) override {
    if (family == silent) return std::nullopt;
    std::vector<HostSocket> found;
    for (const HostSocket& socket : sockets) {
      const SocketEnds& ends = socket.ends;
      if (ends.family == family && ends.proto == proto && (port == 0 || port == ends.local_port) &&
          (port != 0 || socket.cookie != missed)) {
        found.push_back(socket);
      }
    }
    return found;
  }
  int event_fd() const override { return -1; }
  EndedSockets DrainEnded() override { return std::exchange(ended, {}); }

  // A UDP socket over IPv4, bound to every address.
  void Bind(uint64_t cookie, uint16_t port) {
    Unbind(cookie);
    HostSocket socket{.cookie = cookie, .ends = {}};
    socket.ends.local_port = port;
    socket.ends.family = IpFamily::kV4;
    socket.ends.proto = kProtoUdp;
    sockets.push_back(socket);
  }
  void Unbind(uint64_t cookie) {
    std::erase_if(sockets, [&](const HostSocket& s) { return s.cookie == cookie; });
  }
  void End(uint64_t cookie) {
    Unbind(cookie);
    ended.cookies.push_back(cookie);
  }

  std::vector<HostSocket> sockets;
  EndedSockets ended;
  uint64_t missed = 0;             // a long list omits this one
  std::optional<IpFamily> silent;  // no list of this family is returned
};

}  // namespace cygnet::test
