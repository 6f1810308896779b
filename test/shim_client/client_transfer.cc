// Scenarios: every call that moves data, peeking, truncation, groups, lost events, waiting.
#include <fcntl.h>
#include <poll.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#include "shim_client/client_support.h"

// NOLINTBEGIN(bugprone-reserved-identifier): names in libc
extern "C" {
ssize_t __read_chk(int fd, void* bytes, size_t size, size_t room);
ssize_t __recv_chk(int fd, void* bytes, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void* bytes, size_t size, size_t room, int flags, sockaddr* from,
                       socklen_t* from_length);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace cygnet::shim {
namespace {

double Seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

msghdr MessageOf(iovec* buffers, size_t count, sockaddr_nl* address = nullptr) {
  msghdr message{};
  message.msg_iov = buffers;
  message.msg_iovlen = count;
  message.msg_name = address;
  message.msg_namelen = address != nullptr ? sizeof *address : 0;
  return message;
}

void EverySend() {
  const int fd = OpenXfrm();
  Request request(fake::kAnswer);
  constexpr auto kSize = ssize_t{sizeof request};
  sockaddr_nl kernel = NetlinkAddress(0, 0);
  const auto* to = reinterpret_cast<const sockaddr*>(&kernel);
  iovec halves[2] = {{&request, 7}, {reinterpret_cast<uint8_t*>(&request) + 7, sizeof request - 7}};
  errno = 4242;
  CHECK(write(fd, &request, sizeof request) == kSize);
  ExpectAnswer(fd, request);
  CHECK(writev(fd, halves, 2) == kSize);
  ExpectAnswer(fd, request);
  CHECK(send(fd, &request, sizeof request, 0) == kSize);
  ExpectAnswer(fd, request);
  CHECK(sendto(fd, &request, sizeof request, 0, nullptr, 0) == kSize);
  ExpectAnswer(fd, request);
  CHECK(sendto(fd, &request, sizeof request, MSG_DONTWAIT, to, sizeof kernel) == kSize);
  ExpectAnswer(fd, request);
  msghdr message = MessageOf(halves, 2, &kernel);
  CHECK(sendmsg(fd, &message, 0) == kSize);
  ExpectAnswer(fd, request);
  mmsghdr many[3] = {{message, 0}, {message, 0}, {message, 0}};
  CHECK(sendmmsg(fd, many, 3, 0) == 3 && many[2].msg_len == sizeof request);
  for (int i = 0; i < 3; ++i) {
    ExpectAnswer(fd, request);
  }
  CHECK(errno == 4242);
  CHECK(send(fd, &request, 0, 0) == -1 && errno == ENODATA);
  CHECK(send(fd, &request, sizeof request, MSG_OOB) == -1 && errno == EOPNOTSUPP);
  kernel.nl_family = AF_UNIX;
  CHECK(sendto(fd, &request, sizeof request, 0, to, sizeof kernel) == -1 && errno == EINVAL);
}

void EveryReceive() {
  const int fd = OpenXfrm();
  Answer answer{};
  const auto ask = [fd] { SendRequest(fd, Request(fake::kAnswer)); };
  sockaddr_nl from{};
  socklen_t length = sizeof from;
  auto* name = reinterpret_cast<sockaddr*>(&from);
  const auto check_from = [&] {
    CHECK(length == 12 && from.nl_family == AF_NETLINK && from.nl_pid == 0 && from.nl_groups == 0);
    memset(&from, 0xee, sizeof from);
  };
  errno = 4242;
  ask();
  CHECK(read(fd, &answer, sizeof answer) == 36);
  ask();
  iovec halves[2] = {{&answer, 7}, {reinterpret_cast<uint8_t*>(&answer) + 7, 400}};
  CHECK(readv(fd, halves, 2) == 36);
  ask();
  CHECK(recv(fd, &answer, sizeof answer, 0) == 36);
  ask();
  CHECK(recvfrom(fd, &answer, sizeof answer, 0, name, &length) == 36);
  check_from();
  ask();
  msghdr message = MessageOf(halves, 2, &from);
  CHECK(recvmsg(fd, &message, 0) == 36 && message.msg_flags == 0);
  length = message.msg_namelen;
  check_from();
  ask();
  CHECK(__read_chk(fd, &answer, sizeof answer, sizeof answer) == 36);
  ask();
  CHECK(__recv_chk(fd, &answer, sizeof answer, sizeof answer, 0) == 36);
  ask();
  CHECK(__recvfrom_chk(fd, &answer, sizeof answer, sizeof answer, 0, name, &length) == 36);
  check_from();
  ask();
  ask();
  mmsghdr many[3] = {{message, 0}, {message, 0}, {message, 0}};
  CHECK(recvmmsg(fd, many, 3, MSG_WAITFORONE, nullptr) == 2 && many[1].msg_len == 36);
  errno = 4242;  // the third call found nothing
  ask();
  length = 2;  // as in the kernel: two bytes of the address, but its full length
  CHECK(recvfrom(fd, &answer, sizeof answer, 0, name, &length) == 36 && length == 12);
  CHECK(errno == 4242);
}

void Peek() {
  const int fd = OpenXfrm();
  SendRequest(fd, Request(fake::kAnswer));
  sockaddr_nl from{};
  iovec none{nullptr, 0};
  for (const size_t buffers : {size_t{0}, size_t{1}}) {
    msghdr message = MessageOf(&none, buffers, &from);
    CHECK(recvmsg(fd, &message, MSG_PEEK | MSG_TRUNC) == 36);
    CHECK((message.msg_flags & MSG_TRUNC) != 0 && message.msg_namelen == 12);
  }
  uint8_t small[20];
  CHECK(recv(fd, small, sizeof small, MSG_PEEK) == sizeof small);
  CHECK(recv(fd, small, sizeof small, MSG_PEEK | MSG_TRUNC) == 36);
  msghdr message = MessageOf(&none, 1);
  CHECK(recvmsg(fd, &message, MSG_PEEK) == 0);
  Answer answer{};
  CHECK(recv(fd, &answer, sizeof answer, MSG_TRUNC) == 36);
  CHECK(recv(fd, &answer, sizeof answer, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN);
  SendRequest(fd, Request(fake::kAnswer));
  CHECK(recv(fd, small, 4, 0) == 4);  // the rest of the datagram is lost
  CHECK(recv(fd, small, 4, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

void Groups() {
  const int events = OpenXfrm();
  CHECK(BindTo(events, 0, 0xffffffff) == 0);
  const int requests = OpenXfrm();
  Answer answer{};
  sockaddr_nl from{};
  for (uint32_t group = 1; group <= 8; ++group) {
    for (size_t split = 4; split <= 9; ++split) {  // on both sides of nlmsg_flags, and between
      Exchange(requests, fake::kEvent, group);
      auto* bytes = reinterpret_cast<uint8_t*>(&answer);
      iovec pieces[3] = {{bytes, split}, {nullptr, 0}, {bytes + split, sizeof answer - split}};
      msghdr message = MessageOf(pieces, 0, &from);
      CHECK(recvmsg(events, &message, MSG_PEEK | MSG_TRUNC) == 20);
      CHECK(from.nl_groups == 1U << (group - 1));
      for (const int flags : {int{MSG_PEEK}, 0}) {
        memset(&answer, 0xee, sizeof answer);
        message = MessageOf(pieces, 3, &from);
        CHECK(recvmsg(events, &message, flags) == 20);
        CHECK(from.nl_groups == 1U << (group - 1) && from.nl_pid == 0);
        CHECK(answer.header.nlmsg_type == fake::kEventMessage);
        CHECK(answer.header.nlmsg_flags == 0);
      }
    }
  }
  Exchange(requests, fake::kEvent, 2);
  CHECK(recv(events, &answer, 7, 0) == 7);
  CHECK((answer.header.nlmsg_flags & 0xff) == 0);
}

void Overrun() {
  const int fd = OpenXfrm();
  Answer answer{};
  iovec buffer{&answer, sizeof answer};
  msghdr none = MessageOf(nullptr, 0);
  msghdr all = MessageOf(&buffer, 1);
  for (int i = 0; i < 3; ++i) {
    const Request request(fake::kOverrun);
    SendRequest(fd, request);
    const ssize_t result = i == 0   ? recvmsg(fd, &none, MSG_PEEK | MSG_TRUNC)
                           : i == 1 ? recvmsg(fd, &all, MSG_PEEK)
                                    : recvmsg(fd, &all, 0);
    CHECK(result == -1 && errno == ENOBUFS);
    ExpectAnswer(fd, request);
  }
}

// Without lock-step, a slow answer would not be there yet.
void LockStep() {
  const int fd = OpenXfrm();
  for (const uint32_t microseconds : {0U, 10U, 100U, 1000U, 20'000U}) {
    for (int i = 0; i < 10; ++i) {
      Exchange(fd, fake::kSlowAnswer, microseconds);
    }
  }
}

void Waiting() {
  const int fd = OpenXfrm(SOCK_NONBLOCK | SOCK_CLOEXEC);
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  Answer answer{};
  CHECK(recv(fd, &answer, sizeof answer, 0) == -1 && errno == EAGAIN);
  Exchange(fd, fake::kAnswer);
  pollfd entry{fd, POLLIN, 0};
  CHECK(poll(&entry, 1, 0) == 0);
  SendRequest(fd, Request(fake::kAnswer));
  CHECK(poll(&entry, 1, 0) == 1 && entry.revents == POLLIN);
  CHECK(recv(fd, &answer, sizeof answer, 0) == 36);
  CHECK(fcntl(fd, F_SETFL, 0) == 0);
  const timeval timeout{0, 60'000};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
  const double start = Seconds();
  CHECK(recv(fd, &answer, sizeof answer, 0) == -1 && errno == EAGAIN);
  CHECK(Seconds() - start >= 0.055);
  timeval read_back{};
  socklen_t length = sizeof read_back;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &read_back, &length) == 0);
  CHECK(read_back.tv_usec >= 60'000 && read_back.tv_usec < 70'000);
}

}  // namespace

const Scenario kTransferScenarios[] = {
    {"every-send", EverySend},
    {"every-receive", EveryReceive},
    {"peek", Peek},
    {"groups", Groups},
    {"overrun", Overrun},
    {"lock-step", LockStep},
    {"waiting", Waiting},
    {nullptr, nullptr},
};

}  // namespace cygnet::shim
