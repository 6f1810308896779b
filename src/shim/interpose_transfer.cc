// The interposed calls that transfer data. Each calls Send or Receive for one of our descriptors,
// else libc.
#include "shim/connection.h"
#include "shim/interpose.h"
#include "shim/route_socket.h"
#include "shim/socket_policy.h"
#include "shim/transfer.h"

// NOLINTBEGIN(bugprone-reserved-identifier): names of libc
extern "C" [[noreturn]] void __chk_fail();
// NOLINTEND(bugprone-reserved-identifier)

namespace cygnet::shim {
namespace {

ssize_t SendBuffer(const Pin& pin, int fd, const void* bytes, size_t size, int flags) {
  iovec buffer{.iov_base = const_cast<void*>(bytes), .iov_len = size};
  msghdr message{};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  return Send(pin.socket(), fd, message, flags);
}

ssize_t ReceiveBuffer(const Pin& pin, int fd, void* bytes, size_t size, int flags,
                      sockaddr* from = nullptr, socklen_t* from_length = nullptr) {
  if (from != nullptr && from_length == nullptr) {
    return Fail(EFAULT);
  }
  iovec buffer{.iov_base = bytes, .iov_len = size};
  msghdr message{};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  message.msg_name = from;
  message.msg_namelen = from != nullptr ? *from_length : 0;
  const ssize_t result = Receive(pin.socket(), fd, message, flags);
  if (result >= 0 && from != nullptr) {
    *from_length = message.msg_namelen;
  }
  return result;
}

// Both return the result of the multi-message call: the count if it is not 0, else the error.
int SendMany(const Pin& pin, int fd, mmsghdr* messages, unsigned count, int flags) {
  unsigned done = 0;
  for (; done < count; ++done) {
    const ssize_t sent = Send(pin.socket(), fd, messages[done].msg_hdr, flags);
    if (sent < 0) {
      break;
    }
    messages[done].msg_len = static_cast<unsigned>(sent);
  }
  return done > 0 || count == 0 ? static_cast<int>(done) : -1;
}

int ReceiveMany(const Pin& pin, int fd, mmsghdr* messages, unsigned count, int flags,
                const timespec* timeout) {
  const int64_t deadline_ns =
      timeout == nullptr
          ? 0
          : MonotonicNs() + int64_t{timeout->tv_sec} * 1'000'000'000 + timeout->tv_nsec;
  unsigned done = 0;
  while (done < count) {
    const int per_call = flags & ~MSG_WAITFORONE;
    const int wait = (flags & MSG_WAITFORONE) != 0 && done > 0 ? MSG_DONTWAIT : 0;
    const ssize_t received = Receive(pin.socket(), fd, messages[done].msg_hdr, per_call | wait);
    if (received < 0) {
      break;
    }
    messages[done++].msg_len = static_cast<unsigned>(received);
    // As in the kernel, the timeout is checked only between datagrams.
    if (deadline_ns != 0 && MonotonicNs() >= deadline_ns) {
      break;
    }
  }
  return done > 0 || count == 0 ? static_cast<int>(done) : -1;
}

// --- Descriptors that are not ours ---

// For a NETLINK_ROUTE socket. False: the real call is to send it all.
bool SendOrdinary(int fd, const iovec* buffers, size_t count, int flags, ssize_t* result,
                  const sockaddr* to = nullptr, socklen_t to_length = 0) {
  BeforeSend(fd);
  if (!MayBeRoute(fd)) {
    return false;
  }
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(to);
  message.msg_namelen = to_length;
  message.msg_iov = const_cast<iovec*>(buffers);
  message.msg_iovlen = count;
  return SendRoute(fd, message, flags, result);
}

bool SendOrdinary(int fd, const void* bytes, size_t size, int flags, ssize_t* result,
                  const sockaddr* to = nullptr, socklen_t to_length = 0) {
  const iovec buffer{.iov_base = const_cast<void*>(bytes), .iov_len = size};
  return SendOrdinary(fd, &buffer, 1, flags, result, to, to_length);
}

int SendManyOrdinary(int fd, mmsghdr* messages, unsigned count, int flags) {
  unsigned done = 0;
  for (; done < count; ++done) {
    ssize_t sent = 0;
    if (!SendRoute(fd, messages[done].msg_hdr, flags, &sent)) {
      sent = real::sendmsg(fd, &messages[done].msg_hdr, flags);
    }
    if (sent < 0) {
      break;
    }
    messages[done].msg_len = static_cast<unsigned>(sent);
  }
  return done > 0 || count == 0 ? static_cast<int>(done) : -1;
}

// SCM_RIGHTS may pass any descriptor on.
void NotePassing(const msghdr* message) {
  if (message != nullptr && message->msg_controllen != 0) {
    NoteFork();
  }
}

// What was received, as the program is to see it.
ssize_t Shown(int fd, const iovec* buffers, size_t count, ssize_t result) {
  if (result > 0 && MayBeRoute(fd)) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(buffers);
    message.msg_iovlen = count;
    ShowReceived(fd, message, result);
  }
  return result;
}

ssize_t Shown(int fd, void* bytes, size_t size, ssize_t result) {
  const iovec buffer{.iov_base = bytes, .iov_len = size};
  return Shown(fd, &buffer, 1, result);
}

}  // namespace
}  // namespace cygnet::shim

