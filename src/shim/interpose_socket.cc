// The interposed socket calls other than data transfer, including socket().
#include <linux/netlink.h>
#include <linux/sockios.h>

#include <cstdarg>

#include "shim/connection.h"
#include "shim/interpose.h"
#include "shim/options.h"
#include "shim/route_socket.h"
#include "shim/socket_policy.h"
#include "shim/statistics.h"
#include "shim/transfer.h"

using namespace cygnet::shim;

CYGNET_EXPORT int socket(int domain, int type, int protocol) noexcept {
  if (domain == AF_NETLINK && protocol == NETLINK_XFRM) {
    const int kind = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
    return kind == SOCK_RAW || kind == SOCK_DGRAM ? OpenXfrmSocket(type) : Fail(ESOCKTNOSUPPORT);
  }
  if (domain == AF_NETLINK && protocol == NETLINK_GENERIC && IsEthtool()) {
    return Fail(EPROTONOSUPPORT);
  }
  const int fd = real::socket(domain, type, protocol);
  if (IsShimmed(fd)) {
    ForgetFd(fd);  // ours was closed in a way that the shim does not see
  }
  NoteRoute(fd, domain == AF_NETLINK && protocol == NETLINK_ROUTE ? Route::kYes : Route::kNo);
  return fd;
}

CYGNET_EXPORT int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  const Pin pin(fd);
  return pin ? Bind(pin.socket(), fd, address, length) : BindOrdinary(fd, address, length);
}

CYGNET_EXPORT int connect(int fd, const sockaddr* address, socklen_t length) {
  const Pin pin(fd);
  return pin ? Connect(pin.socket(), fd, address, length) : ConnectOrdinary(fd, address, length);
}

CYGNET_EXPORT int getsockname(int fd, sockaddr* address, socklen_t* length) noexcept {
  const Pin pin(fd);
  return pin ? OwnAddress(pin.socket(), address, length) : real::getsockname(fd, address, length);
}

CYGNET_EXPORT int getpeername(int fd, sockaddr* address, socklen_t* length) noexcept {
  const Pin pin(fd);
  return pin ? PeerAddress(pin.socket(), address, length) : real::getpeername(fd, address, length);
}

CYGNET_EXPORT int setsockopt(int fd, int level, int name, const void* value,
                             socklen_t length) noexcept {
  const Pin pin(fd);
  return pin ? SetOption(pin.socket(), fd, level, name, value, length)
             : SetOrdinaryOption(fd, level, name, value, length);
}

CYGNET_EXPORT int getsockopt(int fd, int level, int name, void* value, socklen_t* length) noexcept {
  const Pin pin(fd);
  return pin ? GetOption(pin.socket(), fd, level, name, value, length)
             : real::getsockopt(fd, level, name, value, length);
}

CYGNET_EXPORT int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  // On any socket: charon and pluto use a NETLINK_XFRM socket, ethtool a UDP socket.
  const bool is_ethtool = request == SIOCETHTOOL && argument != nullptr;
  int result = 0;
  if (is_ethtool && AnswerStatistics(fd, argument, &result)) {
    return result;
  }
  result = real::ioctl(fd, request, argument);
  if (result == 0 && is_ethtool) {
    ShowOffloadFeatures(fd, argument);
  }
  return result;
}
