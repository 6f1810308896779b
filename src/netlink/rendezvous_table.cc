// Which netlink sockets bear the mark of a cygnetd. Anybody may open many of them, without any
// capability: the search takes time in proportion to their number, and ends at a deadline.
#include <fcntl.h>
#include <linux/netlink_diag.h>
#include <linux/sock_diag.h>

#include <cstdlib>
#include <cstring>

#include "netlink/rendezvous.h"
#include "netlink/rendezvous_calls.h"

namespace cygnet::rendezvous {
namespace {

constexpr char kTable[] = "/proc/thread-self/net/netlink";

class Ports {
 public:
  Ports(uint32_t* ports, int room) : ports_(ports), room_(room) {}
  void Add(uint32_t port) {
    for (int i = 0; i < count_; ++i) {
      if (ports_[i] == port) {
        return;
      }
    }
    if (count_ < room_) {
      ports_[count_++] = port;
    }
  }
  int count() const { return count_; }

 private:
  uint32_t* const ports_;
  const int room_;
  int count_ = 0;
};

// --- The kernel's list, by NETLINK_SOCK_DIAG ---

// The kernel fills messages as large as the largest read so far, and leaves out the socket that
// found no room in one (seen on 6.18). So a list that was cut is asked for again, with other cuts:
// a socket's place in it is random, and one left out all three times is one in some ten millions.
// The first cut of each list is that of the sizes before, hence on one socket and ascending; the
// kernel's own first size is at most 8192.
constexpr size_t kReadBytes[] = {9000, 12000, 16384};

struct DiagRequest {
  nlmsghdr header;
  netlink_diag_req body;
};

// What one read brought: an errno value, or
enum : int { kMore = -1, kDone = 0 };

bool IsMarked(const char* attributes, size_t size) {
  nlattr attribute{};
  while (size >= sizeof attribute) {
    memcpy(&attribute, attributes, sizeof attribute);
    const size_t step = NLA_ALIGN(size_t{attribute.nla_len});
    if (attribute.nla_len < sizeof attribute || step > size) {
      return false;
    }
    unsigned long groups = 0;
    if (attribute.nla_type == NETLINK_DIAG_GROUPS &&
        attribute.nla_len >= sizeof attribute + sizeof groups) {
      memcpy(&groups, attributes + sizeof attribute, sizeof groups);
      return static_cast<uint32_t>(groups) == kGroups;
    }
    attributes += step;
    size -= step;
  }
  return false;
}

int ReadMessages(const char* at, size_t size, Ports* found) {
  nlmsghdr header{};
  while (size >= sizeof header) {
    memcpy(&header, at, sizeof header);
    const size_t length = header.nlmsg_len;
    if (length < sizeof header || length > size) {
      return EBADMSG;
    }
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      int error = 0;
      if (length >= sizeof header + sizeof error) {
        memcpy(&error, at + sizeof header, sizeof error);
      }
      return error < 0 ? -error : kDone;
    }
    netlink_diag_msg body{};
    if (length >= sizeof header + sizeof body) {
      memcpy(&body, at + sizeof header, sizeof body);
      const size_t start = sizeof header + sizeof body;
      if (body.ndiag_protocol == NETLINK_USERSOCK && IsMarked(at + start, length - start)) {
        found->Add(body.ndiag_portid);
      }
    }
    const size_t step = NLMSG_ALIGN(length);
    at += step < size ? step : size;
    size -= step < size ? step : size;
  }
  return kMore;
}

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

// `reads` is how many it took. 0 or an errno value.
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
    // With the end in the same message nothing was cut.
    if (error != 0 || reads == 1) {
      return error;
    }
  }
  return 0;
}

// --- The kernel's table of netlink sockets ---

// A row: sk, protocol, port id, groups in hex, and more that does not matter.
bool ReadRow(const char* line, uint32_t* port) {
  const char* at = strchr(line, ' ');
  if (at == nullptr) {
    return false;
  }
  char* end = nullptr;
  const long protocol = strtol(at, &end, 10);
  if (end == at || protocol != NETLINK_USERSOCK) {
    return false;
  }
  *port = static_cast<uint32_t>(strtoul(end, &end, 10));
  return strtoul(end, &end, 16) == kGroups;
}

// 0; or -1 and errno.
// Each read() walks from the first socket on: n² in the number of sockets, so time is looked at.
int ReadTable(Ports* found, int64_t deadline) {
  const Fd table(static_cast<int>(syscall(SYS_openat, AT_FDCWD, kTable, O_RDONLY | O_CLOEXEC)));
  if (!table.valid()) {
    return -1;
  }
  char text[8192];
  size_t kept = 0;  // of a line that was cut
  for (;;) {
    if (LeftMs(deadline) == 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    const long got = syscall(SYS_read, table.get(), text + kept, sizeof text - 1 - kept);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return got < 0 ? -1 : 0;
    }
    char* line = text;
    char* const end = text + kept + got;
    *end = '\0';
    for (char* stop = nullptr; (stop = strchr(line, '\n')) != nullptr; line = stop + 1) {
      *stop = '\0';
      uint32_t port = 0;
      if (ReadRow(line, &port)) {
        found->Add(port);
      }
    }
    kept = static_cast<size_t>(end - line);
    if (kept >= sizeof text - 1) {
      kept = 0;  // no line of the kernel's is so long
    }
    memmove(text, line, kept);
  }
}

}  // namespace

// A kernel without the module, or a profile that forbids it: the table says the same, slowly.
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