using namespace cygnet::shim;

CYGNET_EXPORT ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  const Pin pin(fd);
  if (pin) {
    return SendBuffer(pin, fd, bytes, size, flags);
  }
  ssize_t result = 0;
  return SendOrdinary(fd, bytes, size, flags, &result) ? result
                                                       : real::send(fd, bytes, size, flags);
}

CYGNET_EXPORT ssize_t sendto(int fd, const void* bytes, size_t size, int flags, const sockaddr* to,
                             socklen_t to_length) {
  const Pin pin(fd);
  if (!pin) {
    ssize_t result = 0;
    return SendOrdinary(fd, bytes, size, flags, &result, to, to_length)
               ? result
               : real::sendto(fd, bytes, size, flags, to, to_length);
  }
  iovec buffer{.iov_base = const_cast<void*>(bytes), .iov_len = size};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(to);
  message.msg_namelen = to_length;
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  return Send(pin.socket(), fd, message, flags);
}

CYGNET_EXPORT ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  NotePassing(message);
  const Pin pin(fd);
  if (pin) {
    return Send(pin.socket(), fd, *message, flags);
  }
  BeforeSend(fd);
  ssize_t result = 0;
  return MayBeRoute(fd) && message != nullptr && SendRoute(fd, *message, flags, &result)
             ? result
             : real::sendmsg(fd, message, flags);
}

CYGNET_EXPORT int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  const Pin pin(fd);
  if (pin) {
    return SendMany(pin, fd, messages, count, flags);
  }
  for (unsigned i = 0; messages != nullptr && i < count; ++i) {
    NotePassing(&messages[i].msg_hdr);
  }
  BeforeSend(fd);
  return MayBeRoute(fd) && messages != nullptr ? SendManyOrdinary(fd, messages, count, flags)
                                               : real::sendmmsg(fd, messages, count, flags);
}

CYGNET_EXPORT ssize_t write(int fd, const void* bytes, size_t size) {
  const Pin pin(fd);
  if (pin) {
    return SendBuffer(pin, fd, bytes, size, 0);
  }
  ssize_t result = 0;
  return SendOrdinary(fd, bytes, size, 0, &result) ? result : real::write(fd, bytes, size);
}

