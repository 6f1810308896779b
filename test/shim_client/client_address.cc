// Scenarios: port ids, addresses, options.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "shim_client/client_support.h"

namespace cygnet::shim {
namespace {

void PortIds() {
  const auto pid = static_cast<uint32_t>(getpid());
  const int first = OpenXfrm();
  const int second = OpenXfrm();
  const int third = OpenXfrm();
  CHECK(OwnAddressOf(first).nl_pid == 0);
  CHECK(BindTo(first, 0, 0) == 0 && BindTo(second, 0, 0) == 0);
  CHECK(OwnAddressOf(first).nl_pid == pid);
  const uint32_t other = OwnAddressOf(second).nl_pid;
  CHECK(other != 0 && other != pid);
  CHECK(BindTo(third, pid, 0) == -1 && errno == EADDRINUSE);
  CHECK(BindTo(third, other, 0) == -1 && errno == EADDRINUSE);
  CHECK(BindTo(first, 4711, 0) == -1 && errno == EINVAL);
  CHECK(BindTo(third, 4711, 3) == 0);
  CHECK(OwnAddressOf(third).nl_pid == 4711 && OwnAddressOf(third).nl_groups == 3);
  close(first);
  const int fourth = OpenXfrm();
  CHECK(BindTo(fourth, pid, 0) == 0);  // free again
}

// pluto's order, in both directions: an automatic port id is never one in use.
void AutobindAvoidsExplicit() {
  const auto pid = static_cast<uint32_t>(getpid());
  const int events = OpenXfrm();
  CHECK(BindTo(events, pid, 3) == 0);
  const int requests = OpenXfrm();
  Exchange(requests, fake::kAnswer);
  CHECK(OwnAddressOf(requests).nl_pid != pid && OwnAddressOf(requests).nl_pid != 0);
  CHECK(AskReport(requests).port_id == OwnAddressOf(requests).nl_pid);
  CHECK(AskReport(events).port_id == pid && AskReport(events).groups == 3);
}

void AutobindAtFirstSend() {
  const int fd = OpenXfrm();
  const Request request(fake::kAnswer);
  CHECK(write(fd, &request, sizeof request) == ssize_t{sizeof request});
  ExpectAnswer(fd, request);
  CHECK(OwnAddressOf(fd).nl_pid == static_cast<uint32_t>(getpid()));
  CHECK(AskReport(fd).port_id == static_cast<uint32_t>(getpid()));
}

void Connected() {
  const int fd = OpenXfrm();
  sockaddr_nl kernel = NetlinkAddress(0, 0);
  CHECK(connect(fd, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) == 0);
  CHECK(OwnAddressOf(fd).nl_pid == static_cast<uint32_t>(getpid()));
  sockaddr_nl peer = NetlinkAddress(9, 9);
  socklen_t length = sizeof peer;
  CHECK(getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0 && length == 12);
  CHECK(peer.nl_family == AF_NETLINK && peer.nl_pid == 0 && peer.nl_groups == 0);
  Exchange(fd, fake::kAnswer);
  const Request request(fake::kAnswer);
  const sockaddr_nl stranger = NetlinkAddress(12345, 0);
  CHECK(sendto(fd, &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&stranger),
               sizeof stranger) == -1 &&
        errno == ECONNREFUSED);
}

void Memberships() {
  const int fd = OpenXfrm();
  CHECK(BindTo(fd, 0, 1) == 0);
  const auto change = [fd](int option, int group) {
    return setsockopt(fd, SOL_NETLINK, option, &group, sizeof group);
  };
  CHECK(change(NETLINK_ADD_MEMBERSHIP, 4) == 0);
  CHECK(OwnAddressOf(fd).nl_groups == 9 && AskReport(fd).groups == 9);
  CHECK(change(NETLINK_DROP_MEMBERSHIP, 1) == 0);
  CHECK(OwnAddressOf(fd).nl_groups == 8 && AskReport(fd).groups == 8);
  CHECK(change(NETLINK_ADD_MEMBERSHIP, 32) == 0);
  CHECK(change(NETLINK_ADD_MEMBERSHIP, 33) == -1 && errno == EINVAL);
  CHECK(change(NETLINK_ADD_MEMBERSHIP, 0) == -1 && errno == EINVAL);
  uint32_t groups = 0;
  socklen_t length = sizeof groups;
  CHECK(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, &groups, &length) == 0);
  CHECK(groups == 0x80000008);
}

