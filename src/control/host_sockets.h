// HostSockets: the addresses of the sockets of this network namespace, and which of them have
// ended, as the kernel reports them (NETLINK_SOCK_DIAG). Clients are not asked: another process may
// share, inherit or close a socket, and its port may go to another socket.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "policy/socket_policies.h"

struct mnl_socket;

namespace cygnet {

struct HostSocket {
  uint64_t cookie = 0;
  SocketEnds ends;
  uint32_t uid = ~uint32_t{0};  // of the owner, in this user namespace
};

struct EndedSockets {
  std::vector<uint64_t> cookies;
  bool lost = false;  // more have ended than are named
};

// Control thread. An interface, so that its users can be tested without sockets.
class HostSockets {
 public:
  virtual ~HostSockets() = default;
  // The sockets of one family and protocol that have a port. `port` selects one port; 0 = any.
  // nullopt: the kernel does not report them.
  virtual std::optional<std::vector<HostSocket>> List(IpFamily family, uint8_t proto,
                                                      uint16_t port) = 0;
  // The same of both families. nullopt: a part is missing, so other owners of a port are unknown.
  std::optional<std::vector<HostSocket>> ListBoth(uint8_t proto, uint16_t port);
  // Readable when sockets have ended. DrainEnded names them, including those without a port.
  virtual int event_fd() const = 0;
  virtual EndedSockets DrainEnded() = 0;
};

class KernelSockets final : public HostSockets {
 public:
  // kNotSupported: this kernel does not report UDP sockets.
  static Result<std::unique_ptr<KernelSockets>> Create();
  ~KernelSockets() override;

  std::optional<std::vector<HostSocket>> List(IpFamily family, uint8_t proto,
                                              uint16_t port) override;
  int event_fd() const override;
  EndedSockets DrainEnded() override;

 private:
  KernelSockets() = default;

  struct Closer {
    void operator()(mnl_socket* s) const;
  };
  std::unique_ptr<mnl_socket, Closer> requests_;
  std::unique_ptr<mnl_socket, Closer> events_;
  uint32_t sequence_ = 1;
};

}  // namespace cygnet
