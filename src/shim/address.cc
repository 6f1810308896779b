// Addresses of a netlink socket, with the checks of net/netlink/af_netlink.c in the same order.
#include <linux/netlink.h>

#include <algorithm>
#include <cstring>

#include "shim/connection.h"
#include "shim/real_calls.h"
#include "shim/transfer.h"

namespace cygnet::shim {
namespace {

// Returns 0 or an errno value.
int ReadAddress(const sockaddr* address, socklen_t length, sockaddr_nl& out) {
  if (address == nullptr) {
    return length == 0 ? EINVAL : EFAULT;
  }
  if (length < sizeof out) {
    return EINVAL;
  }
  memcpy(&out, address, sizeof out);
  return out.nl_family == AF_NETLINK ? 0 : EINVAL;
}

}  // namespace

void StoreAddress(uint32_t port_id, uint32_t groups, void* address, socklen_t* length) {
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  own.nl_pid = port_id;
  own.nl_groups = groups;
  memcpy(address, &own, std::min(size_t{*length}, sizeof own));
  *length = sizeof own;
}

int Bind(XfrmSocket& socket, int fd, const sockaddr* address, socklen_t length) {
  const ErrnoKeeper keeper;
  sockaddr_nl wanted{};
  if (const int error = ReadAddress(address, length, wanted); error != 0) {
    return Fail(error);
  }
  const uint32_t bound = socket.state.port_id.load();
  if (bound != 0 && wanted.nl_pid != bound) {
    return Fail(EINVAL);
  }
  if (const int error = ClaimPortId(socket, wanted.nl_pid); error != 0) {
    return Fail(error);
  }
  // A second bind() without groups has no effect, unless there are groups to leave.
  socket.state.groups.store(wanted.nl_groups);
  Announce(socket, fd);
  keeper.Restore();
  return 0;
}

int Connect(XfrmSocket& socket, int fd, const sockaddr* address, socklen_t length) {
  const ErrnoKeeper keeper;
  if (address != nullptr && length >= sizeof(sa_family_t) && address->sa_family == AF_UNSPEC) {
    socket.state.peer_port_id.store(0);
    socket.state.peer_groups.store(0);
    return 0;
  }
  sockaddr_nl peer{};
  if (const int error = ReadAddress(address, length, peer); error != 0) {
    return Fail(error);
  }
  EnsureBound(socket, fd);
  socket.state.peer_port_id.store(peer.nl_pid);
  socket.state.peer_groups.store(peer.nl_groups);
  keeper.Restore();
  return 0;
}

int OwnAddress(const XfrmSocket& socket, sockaddr* address, socklen_t* length) {
  if (address == nullptr || length == nullptr) {
    return Fail(EFAULT);
  }
  StoreAddress(socket.state.port_id.load(), socket.state.groups.load(), address, length);
  return 0;
}

int PeerAddress(const XfrmSocket& socket, sockaddr* address, socklen_t* length) {
  if (address == nullptr || length == nullptr) {
    return Fail(EFAULT);
  }
  StoreAddress(socket.state.peer_port_id.load(), socket.state.peer_groups.load(), address, length);
  return 0;
}

}  // namespace cygnet::shim
