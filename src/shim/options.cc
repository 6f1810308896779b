// setsockopt() and getsockopt() with the behaviour of a NETLINK_XFRM socket.
#include "shim/options.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "shim/connection.h"
#include "shim/real_calls.h"
#include "shim/socket_policy.h"

namespace cygnet::shim {
namespace {

// From linux/netlink.h, where only the newest kernels define it.
constexpr int kMaxGroup = 32;

bool IsFlagOption(int name) {
  switch (name) {
    case NETLINK_PKTINFO:
    case NETLINK_BROADCAST_ERROR:
    case NETLINK_NO_ENOBUFS:
    case NETLINK_LISTEN_ALL_NSID:
    case NETLINK_CAP_ACK:
    case NETLINK_EXT_ACK:
    case NETLINK_GET_STRICT_CHK:
      return true;
    default:
      return false;
  }
}

int ChangeMembership(XfrmSocket& socket, int fd, int name, int group) {
  if (group < 1 || group > kMaxGroup) {
    return Fail(EINVAL);
  }
  const uint32_t bit = 1U << (group - 1);
  if (name == NETLINK_ADD_MEMBERSHIP) {
    socket.state.groups.fetch_or(bit);
  } else {
    socket.state.groups.fetch_and(~bit);
  }
  Announce(socket, fd);
  return 0;
}

int SetNetlinkOption(XfrmSocket& socket, int fd, int name, const void* value, socklen_t length) {
  int number = 0;  // as in the kernel, a short value counts as 0
  if (length >= sizeof number) {
    if (value == nullptr) {
      return Fail(EFAULT);
    }
    memcpy(&number, value, sizeof number);
  }
  if (name == NETLINK_ADD_MEMBERSHIP || name == NETLINK_DROP_MEMBERSHIP) {
    return ChangeMembership(socket, fd, name, number);
  }
  if (!IsFlagOption(name)) {
    return Fail(ENOPROTOOPT);
  }
  const uint32_t bit = 1U << name;
  if (number != 0) {
    socket.state.options.fetch_or(bit);
  } else {
    socket.state.options.fetch_and(~bit);
  }
  if (name == NETLINK_EXT_ACK || name == NETLINK_CAP_ACK || name == NETLINK_NO_ENOBUFS) {
    AnnounceOptions(socket, fd);
  }
  return 0;
}

// Kept for new connections; a placeholder has its own.
int SetReceiveTimeout(XfrmSocket& socket, int fd, const void* value, socklen_t length) {
  timeval timeout{};
  if (value == nullptr || length < sizeof timeout) {
    return Fail(EINVAL);
  }
  memcpy(&timeout, value, sizeof timeout);
  const Lock lock(socket.mutex);
  if (socket.state.connected.load() &&
      real::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, value, length) != 0) {
    return -1;
  }
  socket.state.receive_timeout_us.store(timeout.tv_sec * 1'000'000 + timeout.tv_usec);
  return 0;
}

// Unlike an ordinary user, a client of the daemon has proven CAP_NET_ADMIN. A connection that was
// kept for this socket often has the size already.
int SetBufferSize(XfrmSocket& socket, int fd, int name, const void* value, socklen_t length) {
  if (value == nullptr || length < sizeof(int)) {
    return Fail(EINVAL);
  }
  const bool is_send = name == SO_SNDBUF || name == SO_SNDBUFFORCE;
  uint32_t bytes = 0;
  memcpy(&bytes, value, sizeof bytes);
  if (is_send) {
    socket.state.send_buffer_bytes.store(static_cast<int>(bytes));
  }
  ToldState& told = socket.state.told;
  std::atomic<uint64_t>& last = is_send ? told.send_size : told.receive_size;
  const uint64_t wanted = uint64_t{static_cast<uint32_t>(name)} << 32 | bytes;
  if (!socket.state.connected.load() || last.load() == wanted) {
    return 0;
  }
  const int unforced = is_send ? SO_SNDBUF : SO_RCVBUF;
  if (real::setsockopt(fd, SOL_SOCKET, name, value, length) != 0 &&
      real::setsockopt(fd, SOL_SOCKET, unforced, value, length) != 0) {
    return -1;
  }
  last.store(wanted);
  return 0;
}

int StoreBytes(const void* bytes, size_t size, void* value, socklen_t* length) {
  if (value == nullptr || length == nullptr) {
    return Fail(EFAULT);
  }
  const size_t stored = std::min(size_t{*length}, size);
  memcpy(value, bytes, stored);
  *length = static_cast<socklen_t>(stored);
  return 0;
}

int StoreInt(int number, void* value, socklen_t* length) {
  return StoreBytes(&number, sizeof number, value, length);
}

int GetNetlinkOption(const XfrmSocket& socket, int name, void* value, socklen_t* length) {
  if (length == nullptr) {
    return Fail(EFAULT);
  }
  if (name == NETLINK_LIST_MEMBERSHIPS) {
    const uint32_t groups = socket.state.groups.load();
    if (*length >= sizeof groups) {
      StoreBytes(&groups, sizeof groups, value, length);
    }
    *length = sizeof groups;
    return 0;
  }
  if (!IsFlagOption(name)) {
    return Fail(ENOPROTOOPT);
  }
  if (*length < sizeof(int)) {
    return Fail(EINVAL);
  }
  return StoreInt((socket.state.options.load() >> name & 1) != 0 ? 1 : 0, value, length);
}

// SO_ERROR must not report errors of the Unix connection, which the client does not know.
int GetError(int fd, void* value, socklen_t* length) {
  int error = 0;
  socklen_t size = sizeof error;
  real::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return StoreInt(0, value, length);
}

// The daemon handles this encapsulation; the kernel answers for all others.
bool AsksForEspInUdp(const void* value, socklen_t length) {
  int type = 0;
  if (value == nullptr || length < sizeof type) return false;
  std::memcpy(&type, value, sizeof type);
  return type == UDP_ENCAP_ESPINUDP;
}

// If the kernel decapsulated ESP-in-UDP, it would look for the SA in its own empty SAD and answer
// with ICMP errors. The daemon receives ESP-in-UDP before the kernel.
int AcceptEspInUdp(int fd) {
  int protocol = 0;
  socklen_t size = sizeof protocol;
  if (real::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0) return -1;
  if (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE) return 0;
  errno = ENOPROTOOPT;
  return -1;
}

}  // namespace