CYGNET_EXPORT ssize_t writev(int fd, const iovec* buffers, int count) {
  const Pin pin(fd);
  if (!pin) {
    ssize_t result = 0;
    return count > 0 && SendOrdinary(fd, buffers, static_cast<size_t>(count), 0, &result)
               ? result
               : real::writev(fd, buffers, count);
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(buffers);
  message.msg_iovlen = static_cast<size_t>(count < 0 ? 0 : count);
  return Send(pin.socket(), fd, message, 0);
}

CYGNET_EXPORT ssize_t recv(int fd, void* bytes, size_t size, int flags) {
  const Pin pin(fd);
  return pin ? ReceiveBuffer(pin, fd, bytes, size, flags)
             : Shown(fd, bytes, size, real::recv(fd, bytes, size, flags));
}

CYGNET_EXPORT ssize_t recvfrom(int fd, void* bytes, size_t size, int flags, sockaddr* from,
                               socklen_t* from_length) {
  const Pin pin(fd);
  return pin ? ReceiveBuffer(pin, fd, bytes, size, flags, from, from_length)
             : Shown(fd, bytes, size, real::recvfrom(fd, bytes, size, flags, from, from_length));
}

CYGNET_EXPORT ssize_t recvmsg(int fd, msghdr* message, int flags) {
  const Pin pin(fd);
  if (pin) {
    return Receive(pin.socket(), fd, *message, flags);
  }
  const ssize_t result = real::recvmsg(fd, message, flags);
  return result > 0 ? Shown(fd, message->msg_iov, message->msg_iovlen, result) : result;
}

CYGNET_EXPORT int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags,
                           timespec* timeout) {
  const Pin pin(fd);
  if (pin) {
    return ReceiveMany(pin, fd, messages, count, flags, timeout);
  }
  const int result = real::recvmmsg(fd, messages, count, flags, timeout);
  for (int i = 0; i < result; ++i) {
    Shown(fd, messages[i].msg_hdr.msg_iov, messages[i].msg_hdr.msg_iovlen, messages[i].msg_len);
  }
  return result;
}

CYGNET_EXPORT ssize_t read(int fd, void* bytes, size_t size) {
  const Pin pin(fd);
  return pin ? ReceiveBuffer(pin, fd, bytes, size, 0)
             : Shown(fd, bytes, size, real::read(fd, bytes, size));
}

CYGNET_EXPORT ssize_t readv(int fd, const iovec* buffers, int count) {
  const Pin pin(fd);
  if (!pin) {
    const ssize_t result = real::readv(fd, buffers, count);
    return result > 0 ? Shown(fd, buffers, static_cast<size_t>(count), result) : result;
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(buffers);
  message.msg_iovlen = static_cast<size_t>(count < 0 ? 0 : count);
  return Receive(pin.socket(), fd, message, 0);
}

// NOLINTBEGIN(bugprone-reserved-identifier): names of libc
// Called by clients built with _FORTIFY_SOURCE if the compiler knows the size of the buffer.
CYGNET_EXPORT ssize_t __read_chk(int fd, void* bytes, size_t size, size_t room) {
  const Pin pin(fd);
  if (!pin) {
    return Shown(fd, bytes, size, real::read_chk(fd, bytes, size, room));
  }
  if (size > room) {
    __chk_fail();
  }
  return ReceiveBuffer(pin, fd, bytes, size, 0);
}

CYGNET_EXPORT ssize_t __recv_chk(int fd, void* bytes, size_t size, size_t room, int flags) {
  const Pin pin(fd);
  if (!pin) {
    return Shown(fd, bytes, size, real::recv_chk(fd, bytes, size, room, flags));
  }
  if (size > room) {
    __chk_fail();
  }
  return ReceiveBuffer(pin, fd, bytes, size, flags);
}

CYGNET_EXPORT ssize_t __recvfrom_chk(int fd, void* bytes, size_t size, size_t room, int flags,
                                     sockaddr* from, socklen_t* from_length) {
  const Pin pin(fd);
  if (!pin) {
    return Shown(fd, bytes, size,
                 real::recvfrom_chk(fd, bytes, size, room, flags, from, from_length));
  }
  if (size > room) {
    __chk_fail();
  }
  return ReceiveBuffer(pin, fd, bytes, size, flags, from, from_length);
}
// NOLINTEND(bugprone-reserved-identifier)
