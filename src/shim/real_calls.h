// The libc functions behind the interposed ones. They are looked up on first use, since
// constructors of other libraries may call them before ours has run.
#pragma once

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace cygnet::shim {

template <typename Function>
class RealCall {
 public:
  constexpr explicit RealCall(const char* name) : name_(name) {}

  template <typename... Args>
  auto operator()(Args... args) {
    return reinterpret_cast<Function*>(Address())(args...);
  }
  bool available() { return Address() != nullptr; }

 private:
  void* Address() {
    void* address = address_.load(std::memory_order_relaxed);
    if (address == nullptr) {
      const int saved = errno;
      address = dlsym(RTLD_NEXT, name_);
      address_.store(address, std::memory_order_relaxed);
      errno = saved;
    }
    return address;
  }

  const char* name_;
  std::atomic<void*> address_{nullptr};
};

namespace real {

inline constinit RealCall<int(int, int, int)> socket{"socket"};
inline constinit RealCall<int(int, const sockaddr*, socklen_t)> bind{"bind"};
inline constinit RealCall<int(int, const sockaddr*, socklen_t)> connect{"connect"};
inline constinit RealCall<int(int, sockaddr*, socklen_t*)> getsockname{"getsockname"};
inline constinit RealCall<int(int, sockaddr*, socklen_t*)> getpeername{"getpeername"};
inline constinit RealCall<ssize_t(int, const void*, size_t, int)> send{"send"};
inline constinit RealCall<ssize_t(int, const void*, size_t, int, const sockaddr*, socklen_t)>
    sendto{"sendto"};
inline constinit RealCall<ssize_t(int, const msghdr*, int)> sendmsg{"sendmsg"};
inline constinit RealCall<int(int, mmsghdr*, unsigned, int)> sendmmsg{"sendmmsg"};
inline constinit RealCall<ssize_t(int, const void*, size_t)> write{"write"};
inline constinit RealCall<ssize_t(int, const iovec*, int)> writev{"writev"};
inline constinit RealCall<ssize_t(int, void*, size_t, int)> recv{"recv"};
inline constinit RealCall<ssize_t(int, void*, size_t, int, sockaddr*, socklen_t*)> recvfrom{
    "recvfrom"};
inline constinit RealCall<ssize_t(int, msghdr*, int)> recvmsg{"recvmsg"};
inline constinit RealCall<int(int, mmsghdr*, unsigned, int, timespec*)> recvmmsg{"recvmmsg"};
inline constinit RealCall<ssize_t(int, void*, size_t)> read{"read"};
inline constinit RealCall<ssize_t(int, const iovec*, int)> readv{"readv"};
inline constinit RealCall<ssize_t(int, void*, size_t, size_t)> read_chk{"__read_chk"};
inline constinit RealCall<ssize_t(int, void*, size_t, size_t, int)> recv_chk{"__recv_chk"};
inline constinit RealCall<ssize_t(int, void*, size_t, size_t, int, sockaddr*, socklen_t*)>
    recvfrom_chk{"__recvfrom_chk"};
inline constinit RealCall<int(int)> close{"close"};
inline constinit RealCall<int(unsigned, unsigned, int)> close_range{"close_range"};
inline constinit RealCall<void(int)> closefrom{"closefrom"};
inline constinit RealCall<int(int)> dup{"dup"};
inline constinit RealCall<int(int, int)> dup2{"dup2"};
inline constinit RealCall<int(int, int, int)> dup3{"dup3"};
inline constinit RealCall<int(int, int, ...)> fcntl{"fcntl"};
inline constinit RealCall<int(int, int, ...)> fcntl64{"fcntl64"};
inline constinit RealCall<int(int, int, int, const void*, socklen_t)> setsockopt{"setsockopt"};
inline constinit RealCall<int(int, int, int, void*, socklen_t*)> getsockopt{"getsockopt"};
inline constinit RealCall<int(int, unsigned long, ...)> ioctl{"ioctl"};
inline constinit RealCall<int(int, int, int, epoll_event*)> epoll_ctl{"epoll_ctl"};
inline constinit RealCall<int(pollfd*, nfds_t, int)> poll{"poll"};
inline constinit RealCall<int(int, int)> shutdown{"shutdown"};

}  // namespace real

// Sets errno and returns -1.
inline int Fail(int error) {
  errno = error;
  return -1;
}

// Restores errno: calls that succeed do not change it.
class ErrnoKeeper {
 public:
  ErrnoKeeper() : saved_(errno) {}
  void Restore() const { errno = saved_; }

 private:
  int saved_;
};

}  // namespace cygnet::shim
