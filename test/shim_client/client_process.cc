// Scenarios: descriptors, forks, threads, and sockets that the shim must leave alone.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "shim_client/client_support.h"

namespace cygnet::shim {
namespace {

void Duplicates() {
  const int fd = OpenXfrm();
  CHECK(BindTo(fd, 0, 5) == 0);
  const uint32_t port_id = OwnAddressOf(fd).nl_pid;
  const int copies[] = {dup(fd), dup2(fd, 40), dup3(fd, 41, O_CLOEXEC), fcntl(fd, F_DUPFD, 50),
                        fcntl(fd, F_DUPFD_CLOEXEC, 60)};
  CHECK(close(fd) == 0);
  for (const int copy : copies) {
    CHECK(copy >= 0);
    CHECK(OwnAddressOf(copy).nl_pid == port_id);
    Exchange(copy, fake::kAnswer);
  }
  const int other = OpenXfrm();
  CHECK(BindTo(other, port_id, 0) == -1 && errno == EADDRINUSE);  // still held by the copies
  for (const int copy : copies) {
    CHECK(close(copy) == 0);
  }
  CHECK(BindTo(other, port_id, 0) == 0);
}

// A number that was ours and is now a pipe behaves as a pipe.
void ReusedNumbers() {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const auto check_pipe = [&](int reader) {
    char byte = 0;
    CHECK(write(ends[1], "x", 1) == 1 && read(reader, &byte, 1) == 1 && byte == 'x');
    CHECK(send(reader, &byte, 1, 0) == -1 && errno == ENOTSOCK);
  };
  const int first = OpenXfrm();
  CHECK(dup2(ends[0], first) == first);
  check_pipe(first);
  const int second = OpenXfrm();
  CHECK(close(second) == 0 && dup(ends[0]) == second);
  check_pipe(second);
  const int third = OpenXfrm();
  CHECK(close_range(static_cast<unsigned>(third), ~0U, 0) == 0 && dup(ends[0]) == third);
  check_pipe(third);
  const int fourth = OpenXfrm();
  closefrom(fourth);
  CHECK(dup(ends[0]) == fourth);
  check_pipe(fourth);
}

void Fork() {
  const int fd = OpenXfrm();
  CHECK(BindTo(fd, 0, 0) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    Exchange(fd, fake::kAnswer);  // inherited, with its port id
    const int own = OpenXfrm();
    Exchange(own, fake::kAnswer);
    CHECK(OwnAddressOf(own).nl_pid == static_cast<uint32_t>(getpid()));
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  Exchange(fd, fake::kAnswer);
  // A descriptor that a vfork() child closes stays open, and ours, in the parent.
  const pid_t other = vfork();
  if (other == 0) {
    close(fd);
    _exit(0);
  }
  CHECK(waitpid(other, &status, 0) == other && status == 0);
  Exchange(fd, fake::kAnswer);
}

void* ManySockets(void*) {
  for (int i = 0; i < 60; ++i) {
    const int fd = OpenXfrm(i % 2 == 0 ? SOCK_CLOEXEC : 0);
    for (int k = 0; k < 5; ++k) {
      Exchange(fd, fake::kAnswer);
    }
    CHECK(close(fd) == 0);
  }
  return nullptr;
}

void Threads() {
  pthread_t threads[4];
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, ManySockets, nullptr) == 0);
  }
  for (const pthread_t thread : threads) {
    CHECK(pthread_join(thread, nullptr) == 0);
  }
}

void OtherFamilies() {
  const int route = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  CHECK(route >= 0 && BindTo(route, 0, 0) == 0);
  CHECK(OwnAddressOf(route).nl_pid == static_cast<uint32_t>(getpid()));
  const struct {
    nlmsghdr header;
    rtgenmsg payload;
  } request{{sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
  CHECK(send(route, &request, sizeof request, 0) > 0);
  uint8_t reply[32768];
  CHECK(recv(route, reply, sizeof reply, 0) > 16);
}

// No daemon, or one that must not be trusted with keys.
void NoDaemon() {
  for (int i = 0; i < 2; ++i) {
    CHECK(socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM) == -1 && errno == ECONNREFUSED);
  }
}

// --- Connections that are kept for the next socket ---

void SetExtendedAck(int fd) {
  const int on = 1;
  CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) == 0);
}

