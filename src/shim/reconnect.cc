// Replaces a dead connection by a new one or by a placeholder, on the same descriptor numbers.
#include <fcntl.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "shim/connection.h"
#include "shim/connection_parts.h"
#include "shim/real_calls.h"
#include "shim/socket_policy.h"

namespace cygnet::shim {
namespace {

// Between two attempts to find a daemon.
constexpr int64_t kRetryIntervalUs = kRetryIntervalMs * 1000;

void SetReceiveTimeout(int fd, int64_t timeout_us) {
  const timeval timeout{.tv_sec = timeout_us / 1'000'000, .tv_usec = timeout_us % 1'000'000};
  real::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t{sizeof timeout});
}

// A timer: it wakes pollers, which then receive, and the receive looks for the daemon.
int OpenPlaceholder() {
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (fd >= 0) {
    WindPlaceholder(fd);
  }
  return fd;
}

int OpenReplacement(XfrmSocket& socket) {
  const int fd = ConnectToDaemon(ConnectMode::kTry).fd;
  if (fd < 0) {
    return -1;
  }
  if (const int bytes = socket.state.send_buffer_bytes.load(); bytes > 0) {
    if (real::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, socklen_t{sizeof bytes}) != 0) {
      real::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t{sizeof bytes});
    }
  }
  SetReceiveTimeout(fd, socket.state.receive_timeout_us.load());
  if (!SendState(socket, fd)) {
    real::close(fd);
    return -1;
  }
  return fd;
}

// Moves `fresh` to the number `fd` and keeps its epoll registrations. The old registration is
// removed explicitly, because it would outlive the number if a forked child shares the old socket.
// If that fails, the epoll set is not the one that was recorded.
void ReplaceOne(XfrmSocket& socket, int fd, int fresh) {
  std::array<bool, std::tuple_size_v<decltype(SocketState::interests)>> registered{};
  auto& interests = socket.state.interests;
  for (size_t i = 0; i < interests.size(); ++i) {
    if (interests[i].epoll_fd >= 0 && interests[i].fd == fd) {
      registered[i] = real::epoll_ctl(interests[i].epoll_fd, EPOLL_CTL_DEL, fd, nullptr) == 0;
    }
  }
  const int fd_flags = real::fcntl(fd, F_GETFD);
  real::dup3(fresh, fd, (fd_flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
  for (size_t i = 0; i < interests.size(); ++i) {
    if (registered[i]) {
      epoll_event event = interests[i].event;
      real::epoll_ctl(interests[i].epoll_fd, EPOLL_CTL_ADD, fd, &event);
    } else if (interests[i].fd == fd) {
      interests[i] = EpollInterest{};
    }
  }
}

// Consumes `fresh`. REQUIRES: socket.mutex held.
void Install(XfrmSocket& socket, int fresh) {
  int old = -1;
  {
    const Lock lock(TableMutex());
    ForEachFdLocked(socket, [&](int fd) {
      if (old < 0) {
        old = real::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        const int blocking = real::fcntl(fd, F_GETFL) & O_NONBLOCK;
        real::fcntl(fresh, F_SETFL, (real::fcntl(fresh, F_GETFL) & ~O_NONBLOCK) | blocking);
      }
      ReplaceOne(socket, fd, fresh);
    });
  }
  real::close(fresh);
  if (old >= 0) {
    // Wakes threads that poll or receive on the old connection; they return on the new one.
    real::shutdown(old, SHUT_RDWR);
    real::close(old);
  }
}

// A daemon that accepts and closes immediately must not make an event loop spin: a connection that
// fails soon after a reconnection gets a placeholder.
bool FailedAgainAtOnce(const XfrmSocket& socket, Caller caller) {
  return caller == Caller::kReceive && socket.state.connected.load() &&
         MonotonicNs() - socket.state.reconnected_at_ns < kRetryIntervalUs * 1000;
}

// REQUIRES: socket.mutex held.
bool ReplaceLocked(XfrmSocket& socket, Loss loss, Caller caller) {
  SocketState& state = socket.state;
  int fresh = FailedAgainAtOnce(socket, caller) ? -1 : OpenReplacement(socket);
  const bool connected = fresh >= 0;
  if (!connected) {
    if (loss == Loss::kIdle) {
      return false;
    }
    fresh = OpenPlaceholder();
    if (fresh < 0) {
      return false;
    }
  }
  Install(socket, fresh);
  if (connected) {
    state.reconnected_at_ns = MonotonicNs();
  }
  state.announced.store(connected && state.port_id.load() != 0);
  state.connected.store(connected);
  state.generation.fetch_add(1);
  return connected;
}

bool RecoverOne(XfrmSocket& socket, uint32_t generation, Loss loss, Caller caller) {
  const Lock lock(socket.mutex);
  SocketState& state = socket.state;
  const bool connected = state.connected.load();
  if (state.generation.load() != generation || (loss == Loss::kIdle && connected)) {
    return connected;
  }
  if (loss == Loss::kReset) {
    state.reset_generation.store(generation);
  }
  if (connected && state.dump_open.exchange(false)) {
    state.loss_pending.store(true);  // the rest of that dump is lost
  }
  return ReplaceLocked(socket, loss, caller);
}

}  // namespace

void WindPlaceholder(int fd) {
  const timespec interval{.tv_sec = 0, .tv_nsec = kRetryIntervalMs * 1'000'000};
  const itimerspec setting{.it_interval = interval, .it_value = interval};
  timerfd_settime(fd, 0, &setting, nullptr);  // fails without effect on anything else
}

bool Recover(XfrmSocket& socket, uint32_t generation, Loss loss, Caller caller) {
  const ErrnoKeeper keeper;
  const bool connected = RecoverOne(socket, generation, loss, caller);
  if (connected) {
    // Event sockets only receive, and nothing arrives on a placeholder: the call that finds a
    // daemon again also reconnects them.
    ForEachSocket([](XfrmSocket& other) {
      if (!other.state.connected.load()) {
        RecoverOne(other, other.state.generation.load(), Loss::kIdle, Caller::kSend);
      }
    });
    RetellSocketPolicies();
  }
  keeper.Restore();
  return connected;
}

}  // namespace cygnet::shim
