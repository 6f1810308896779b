// Finds the netlink sockets that have the mark of a cygnetd. Anybody can open many netlink sockets
// without a capability: the search takes time proportional to their number and ends at a deadline.
#include <fcntl.h>
#include <linux/netlink_diag.h>
#include <linux/sock_diag.h>

#include "netlink/rendezvous.h"
#include "netlink/rendezvous_calls.h"
#include "netlink/rendezvous_parse.h"

namespace cygnet::rendezvous {
namespace {

constexpr char kTable[] = "/proc/thread-self/net/netlink";

// --- The kernel's list, by NETLINK_SOCK_DIAG ---

// The kernel fills messages as large as the largest read so far, and skips the socket that did not
// fit into one (seen on 6.18). So a list in several messages is requested again with other sizes:
// the position of a socket is random, and the probability that it is skipped all three times is
// about one in tens of millions. The first message of each list has the size of earlier reads, so
// the sizes ascend on one socket; the kernel's own first size is at most 8192.
constexpr size_t kReadBytes[] = {9000, 12000, 16384};

struct DiagRequest {
  nlmsghdr header;
  netlink_diag_req body;
};

bool AskForList(int fd) {
  DiagRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = AF_NETLINK;
  request.body.sdiag_protocol = NETLINK_USERSOCK;
  request.body.ndiag_show = NDIAG_SHOW_GROUPS;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  return syscall(SYS_sendto, fd, &request, sizeof request, MSG_NOSIGNAL, &kernel, sizeof kernel) ==
         long{sizeof request};
}

// `reads`: the number of reads. Returns 0 or an errno value.
int ReadList(int fd, size_t room, Ports* found, int64_t deadline, int* reads) {
  char text[16384];
  if (!AskForList(fd)) {
    return errno;
  }
  for (*reads = 0;;) {
    if (LeftMs(deadline) == 0 || !WaitReadable(fd, deadline)) {
      return ETIMEDOUT;
    }
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    const long got =
        syscall(SYS_recvfrom, fd, text, room, MSG_DONTWAIT | MSG_TRUNC, &from, &length);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    }
    if (got < 0 || static_cast<size_t>(got) > room) {
      return got < 0 ? errno : EMSGSIZE;
    }
    if (from.nl_pid != 0) {
      continue;
    }
    ++*reads;
    const int result = ReadMessages(text, static_cast<size_t>(got), found);
    if (result != kMore) {
      return result;
    }
  }
}

int AskKernel(Ports* found, int64_t deadline) {
  const Fd fd(Socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
  if (!fd.valid()) {
    return errno;
  }
  for (const size_t room : kReadBytes) {
    int reads = 0;
    const int error = ReadList(fd.get(), room, found, deadline, &reads);
    // If the end is in the same message, nothing was skipped.
    if (error != 0 || reads == 1) {
      return error;
    }
  }
  return 0;
}

// --- The kernel's table of netlink sockets ---

// Returns 0, or -1 and errno.
// Each read() starts from the first socket: the total is quadratic in the number of sockets, so the
// deadline is checked.
int ReadTable(Ports* found, int64_t deadline) {
  const Fd table(static_cast<int>(syscall(SYS_openat, AT_FDCWD, kTable, O_RDONLY | O_CLOEXEC)));
  if (!table.valid()) {
    return -1;
  }
  TableRows rows;
  for (;;) {
    if (LeftMs(deadline) == 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    const long got = syscall(SYS_read, table.get(), rows.end(), rows.room());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return got < 0 ? -1 : 0;
    }
    rows.Take(static_cast<size_t>(got), found);
  }
}

}  // namespace

// The kernel lacks the module or a profile forbids it: the table has the same data but is slow.
int FindPorts(uint32_t* ports, int room, int timeout_ms) {
  const int64_t deadline = NowMs() + timeout_ms;
  Ports found(ports, room);
  const int error = AskKernel(&found, deadline);
  if (error == ETIMEDOUT) {
    errno = error;
    return -1;
  }
  if (error != 0 && ReadTable(&found, deadline) != 0) {
    return -1;
  }
  return found.count();
}

}  // namespace cygnet::rendezvous