int SetOption(XfrmSocket& socket, int fd, int level, int name, const void* value,
              socklen_t length) {
  const ErrnoKeeper keeper;
  int result = 0;
  const bool is_size = level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_SNDBUFFORCE ||
                                               name == SO_RCVBUF || name == SO_RCVBUFFORCE);
  if (level != SOL_NETLINK && !is_size) {
    socket.state.plain.store(false);
  }
  if (level == SOL_NETLINK) {
    result = SetNetlinkOption(socket, fd, name, value, length);
  } else if (level == SOL_SOCKET && name == SO_RCVTIMEO) {
    result = SetReceiveTimeout(socket, fd, value, length);
  } else if (is_size) {
    result = SetBufferSize(socket, fd, name, value, length);
  } else {
    return real::setsockopt(fd, level, name, value, length);
  }
  if (result == 0) {
    keeper.Restore();
  }
  return result;
}

int GetOption(const XfrmSocket& socket, int fd, int level, int name, void* value,
              socklen_t* length) {
  if (level == SOL_NETLINK) {
    return GetNetlinkOption(socket, name, value, length);
  }
  if (level != SOL_SOCKET) {
    return real::getsockopt(fd, level, name, value, length);
  }
  switch (name) {
    case SO_DOMAIN:
      return StoreInt(AF_NETLINK, value, length);
    case SO_PROTOCOL:
      return StoreInt(NETLINK_XFRM, value, length);
    case SO_TYPE:
      return StoreInt(socket.state.type, value, length);
    case SO_ERROR:
      return GetError(fd, value, length);
    case SO_RCVTIMEO: {
      const int64_t us = socket.state.receive_timeout_us.load();
      const timeval timeout{.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
      return StoreBytes(&timeout, sizeof timeout, value, length);
    }
    default:
      return real::getsockopt(fd, level, name, value, length);
  }
}

int SetOrdinaryOption(int fd, int level, int name, const void* value, socklen_t length) {
  if (level == SOL_UDP && name == UDP_ENCAP && AsksForEspInUdp(value, length)) {
    return AcceptEspInUdp(fd);
  }
  const bool is_policy = (level == SOL_IP && name == IP_XFRM_POLICY) ||
                         (level == SOL_IPV6 && name == IPV6_XFRM_POLICY);
  return is_policy ? SetSocketPolicy(fd, level, name, value, length)
                   : real::setsockopt(fd, level, name, value, length);
}

}  // namespace cygnet::shim
