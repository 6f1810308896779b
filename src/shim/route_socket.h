// NETLINK_ROUTE sockets of the program. They stay the kernel's: only requests that concern tunnel
// interfaces go to the daemon, and answers about Cygnet's show the kind xfrm.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace cygnet::shim {

inline constexpr unsigned kMaxRouteFd = 65536;
// Descriptors that were NETLINK_ROUTE sockets when last checked.
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): it is constinit
extern constinit std::array<std::atomic<uint64_t>, kMaxRouteFd / 64> g_route;

// One load. The number may belong to something else by now.
inline bool MayBeRoute(int fd) {
  const auto number = static_cast<unsigned>(fd);
  return number < kMaxRouteFd &&
         (g_route[number / 64].load(std::memory_order_relaxed) >> (number % 64) & 1) != 0;
}

enum class Route { kYes, kNo };
void NoteRoute(int fd, Route route);
// A descriptor was duplicated.
void CopyRoute(int from, int to);

// False: nothing was sent, the kernel is to get everything as it is. Else *result is that of
// sendmsg(). REQUIRES: MayBeRoute(fd).
bool SendRoute(int fd, const msghdr& message, int flags, ssize_t* result);

// After a receive that returned `result`. REQUIRES: MayBeRoute(fd), result > 0.
void ShowReceived(int fd, const msghdr& message, ssize_t result);

}  // namespace cygnet::shim
