// Policies of ordinary sockets (IP_XFRM_POLICY, IPV6_XFRM_POLICY). The host's kernel gets them as
// usual, and the shim forwards them to the daemon, which enforces them. The daemon learns from the
// kernel where the socket is and when it ends, so the shim does not follow descriptors. It keeps
// state only for moments that cannot wait until the daemon looks again: a socket that gets its
// port, and a new daemon.
#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace cygnet::shim {

// Like setsockopt() of these two options.
int SetSocketPolicy(int fd, int level, int name, const void* value, socklen_t length);

// bind() and connect() of a descriptor that is not ours.
int BindOrdinary(int fd, const sockaddr* address, socklen_t length);
int ConnectOrdinary(int fd, const sockaddr* address, socklen_t length);

// A descriptor was duplicated.
void CopyWaiting(int from, int to);

// Sends all state to a new daemon.
void RetellSocketPolicies();

// Binds the socket to a port before the kernel would and reports the port to the daemon, so that
// the daemon knows the socket of the first datagram.
void GiveWaitingPort(int fd);

inline constexpr unsigned kMaxWaitingFd = 65536;
// Descriptors of sockets with a policy that had no port when last checked.
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): it is constinit
extern constinit std::array<std::atomic<uint64_t>, kMaxWaitingFd / 64> g_waiting;

inline bool IsWaiting(int fd) {
  const auto number = static_cast<unsigned>(fd);
  return number < kMaxWaitingFd &&
         (g_waiting[number / 64].load(std::memory_order_relaxed) >> (number % 64) & 1) != 0;
}

// Runs before every send on a descriptor that is not ours; costs one load.
inline void BeforeSend(int fd) {
  if (IsWaiting(fd)) {
    GiveWaitingPort(fd);
  }
}

}  // namespace cygnet::shim
