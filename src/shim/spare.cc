#include "shim/spare.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/real_calls.h"

namespace cygnet::shim {
namespace {

struct Spare {
  int fd = -1;
  Origin origin;
  ToldState told;
};
constinit Mutex g_mutex;
constinit Spare g_spare;

bool MayAdminister() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capget, &header, data) == 0 &&
         (data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

// 0: not a socket.
uint64_t CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return real::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

// Nothing to read, and the daemon is there.
bool IsQuiet(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return real::poll(&entry, nfds_t{1}, 0) == 0;
}

bool HasInterests(const SocketState& state) {
  for (const EpollInterest& interest : state.interests) {
    if (interest.epoll_fd >= 0) {
      return true;
    }
  }
  return false;
}

// Only the call that closes it has the socket. Whether something is unread is found out later.
bool MayBeKept(const XfrmSocket& socket, int fd) {
  const SocketState& state = socket.state;
  if (!state.origin.place.known() || !TableIsOurs() || !state.plain.load() ||
      state.forks != ForksSoFar() || socket.fd_count.load() != 1 || socket.pins.load() != 1 ||
      HasInterests(state)) {
    return false;
  }
  // An opened connection, never replaced.
  if (!state.connected.load() || state.generation.load() != 1 || !state.announced.load() ||
      state.groups.load() != 0 || state.told.groups.load() != 0 || state.told_room.load() != 0 ||
      state.dump_open.load()) {
    return false;
  }
  return real::fcntl(fd, F_GETFD) == FD_CLOEXEC &&
         (real::fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ASYNC)) == 0;
}

}  // namespace

Origin OriginOf(int fd) {
  Origin origin{.place = {}, .cookie = CookieOf(fd)};
  (void)FindPlaceOnce(&origin.place);
  return origin;
}

void KeepConnection(XfrmSocket& socket, int fd) {
  const ErrnoKeeper keeper;
  const Lock lock(g_mutex);
  if (g_spare.fd < 0 && MayBeKept(socket, fd)) {
    g_spare.fd = real::fcntl(fd, F_DUPFD_CLOEXEC, kLowestHiddenNumber);
    g_spare.origin = socket.state.origin;
    g_spare.told.CopyFrom(socket.state.told);
  }
  keeper.Restore();
}

int TakeConnection(ToldState* told, Origin* origin) {
  const Lock lock(g_mutex);
  const int spare = g_spare.fd;
  if (spare < 0 || !TableIsOurs()) {
    return -1;
  }
  g_spare.fd = -1;
  if (CookieOf(spare) != g_spare.origin.cookie) {
    return -1;  // the program has closed it, and may have the number for something else
  }
  Place here;
  int fd = -1;
  if (IsQuiet(spare) && MayAdminister() && FindPlace(&here) && here == g_spare.origin.place) {
    fd = real::fcntl(spare, F_DUPFD_CLOEXEC, 0);
    told->CopyFrom(g_spare.told);
    *origin = g_spare.origin;
  }
  real::close(spare);
  return fd;
}

// The parent's threads do not exist here, and one of them may have held the lock.
void ForgetConnectionInChild() {
  g_mutex.Reset();
  if (g_spare.fd >= 0 && CookieOf(g_spare.fd) == g_spare.origin.cookie) {
    real::close(g_spare.fd);
  }
  g_spare.fd = -1;
}

}  // namespace cygnet::shim