// With an option on, so that the daemon is told something else by the next one.
int OpenAndUse(int flags = SOCK_CLOEXEC) {
  const int fd = OpenXfrm(flags);
  SetExtendedAck(fd);
  Exchange(fd, fake::kAnswer);
  return fd;
}

// Of the option on, the binding and the option off; a new connection only gets the binding. The
// report is more than an acknowledgement, so this connection is not kept.
bool NextIsKept(int flags = SOCK_CLOEXEC) {
  const int fd = OpenXfrm(flags);
  const fake::Report report = AskReport(fd);
  CHECK(report.port_id == static_cast<uint32_t>(getpid()));
  CHECK(report.groups == 0 && report.options == 0);
  CHECK(report.controls == 1 || report.controls == 3);
  CHECK(close(fd) == 0);
  return report.controls == 3;
}

void KeptConnection() {
  const int first = OpenAndUse();
  CHECK(close(first) == 0);
  CHECK(write(first, "x", 1) == -1 && errno == EBADF);
  const int second = OpenAndUse();
  CHECK(second == first);
  CHECK(close(second) == 0 && NextIsKept());
  CHECK(!NextIsKept());
  // Without SOCK_CLOEXEC, also on a connection that had it.
  CHECK(close(OpenAndUse()) == 0 && NextIsKept(0));
}

int ReceiveBufferOf(int fd) {
  int bytes = 0;
  socklen_t length = sizeof bytes;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length) == 0);
  return bytes;
}

// The sizes of its buffers, which a connection keeps, are those that each socket asks for.
void KeptConnectionAndSizes() {
  for (const int bytes : {16384, 16384, 32768, 32768, 16384}) {
    const int fd = OpenAndUse();
    for (const int option : {SO_RCVBUF, SO_SNDBUF}) {
      CHECK(setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes) == 0);
    }
    CHECK(ReceiveBufferOf(fd) == 2 * bytes);  // as the kernel counts
    CHECK(close(fd) == 0);
  }
  CHECK(NextIsKept());
}

void NotKept() {
  CHECK(close(OpenAndUse(0)) == 0 && !NextIsKept());
  CHECK(close(OpenAndUse(SOCK_CLOEXEC | SOCK_NONBLOCK)) == 0 && !NextIsKept());
  const auto after = [](auto what) {
    const int fd = OpenAndUse();
    what(fd);
    CHECK(close(fd) == 0);
    return NextIsKept();
  };
  CHECK(after([](int) {}));
  CHECK(!after([](int fd) { SendRequest(fd, Request(fake::kAnswer)); }));  // unread
  CHECK(!after([](int fd) { CHECK(BindTo(fd, OwnAddressOf(fd).nl_pid, 5) == 0); }));
  CHECK(!after([](int fd) { CHECK(close(dup(fd)) == 0); }));
  CHECK(!after([](int fd) { CHECK(fcntl(fd, F_SETFD, 0) == 0); }));
  CHECK(!after([](int fd) {
    const timeval timeout{.tv_sec = 1, .tv_usec = 0};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
  }));
  CHECK(!after([](int fd) {
    const int set = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{.events = EPOLLIN, .data = {}};
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
  }));
}

// A child has what its parent opened, but not what the parent keeps.
void KeptConnectionAndFork() {
  const int fd = OpenAndUse();
  const auto in_child = [](auto what) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      what();
      _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  };
  in_child([fd] { CHECK(close(fd) == 0 && !NextIsKept()); });
  CHECK(close(fd) == 0 && !NextIsKept());
  CHECK(close(OpenAndUse()) == 0);
  in_child([] { CHECK(!NextIsKept()); });
  CHECK(NextIsKept());
  // Passed on to another process.
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
  const int passed = OpenAndUse();
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof passed)] = {};
  msghdr message{};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  *CMSG_FIRSTHDR(&message) = {
      .cmsg_len = CMSG_LEN(sizeof passed), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &passed, sizeof passed);
  CHECK(sendmsg(ends[0], &message, 0) == 0);
  CHECK(close(passed) == 0 && !NextIsKept());
}

