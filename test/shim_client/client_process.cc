// Scenarios: descriptors, forks, threads, and sockets that the shim must leave alone.
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
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
    const int fd = OpenXfrm();
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

}  // namespace

const Scenario kProcessScenarios[] = {
    {"duplicates", Duplicates}, {"reused-numbers", ReusedNumbers}, {"fork", Fork},
    {"threads", Threads},       {"other-families", OtherFamilies}, {"no-daemon", NoDaemon},
    {nullptr, nullptr},
};

}  // namespace cygnet::shim
