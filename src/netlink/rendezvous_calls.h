// System calls and time for the files of netlink/rendezvous.h, which are also part of the preload
// shim.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace cygnet::rendezvous {

// --- System calls that bypass interposed functions of the C library ---

inline int Socket(int domain, int type, int protocol) {
  return static_cast<int>(syscall(SYS_socket, domain, type | SOCK_CLOEXEC, protocol));
}
inline void Close(int fd) { syscall(SYS_close, fd); }

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) {
      const int saved = errno;
      Close(fd_);
      errno = saved;
    }
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  const int fd_;
};

// --- Time ---

inline int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

inline int LeftMs(int64_t deadline) {
  const int64_t left = deadline - NowMs();
  return left > 0 ? static_cast<int>(left) : 0;
}

// The other side usually answers sooner than a sleeping CPU wakes up.
inline bool IsReadableSoon(int fd) {
  constexpr int kLooks = 100;
  for (int i = 0; i < kLooks; ++i) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    timespec none{};
    if (syscall(SYS_ppoll, &entry, 1, &none, nullptr, 0) > 0) {
      return true;
    }
  }
  return false;
}

// False: the deadline passed first.
inline bool WaitReadable(int fd, int64_t deadline) {
  if (IsReadableSoon(fd)) {
    return true;
  }
  for (;;) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    const timespec left{.tv_sec = LeftMs(deadline) / 1000,
                        .tv_nsec = LeftMs(deadline) % 1000 * 1'000'000L};
    // The kernel writes the remaining time into its argument.
    timespec passed = left;
    const long ready = syscall(SYS_ppoll, &entry, 1, &passed, nullptr, 0);
    if (ready > 0) {
      return true;
    }
    if (ready == 0 || errno != EINTR) {
      return false;
    }
  }
}

}  // namespace cygnet::rendezvous
