// Scenarios: policies of ordinary sockets, and when the daemon learns of them.
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "netlink/unix_transport.h"
#include "shim_client/client_support.h"

namespace cygnet::shim {
namespace {

constexpr uint16_t kPort = 5500;

xfrm_userpolicy_info Policy(uint8_t direction, uint16_t family = AF_INET) {
  xfrm_userpolicy_info policy{};
  policy.sel.family = family;
  policy.dir = direction;
  return policy;
}

int SetPolicy(int fd, const xfrm_userpolicy_info& policy) {
  return setsockopt(fd, SOL_IP, IP_XFRM_POLICY, &policy, sizeof policy);
}

// The loopback of a new namespace is down.
void BringLoopbackUp() {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  CHECK(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
  close(fd);
}

int OpenUdp() {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(fd >= 0);
  return fd;
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

uint16_t OwnPort(int fd) {
  sockaddr_in own{};
  socklen_t size = sizeof own;
  CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0);
  return ntohs(own.sin_port);
}

uint64_t Cookie(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0);
  return cookie;
}

// The last report to the daemon, and how many came since the last call.
fake::PolicyReport Told(int xfrm) {
  SendRequest(xfrm, Request(fake::kPolicyReport));
  Answer answer{};
  CHECK(recv(xfrm, &answer, sizeof answer, MSG_DONTWAIT) == 16 + sizeof(fake::PolicyReport));
  fake::PolicyReport report{};
  memcpy(&report, answer.payload, sizeof report);
  return report;
}

void CheckTold(int xfrm, int fd, uint16_t port, uint16_t flags, uint32_t times = 1) {
  const fake::PolicyReport told = Told(xfrm);
  CHECK(told.times == times && told.cookie == Cookie(fd));
  CHECK(told.port == port && told.flags == flags && told.value_bytes == 168);
}

void SendTo(int fd) {
  const sockaddr_in to = Loopback(9);
  CHECK(sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 1);
}

void IsToldBeforeItReturns() {
  const int xfrm = OpenXfrm();
  const int fd = OpenUdp();
  errno = 4711;
  CHECK(SetPolicy(fd, Policy(XFRM_POLICY_OUT)) == 0 && errno == 4711);
  CheckTold(xfrm, fd, 0, 0);
  const sockaddr_in own = Loopback(kPort);
  CHECK(bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0);
  CheckTold(xfrm, fd, kPort, transport::kRetold);
  CHECK(SetPolicy(fd, Policy(XFRM_POLICY_IN)) == 0);
  CheckTold(xfrm, fd, kPort, 0);
  const sockaddr_in to = Loopback(9);
  CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  CheckTold(xfrm, fd, kPort, transport::kRetold, 2);  // both directions
  SendTo(fd);
  CHECK(Told(xfrm).times == 0);  // nothing has changed
  CHECK(setsockopt(fd, SOL_IP, IP_XFRM_POLICY, nullptr, 0) == 0);
  const fake::PolicyReport cleared = Told(xfrm);
  CHECK(cleared.times == 1 && cleared.value_bytes == 0 && cleared.flags == 0);
  CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  CHECK(Told(xfrm).times == 0);
}

// The port is bound and reported before the first datagram is sent.
void FirstDatagram() {
  const int xfrm = OpenXfrm();
  const int fd = OpenUdp();
  CHECK(SetPolicy(fd, Policy(XFRM_POLICY_OUT)) == 0);
  const int copy = dup(fd);
  CheckTold(xfrm, fd, 0, 0);
  SendTo(copy);
  CheckTold(xfrm, fd, OwnPort(fd), transport::kRetold);
  CHECK(OwnPort(fd) != 0);
  const int connected = OpenUdp();
  CHECK(SetPolicy(connected, Policy(XFRM_POLICY_OUT)) == 0);
  const sockaddr_in to = Loopback(9);
  CHECK(connect(connected, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  CheckTold(xfrm, connected, OwnPort(connected), transport::kRetold, 3);
  // In a child, whose descriptors are the same sockets.
  const int shared = OpenUdp();
  CHECK(SetPolicy(shared, Policy(XFRM_POLICY_OUT)) == 0);
  CheckTold(xfrm, shared, 0, 0);
  const pid_t child = fork();
  if (child == 0) {
    SendTo(shared);
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CheckTold(xfrm, shared, OwnPort(shared), transport::kRetold);
}

// A descriptor number that now belongs to another socket has no policy.
void ReusedNumber() {
  const int xfrm = OpenXfrm();
  const int fd = OpenUdp();
  CHECK(SetPolicy(fd, Policy(XFRM_POLICY_OUT)) == 0);
  CHECK(Told(xfrm).times == 1);
  CHECK(close(fd) == 0);
  CHECK(OpenUdp() == fd);
  SendTo(fd);
  const sockaddr_in to = Loopback(9);
  CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  CHECK(Told(xfrm).times == 0);
}

void Refused() {
  const int xfrm = OpenXfrm();
  const int fd = OpenUdp();
  Exchange(xfrm, fake::kRefusePolicies, EOPNOTSUPP);
  CHECK(SetPolicy(fd, Policy(XFRM_POLICY_OUT)) == -1 && errno == EOPNOTSUPP);
  Exchange(xfrm, fake::kRefusePolicies, EPERM);
  CHECK(SetPolicy(fd, Policy(XFRM_POLICY_OUT)) == -1 && errno == EPERM);
  const auto policy = Policy(XFRM_POLICY_OUT);
  CHECK(setsockopt(fd, SOL_IP, IP_XFRM_POLICY, &policy, 0) == -1 && errno == EPERM);
  Exchange(xfrm, fake::kRefusePolicies, 0);
  Told(xfrm);
  SendTo(fd);
  CHECK(Told(xfrm).times == 0);
  uint8_t page[5000] = {};
  CHECK(setsockopt(fd, SOL_IP, IP_XFRM_POLICY, page, 0) == -1 && errno == EMSGSIZE);
  CHECK(setsockopt(fd, SOL_IP, IP_XFRM_POLICY, page, sizeof page) == -1 && errno == EMSGSIZE);
  CHECK(setsockopt(fd, SOL_IP, IP_XFRM_POLICY, page, 100) == -1 && errno == EINVAL);
  CHECK(setsockopt(fd, SOL_IP, IP_XFRM_POLICY, nullptr, 168) == -1 && errno == EFAULT);
  Told(xfrm);
  CHECK(setsockopt(fd, SOL_IPV6, IPV6_XFRM_POLICY, &policy, sizeof policy) == -1);
  CHECK(setsockopt(xfrm + 1000, SOL_IP, IP_XFRM_POLICY, &policy, sizeof policy) == -1);
  CHECK(errno == EBADF && Told(xfrm).times == 0);
}

// More sockets than the table first holds, most of them closed without the shim's knowledge.
void Many() {
  const int xfrm = OpenXfrm();
  for (int round = 0; round < 3; ++round) {
    int fds[100];
    for (int& fd : fds) {
      fd = OpenUdp();
      CHECK(SetPolicy(fd, Policy(XFRM_POLICY_OUT)) == 0);
    }
    Told(xfrm);
    SendTo(fds[0]);
    SendTo(fds[99]);
    CheckTold(xfrm, fds[99], OwnPort(fds[99]), transport::kRetold, 2);
    for (const int fd : fds) {
      CHECK(syscall(SYS_close, fd) == 0);
    }
  }
}

void Restart() {
  BringLoopbackUp();
  const int xfrm = OpenXfrm();
  const int fd = OpenUdp();
  CHECK(SetPolicy(fd, Policy(XFRM_POLICY_OUT)) == 0);
  SendTo(fd);
  const int closed = OpenUdp();
  CHECK(SetPolicy(closed, Policy(XFRM_POLICY_OUT)) == 0);
  CHECK(close(closed) == 0);
  Told(xfrm);
  Exchange(xfrm, fake::kRestart, 50);
  // Without a daemon the policy is kept for the next one.
  for (;;) {
    const Request request(fake::kAnswer);
    if (send(xfrm, &request, sizeof request, 0) > 0) {
      ExpectAnswer(xfrm, request);
      break;
    }
    CHECK(errno == ECONNREFUSED);
    usleep(20'000);
  }
  CheckTold(xfrm, fd, OwnPort(fd), transport::kRetold);
}

void SocketPolicies() {
  BringLoopbackUp();
  IsToldBeforeItReturns();
  FirstDatagram();
  ReusedNumber();
  Refused();
  Many();
}

}  // namespace

const Scenario kPolicyScenarios[] = {
    {"socket-policies", SocketPolicies}, {"socket-policies-restart", Restart}, {nullptr, nullptr}};

}  // namespace cygnet::shim
