// Scenarios: the daemon stops and restarts, or does not restart.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "shim_client/client_support.h"

namespace cygnet::shim {
namespace {

constexpr int kDownMs = 300;

void SleepMs(long milliseconds) {
  const timespec pause{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
  nanosleep(&pause, nullptr);
}

double CpuSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

// Sends until the daemon is back.
void ExchangeWhenBack(int fd) {
  for (int i = 0; i < 100; ++i) {
    const Request request(fake::kAnswer);
    if (send(fd, &request, sizeof request, 0) > 0) {
      ExpectAnswer(fd, request);
      return;
    }
    CHECK(errno == ECONNREFUSED);
    SleepMs(20);
  }
  CHECK(false);
}

// The request's connection dies with it unread. The shim sends it again, and everything is as
// before.
void RequestLost() {
  const int fd = OpenXfrm(SOCK_CLOEXEC);
  const int on = 1;
  CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) == 0);
  CHECK(BindTo(fd, 4711, 6) == 0);
  const int copy = dup(fd);
  Exchange(fd, fake::kDieUnread);
  const fake::Report report = AskReport(copy);  // the copy reconnected, too
  CHECK(report.port_id == 4711 && report.groups == 6);
  CHECK(report.options == 1U << NETLINK_EXT_ACK && report.controls == 2);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(copy, F_GETFD) & FD_CLOEXEC) == 0);
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
}

// An event loop sleeps while there is no daemon and receives its events afterwards.
void EventLoop() {
  const int requests = OpenXfrm();
  CHECK(BindTo(requests, 0, 0) == 0);
  const int events = OpenXfrm(SOCK_NONBLOCK | SOCK_CLOEXEC);
  CHECK(BindTo(events, 4711, 3) == 0);
  const int loop = epoll_create1(0);
  epoll_event interest{.events = EPOLLIN, .data = {.u64 = 77}};
  CHECK(epoll_ctl(loop, EPOLL_CTL_ADD, events, &interest) == 0);
  Exchange(requests, fake::kRestart, kDownMs);

  epoll_event event{};
  Answer answer{};
  CHECK(epoll_wait(loop, &event, 1, 1000) == 1 && event.data.u64 == 77);
  CHECK(recv(events, &answer, sizeof answer, 0) == -1 && errno == EAGAIN);
  CHECK(epoll_wait(loop, &event, 1, 100) == 0);
  CHECK(recv(events, &answer, sizeof answer, 0) == -1 && errno == EAGAIN);
  pollfd entry{events, POLLIN, 0};
  CHECK(poll(&entry, 1, 50) == 0);
  const Request request(fake::kAnswer);
  CHECK(send(requests, &request, sizeof request, 0) == -1 && errno == ECONNREFUSED);
  CHECK(OwnAddressOf(events).nl_pid == 4711);

  ExchangeWhenBack(requests);
  const fake::Report report = AskReport(events);
  CHECK(report.port_id == 4711 && report.groups == 3);
  Exchange(requests, fake::kEvent, 2);
  while (epoll_wait(loop, &event, 1, 1000) == 1 && event.data.u64 == 77) {
    if (recv(events, &answer, sizeof answer, 0) == 20) {
      CHECK(answer.header.nlmsg_type == fake::kEventMessage);
      CHECK((fcntl(events, F_GETFL) & O_NONBLOCK) != 0);
      CHECK(epoll_ctl(loop, EPOLL_CTL_DEL, events, nullptr) == 0);
      return;
    }
    CHECK(errno == EAGAIN);
  }
  CHECK(false);
}

// A receive alone also reconnects.
void ReceiveReconnects() {
  const int fd = OpenXfrm(SOCK_NONBLOCK);
  CHECK(BindTo(fd, 4711, 1) == 0);
  Exchange(fd, fake::kRestart, kDownMs);
  Answer answer{};
  SleepMs(50);
  CHECK(recv(fd, &answer, sizeof answer, 0) == -1 && errno == EAGAIN);
  SleepMs(kDownMs);
  CHECK(recv(fd, &answer, sizeof answer, 0) == -1 && errno == EAGAIN);
  CHECK(AskReport(fd).groups == 1);
}

void* WaitForEvent(void* argument) {
  const int fd = *static_cast<int*>(argument);
  Answer answer{};
  CHECK(recv(fd, &answer, sizeof answer, 0) == 20);
  CHECK(answer.header.nlmsg_type == fake::kEventMessage);
  return nullptr;
}

// A blocking receive survives a restart without burning the CPU.
void BlockingReceive() {
  int events = OpenXfrm();
  CHECK(BindTo(events, 0, 3) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, WaitForEvent, &events) == 0);
  const int requests = OpenXfrm();
  Exchange(requests, fake::kRestart, 2 * kDownMs);
  const double before = CpuSeconds();
  SleepMs(kDownMs);
  CHECK(CpuSeconds() - before < 0.05);
  ExchangeWhenBack(requests);
  Exchange(requests, fake::kEvent, 1);
  CHECK(pthread_join(thread, nullptr) == 0);
}

// SO_RCVTIMEO also applies while there is no daemon.
void ReceiveTimeout() {
  const int fd = OpenXfrm();
  const timeval timeout{0, 200'000};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
  Exchange(fd, fake::kRestart, 2000);
  SleepMs(50);
  Answer answer{};
  timespec start{};
  timespec end{};
  clock_gettime(CLOCK_MONOTONIC, &start);
  CHECK(recv(fd, &answer, sizeof answer, 0) == -1 && errno == EAGAIN);
  clock_gettime(CLOCK_MONOTONIC, &end);
  const double seconds = static_cast<double>(end.tv_sec - start.tv_sec) +
                         static_cast<double>(end.tv_nsec - start.tv_nsec) * 1e-9;
  CHECK(seconds > 0.15 && seconds < 1.0);
}

// The rest of a dump is lost; netlink reports that as ENOBUFS.
void DumpLost() {
  const int fd = OpenXfrm();
  SendRequest(fd, Request(fake::kHalfDump, 0, NLM_F_DUMP));
  Answer answer{};
  CHECK(recv(fd, &answer, sizeof answer, 0) == 18);
  CHECK(recv(fd, &answer, sizeof answer, 0) == -1 && errno == ENOBUFS);
  CHECK(recv(fd, &answer, sizeof answer, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  Exchange(fd, fake::kAnswer);
}

void DaemonStaysAway() {
  const int fd = OpenXfrm();
  const Request request(fake::kStayAway, 60'000);
  CHECK(send(fd, &request, sizeof request, 0) == -1 && errno == ECONNREFUSED);
  CHECK(send(fd, &request, sizeof request, 0) == -1 && errno == ECONNREFUSED);
  CHECK(BindTo(fd, 0, 0) == -1 && errno == EINVAL);  // bound since the first attempt to send
  Answer answer{};
  CHECK(recv(fd, &answer, sizeof answer, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  int error = -1;
  socklen_t length = sizeof error;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0);
  CHECK(close(fd) == 0);
}

}  // namespace

const Scenario kRestartScenarios[] = {
    {"request-lost", RequestLost},
    {"event-loop", EventLoop},
    {"receive-reconnects", ReceiveReconnects},
    {"blocking-receive", BlockingReceive},
    {"receive-timeout", ReceiveTimeout},
    {"dump-lost", DumpLost},
    {"daemon-stays-away", DaemonStaysAway},
    {nullptr, nullptr},
};

}  // namespace cygnet::shim
