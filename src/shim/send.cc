// Sends a request in lock-step: on return the daemon has executed the request and queued the
// replies, as the kernel does. A request that a dying daemon did not read is sent again.
#include <linux/netlink.h>

#include "shim/connection.h"
#include "shim/datagram.h"
#include "shim/real_calls.h"
#include "shim/transfer.h"

namespace cygnet::shim {
namespace {

// The checks of netlink_sendmsg(), in its order. Returns 0 or an errno value.
int CheckRequest(const XfrmSocket& socket, const msghdr& message, int flags) {
  if ((flags & MSG_OOB) != 0) {
    return EOPNOTSUPP;
  }
  // The daemon would also take an empty datagram for the end of the connection.
  if (Capacity(message) == 0) {
    return ENODATA;
  }
  uint32_t port_id = socket.state.peer_port_id.load();
  if (message.msg_name != nullptr && message.msg_namelen != 0) {
    sockaddr_nl to{};
    if (message.msg_namelen < sizeof to) {
      return EINVAL;
    }
    memcpy(&to, message.msg_name, sizeof to);
    if (to.nl_family != AF_NETLINK) {
      return EINVAL;
    }
    port_id = to.nl_pid;
  }
  return port_id == 0 ? 0 : ECONNREFUSED;  // no other process listens on NETLINK_XFRM
}

bool IsDumpRequest(const msghdr& message) {
  nlmsghdr header{};
  if (Capacity(message) < sizeof header) {
    return false;
  }
  CopyOut(message, 0, &header, sizeof header);
  return (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
}

bool IsLostConnection(int error) {
  return error == EPIPE || error == ECONNRESET || error == ECONNREFUSED || error == ENOTCONN ||
         error == EDESTADDRREQ;
}

enum class Outcome { kDone, kFailed, kLost };

Outcome SendOnce(XfrmSocket& socket, int fd, const msghdr& message, int flags, ssize_t& result) {
  const uint32_t generation = socket.state.generation.load();
  if (!socket.state.connected.load() && !Recover(socket, generation, Loss::kIdle, Caller::kSend)) {
    return Outcome::kLost;
  }
  const uint32_t used = socket.state.generation.load();
  EnsureBound(socket, fd);
  result = real::sendmsg(fd, &message, (flags & MSG_DONTWAIT) | MSG_NOSIGNAL);
  if (result < 0 && !IsLostConnection(errno)) {
    return Outcome::kFailed;
  }
  const bool consumed = result >= 0 && WaitConsumed(fd);
  // Another thread may have seen the end first and recorded the fate of our request.
  if (consumed && socket.state.reset_generation.load() != used) {
    return Outcome::kDone;
  }
  Recover(socket, used, Loss::kReset, Caller::kSend);
  return Outcome::kLost;
}

}  // namespace

ssize_t Send(XfrmSocket& socket, int fd, const msghdr& message, int flags) {
  const ErrnoKeeper keeper;
  if (const int error = CheckRequest(socket, message, flags); error != 0) {
    return Fail(error);
  }
  msghdr bare = message;  // no address, no credentials: the connection has both
  bare.msg_name = nullptr;
  bare.msg_namelen = 0;
  bare.msg_control = nullptr;
  bare.msg_controllen = 0;
  socket.state.dump_open.store(false);  // a new request discards unread replies of the last one
  constexpr int kTries = 2;
  for (int i = 0; i < kTries; ++i) {
    ssize_t result = -1;
    switch (SendOnce(socket, fd, bare, flags, result)) {
      case Outcome::kDone:
        if (IsDumpRequest(message)) {
          socket.state.dump_open.store(true);
        }
        keeper.Restore();
        return result;
      case Outcome::kFailed:
        return -1;
      case Outcome::kLost:
        break;
    }
  }
  return Fail(ECONNREFUSED);
}

}  // namespace cygnet::shim
