// Policies of ordinary sockets (IP_XFRM_POLICY, IPV6_XFRM_POLICY): the host's kernel gets them as
// ever, and the daemon is told, because it is the one that decides. It learns from the kernel where
// the socket is and when it ends, so nothing here follows descriptors around; what is kept is for
// the moments that cannot wait until it looks again by itself: a socket that gets its port, and a
// daemon that is another one.
#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace cygnet::shim {

// As setsockopt() of these two options.
int SetSocketPolicy(int fd, int level, int name, const void* value, socklen_t length);

// bind() and connect() of a descriptor that is none of ours.
int BindOrdinary(int fd, const sockaddr* address, socklen_t length);
int ConnectOrdinary(int fd, const sockaddr* address, socklen_t length);

// A copy of a descriptor was made.
void CopyWaiting(int from, int to);

// All that is kept, to a daemon that was found again.
void RetellSocketPolicies();

// Gives the socket its port before the kernel does, and tells the daemon, so that not even the
// first datagram is one of an unknown socket.
void GiveWaitingPort(int fd);

inline constexpr unsigned kMaxWaitingFd = 65536;
// Descriptors of sockets with a policy and, when last seen, without a port.
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): constinit says the contrary
extern constinit std::array<std::atomic<uint64_t>, kMaxWaitingFd / 64> g_waiting;

inline bool IsWaiting(int fd) {
  const auto number = static_cast<unsigned>(fd);
  return number < kMaxWaitingFd &&
         (g_waiting[number / 64].load(std::memory_order_relaxed) >> (number % 64) & 1) != 0;
}

// Before every call that sends on a descriptor that is none of ours: one load.
inline void BeforeSend(int fd) {
  if (IsWaiting(fd)) {
    GiveWaitingPort(fd);
  }
}

}  // namespace cygnet::shim
