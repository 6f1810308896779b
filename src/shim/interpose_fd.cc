// The interposed calls on descriptors: they track which numbers are ours, and their epoll sets.
#include <fcntl.h>

#include <cstdarg>

#include "shim/interpose.h"
#include "shim/route_socket.h"
#include "shim/socket_policy.h"
#include "shim/spare.h"

namespace cygnet::shim {
namespace {

bool MakesDescriptor(int command) { return command == F_DUPFD || command == F_DUPFD_CLOEXEC; }

// `duplicate` creates a new number for `fd` or fails. It runs under the table's lock, so that the
// number cannot be closed and reused before it is in the table.
template <typename Duplicate>
int Share(int fd, Duplicate duplicate) {
  const Lock lock(TableMutex());
  const int copy = duplicate();
  if (copy >= 0) {
    ShareFdLocked(fd, copy);
  }
  return copy;
}

// For ordinary descriptors.
int Copied(int fd, int copy) {
  CopyWaiting(fd, copy);
  CopyRoute(fd, copy);
  return copy;
}

// Flags, owners and signals stay with a connection.
void NoteChange(int fd, int command) {
  if (command == F_GETFD || command == F_GETFL || !IsShimmed(fd)) {
    return;
  }
  const Pin pin(fd);
  if (pin) {
    pin.socket().state.plain.store(false);
  }
}

EpollInterest* FindInterest(XfrmSocket& socket, int epoll_fd, int fd) {
  for (EpollInterest& interest : socket.state.interests) {
    if (interest.epoll_fd == epoll_fd && interest.fd == fd) {
      return &interest;
    }
  }
  return nullptr;
}

// Records a successful registration. If there is no room, the registration is lost when the daemon
// restarts.
void NoteInterest(XfrmSocket& socket, int epoll_fd, int operation, int fd,
                  const epoll_event* event) {
  EpollInterest* interest = FindInterest(socket, epoll_fd, fd);
  if (operation == EPOLL_CTL_DEL) {
    if (interest != nullptr) {
      *interest = EpollInterest{};
    }
    return;
  }
  if (interest == nullptr) {
    interest = FindInterest(socket, -1, -1);
  }
  if (interest != nullptr) {
    *interest = {.epoll_fd = epoll_fd, .fd = fd, .event = *event};
  }
}

void DropInterests(XfrmSocket& socket, int fd) {
  const Lock lock(socket.mutex);
  for (EpollInterest& interest : socket.state.interests) {
    if (interest.fd == fd) {
      interest = EpollInterest{};
    }
  }
}

// The table must not contain a number that is about to be free. In a vfork() child the number
// stays.
void Forget(int fd) {
  const Pin pin(fd);
  if (pin) {
    KeepConnection(pin.socket(), fd);
    ForgetFd(fd);
    if (!IsShimmed(fd)) {
      DropInterests(pin.socket(), fd);
    }
  }
}

}  // namespace
}  // namespace cygnet::shim

using namespace cygnet::shim;

CYGNET_EXPORT int close(int fd) {
  if (IsShimmed(fd)) {
    Forget(fd);
  }
  return real::close(fd);
}

CYGNET_EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
  constexpr unsigned kOnlySetsFlag = 1U << 2;  // CLOSE_RANGE_CLOEXEC
  if ((static_cast<unsigned>(flags) & kOnlySetsFlag) == 0) {
    ForgetRange(first, last);
  }
  return real::close_range(first, last, flags);
}

CYGNET_EXPORT void closefrom(int first) noexcept {
  ForgetRange(first < 0 ? 0 : static_cast<unsigned>(first), ~0U);
  real::closefrom(first);
}

CYGNET_EXPORT int dup(int fd) noexcept {
  return IsShimmed(fd) ? Share(fd, [fd] { return real::dup(fd); }) : Copied(fd, real::dup(fd));
}

CYGNET_EXPORT int dup2(int fd, int target) noexcept {
  if (!IsShimmed(fd) && !IsShimmed(target)) {
    return Copied(fd, real::dup2(fd, target));
  }
  return Share(fd, [=] { return real::dup2(fd, target); });
}

CYGNET_EXPORT int dup3(int fd, int target, int flags) noexcept {
  if (!IsShimmed(fd) && !IsShimmed(target)) {
    return Copied(fd, real::dup3(fd, target, flags));
  }
  return Share(fd, [=] { return real::dup3(fd, target, flags); });
}

CYGNET_EXPORT int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);  // also holds an int, as in libc
  va_end(arguments);
  if (MakesDescriptor(command) && IsShimmed(fd)) {
    return Share(fd, [=] { return real::fcntl(fd, command, argument); });
  }
  NoteChange(fd, command);
  const int result = real::fcntl(fd, command, argument);
  return MakesDescriptor(command) ? Copied(fd, result) : result;
}

CYGNET_EXPORT int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (MakesDescriptor(command) && IsShimmed(fd)) {
    return Share(fd, [=] { return real::fcntl64(fd, command, argument); });
  }
  NoteChange(fd, command);
  const int result = real::fcntl64(fd, command, argument);
  return MakesDescriptor(command) ? Copied(fd, result) : result;
}

CYGNET_EXPORT int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) noexcept {
  const Pin pin(fd);
  if (!pin) {
    return real::epoll_ctl(epoll_fd, operation, fd, event);
  }
  const Lock lock(pin.socket().mutex);  // registration and record are atomic for a reconnection
  const int result = real::epoll_ctl(epoll_fd, operation, fd, event);
  if (result == 0) {
    NoteInterest(pin.socket(), epoll_fd, operation, fd, event);
  }
  return result;
}
