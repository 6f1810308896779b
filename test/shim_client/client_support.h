// Shared by the scenarios of the shim's test client: checks that end the program, and netlink
// requests.
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "support/fake_xfrm_daemon.h"

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      exit(1);                                                                          \
    }                                                                                   \
  } while (false)

namespace cygnet::shim {

struct Request {
  nlmsghdr header{};
  uint32_t number = 0;

  explicit Request(uint16_t type, uint32_t payload = 0, uint16_t flags = NLM_F_ACK)
      : header{.nlmsg_len = sizeof(nlmsghdr) + sizeof payload,
               .nlmsg_type = type,
               .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
               .nlmsg_seq = ++next_sequence,
               .nlmsg_pid = 0},
        number(payload) {}

  static inline uint32_t next_sequence = 0;
};
static_assert(sizeof(Request) == 20);

struct Answer {
  nlmsghdr header;
  uint8_t payload[512];
};

inline int OpenXfrm(int flags = 0) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | flags, NETLINK_XFRM);
  CHECK(fd >= 0);
  return fd;
}

inline sockaddr_nl NetlinkAddress(uint32_t port_id, uint32_t groups) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_pid = port_id;
  address.nl_groups = groups;
  return address;
}

inline int BindTo(int fd, uint32_t port_id, uint32_t groups) {
  const sockaddr_nl address = NetlinkAddress(port_id, groups);
  return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

inline sockaddr_nl OwnAddressOf(int fd) {
  sockaddr_nl address{};
  socklen_t length = sizeof address;
  CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  CHECK(length == 12 && address.nl_family == AF_NETLINK);
  return address;
}

inline void SendRequest(int fd, const Request& request) {
  CHECK(send(fd, &request, sizeof request, 0) == ssize_t{sizeof request});
}

// The acknowledgement must be there as soon as the request is sent.
inline void ExpectAnswer(int fd, const Request& request) {
  Answer answer{};
  CHECK(recv(fd, &answer, sizeof answer, MSG_DONTWAIT) == 36);
  CHECK(answer.header.nlmsg_type == NLMSG_ERROR);
  CHECK(answer.header.nlmsg_seq == request.header.nlmsg_seq);
  CHECK(answer.header.nlmsg_pid == OwnAddressOf(fd).nl_pid);
}

inline void Exchange(int fd, uint16_t type, uint32_t payload = 0) {
  const Request request(type, payload);
  SendRequest(fd, request);
  ExpectAnswer(fd, request);
}

// The daemon's knowledge of this socket.
inline fake::Report AskReport(int fd) {
  SendRequest(fd, Request(fake::kReport));
  Answer answer{};
  CHECK(recv(fd, &answer, sizeof answer, MSG_DONTWAIT) == 16 + sizeof(fake::Report));
  CHECK(answer.header.nlmsg_type == fake::kReport);
  fake::Report report{};
  memcpy(&report, answer.payload, sizeof report);
  return report;
}

struct Scenario {
  const char* name;
  void (*run)();
};

// One list per file; each ends with a null name.
extern const Scenario kAddressScenarios[];
extern const Scenario kEthtoolScenarios[];
extern const Scenario kTransferScenarios[];
extern const Scenario kProcessScenarios[];
extern const Scenario kRestartScenarios[];
extern const Scenario kNativeScenarios[];
extern const Scenario kPolicyScenarios[];

}  // namespace cygnet::shim