// A program may close numbers that it does not know, and get them for something else.
void KeptNumberTaken() {
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(close(OpenAndUse()) == 0);
  closefrom(512);
  for (int number = 512; number < 520; ++number) {
    CHECK(dup2(ends[1], number) == number);
  }
  CHECK(!NextIsKept());
  char byte = 0;
  for (int number = 512; number < 520; ++number) {
    CHECK(write(number, "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'x');
  }
}

// Without a daemon no socket opens, and the next daemon is met anew.
void KeptConnectionNeedsTheDaemon() {
  const int other = OpenXfrm();
  CHECK(close(OpenAndUse()) == 0);
  Exchange(other, fake::kRestart, 1000);
  usleep(100'000);  // it acknowledges before it goes
  CHECK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM) == -1 && errno == ECONNREFUSED);
  int fd = -1;
  for (int i = 0; i < 500 && fd < 0; ++i) {
    usleep(10'000);
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM);
  }
  CHECK(fd >= 0 && close(fd) == 0 && close(other) == 0 && !NextIsKept());
}

// What the kernel would refuse at a new meeting.
void KeptConnectionNeedsTheCapability() {
  CHECK(close(OpenAndUse()) == 0);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  CHECK(syscall(SYS_capget, &header, data) == 0);
  data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective &= ~CAP_TO_MASK(CAP_NET_ADMIN);
  CHECK(syscall(SYS_capset, &header, data) == 0);
  CHECK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM) == -1 && errno == EPERM);
}

void KeptConnectionStaysInItsNamespace() {
  CHECK(close(OpenAndUse()) == 0);
  CHECK(close(OpenAndUse()) == 0);  // it looks where it is
  CHECK(unshare(CLONE_NEWNET) == 0);
  CHECK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM) == -1 && errno == ECONNREFUSED);
}

// Where a socket was opened counts, not where it was closed.
void KeptConnectionIsOfWhereItWasMade() {
  const int fd = OpenAndUse();
  CHECK(unshare(CLONE_NEWNET) == 0);
  Exchange(fd, fake::kAnswer);
  CHECK(close(fd) == 0);
  CHECK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM) == -1 && errno == ECONNREFUSED);
}

// The thread that looked is gone, or another one looks.
void KeptConnectionAndThreads() {
  CHECK(close(OpenAndUse()) == 0 && NextIsKept());
  for (int i = 0; i < 3; ++i) {
    pthread_t thread;
    const auto use = [](void*) -> void* {
      CHECK(close(OpenAndUse()) == 0 && close(OpenAndUse()) == 0);
      return nullptr;
    };
    CHECK(pthread_create(&thread, nullptr, use, nullptr) == 0 &&
          pthread_join(thread, nullptr) == 0);
    CHECK(NextIsKept());
  }
}

// In one thread alone, while the others stay.
void KeptConnectionAndAThreadElsewhere() {
  CHECK(close(OpenAndUse()) == 0 && close(OpenAndUse()) == 0);
  pthread_t thread;
  const auto leave = [](void*) -> void* {
    CHECK(unshare(CLONE_NEWNET) == 0);
    CHECK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM) == -1 && errno == ECONNREFUSED);
    return nullptr;
  };
  CHECK(pthread_create(&thread, nullptr, leave, nullptr) == 0 &&
        pthread_join(thread, nullptr) == 0);
  CHECK(close(OpenAndUse()) == 0 && NextIsKept());
}

}  // namespace

const Scenario kProcessScenarios[] = {
    {"duplicates", Duplicates},
    {"reused-numbers", ReusedNumbers},
    {"fork", Fork},
    {"threads", Threads},
    {"other-families", OtherFamilies},
    {"no-daemon", NoDaemon},
    {"kept-connection", KeptConnection},
    {"kept-connection-and-sizes", KeptConnectionAndSizes},
    {"not-kept", NotKept},
    {"kept-connection-and-fork", KeptConnectionAndFork},
    {"kept-number-taken", KeptNumberTaken},
    {"kept-connection-needs-the-daemon", KeptConnectionNeedsTheDaemon},
    {"kept-connection-needs-the-capability", KeptConnectionNeedsTheCapability},
    {"kept-connection-stays-in-its-namespace", KeptConnectionStaysInItsNamespace},
    {"kept-connection-is-of-where-it-was-made", KeptConnectionIsOfWhereItWasMade},
    {"kept-connection-and-threads", KeptConnectionAndThreads},
    {"kept-connection-and-a-thread-elsewhere", KeptConnectionAndAThreadElsewhere},
    {nullptr, nullptr},
};

}  // namespace cygnet::shim