int GetInt(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}

void Options() {
  const int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_XFRM);
  CHECK(fd >= 0);
  CHECK(GetInt(fd, SOL_SOCKET, SO_DOMAIN) == AF_NETLINK);
  CHECK(GetInt(fd, SOL_SOCKET, SO_PROTOCOL) == NETLINK_XFRM);
  CHECK(GetInt(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM);
  CHECK(GetInt(fd, SOL_SOCKET, SO_ERROR) == 0);
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK,
                           NETLINK_NO_ENOBUFS, NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR}) {
    CHECK(GetInt(fd, SOL_NETLINK, option) == 0);
    CHECK(setsockopt(fd, SOL_NETLINK, option, &on, sizeof on) == 0);
    CHECK(GetInt(fd, SOL_NETLINK, option) == 1);
  }
  CHECK(setsockopt(fd, SOL_NETLINK, 77, &on, sizeof on) == -1 && errno == ENOPROTOOPT);
  CHECK(AskReport(fd).options ==
        (1U << NETLINK_EXT_ACK | 1U << NETLINK_CAP_ACK | 1U << NETLINK_NO_ENOBUFS));
  const int bytes = 32768;
  for (const int option : {SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE}) {
    CHECK(setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes) == 0);
  }
  CHECK(GetInt(fd, SOL_SOCKET, SO_SNDBUF) == 2 * bytes);
  CHECK(socket(AF_NETLINK, SOCK_STREAM, NETLINK_XFRM) == -1 && errno == ESOCKTNOSUPPORT);
}

// IKE sockets: bypass policies go to the kernel, decapsulation does not.
void IkeSocketOptions() {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(fd >= 0);
  const int esp_in_udp = 2;
  CHECK(setsockopt(fd, SOL_UDP, UDP_ENCAP, &esp_in_udp, sizeof esp_in_udp) == 0);
  CHECK(GetInt(fd, SOL_UDP, UDP_ENCAP) == 0);
  CHECK(setsockopt(-1, SOL_UDP, UDP_ENCAP, &esp_in_udp, sizeof esp_in_udp) == -1);
  CHECK(errno == EBADF);
  // Issue 13, 49: Linux 6.18 removed type 1, so it is refused as in the kernel; the daemon ignores
  // 0 and L2TP's 3.
  for (const int type : {-1, 0, 1, 3, 4, 7}) {
    const int plain = static_cast<int>(syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0));
    const long said = syscall(SYS_setsockopt, plain, SOL_UDP, UDP_ENCAP, &type, sizeof type);
    const int error = said == 0 ? 0 : errno;
    errno = 0;
    CHECK(setsockopt(fd, SOL_UDP, UDP_ENCAP, &type, sizeof type) == said && errno == error);
    close(plain);
  }
  CHECK(setsockopt(fd, SOL_UDP, UDP_ENCAP, &esp_in_udp, 2) == -1 && errno == EINVAL);
  const int stream = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(setsockopt(stream, SOL_UDP, UDP_ENCAP, &esp_in_udp, sizeof esp_in_udp) == -1);
  CHECK(errno == ENOPROTOOPT);
  uint8_t policy[168] = {};  // whatever the kernel answers, it knows the option
  errno = 0;
  const int result = setsockopt(fd, SOL_IP, IP_XFRM_POLICY, policy, sizeof policy);
  CHECK(result == 0 || errno == EINVAL);
}

}  // namespace

const Scenario kAddressScenarios[] = {
    {"port-ids", PortIds},
    {"autobind-avoids-explicit", AutobindAvoidsExplicit},
    {"autobind-at-first-send", AutobindAtFirstSend},
    {"connected", Connected},
    {"memberships", Memberships},
    {"options", Options},
    {"ike-socket-options", IkeSocketOptions},
    {nullptr, nullptr},
};

}  // namespace cygnet::shim
