// The scenario that a real kernel can run, too. It prints the result of every call, with port ids
// by name, so that both traces must be equal.
#include <linux/xfrm.h>
#include <sys/uio.h>

#include "shim_client/client_support.h"

namespace cygnet::shim {
namespace {

constexpr uint16_t kNewPolicy = 0x13;
constexpr uint16_t kUnknownType = 0x7e;

void PrintPort(const char* name, uint32_t port_id) {
  const char* text = port_id == 0                                 ? "0"
                     : port_id == static_cast<uint32_t>(getpid()) ? "pid"
                     : (port_id & 0x80000000) != 0                ? "negative"
                                                                  : "explicit";
  printf(" %s=%s", name, text);
}

void Print(const char* what, long result) {
  printf("%s: %ld %s", what, result, result < 0 ? strerrorname_np(errno) : "");
}

void PrintOwn(int fd) {
  sockaddr_nl address{};
  socklen_t length = sizeof address;
  const int result = getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  Print("  getsockname", result);
  printf(" length=%u family=%u groups=%x", length, address.nl_family, address.nl_groups);
  PrintPort("port", address.nl_pid);
  printf("\n");
}

void Binding() {
  const auto pid = static_cast<uint32_t>(getpid());
  int fds[4];
  for (int& fd : fds) {
    fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
  }
  const auto bind_to = [&](int index, uint32_t port_id, uint32_t groups) {
    Print("bind", BindTo(fds[index], port_id, groups));
    printf("\n");
    PrintOwn(fds[index]);
  };
  PrintOwn(fds[0]);
  bind_to(0, 0, 0);
  bind_to(1, 0, 3);
  // The name is not read afterwards: the kernel would return the id that it just refused.
  Print("bind in use", BindTo(fds[2], pid, 0));
  printf("\n");
  bind_to(2, 0x12345, 1);
  bind_to(2, 0x12345, 9);  // other groups
  bind_to(2, 0x12345, 0);
  bind_to(2, 0, 5);
  bind_to(2, 0x54321, 0);
  sockaddr_nl address = NetlinkAddress(0, 0);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  Print("bind short", bind(fds[3], name, 8));
  address.nl_family = AF_UNIX;
  Print("\nbind family", bind(fds[3], name, sizeof address));
  Print("\nconnect family", connect(fds[3], name, sizeof address));
  address.nl_family = AF_UNSPEC;
  Print("\nconnect none", connect(fds[3], name, sizeof address));
  printf("\n");
  PrintOwn(fds[3]);
  for (const int group : {1, 32, 33, 0, -1}) {
    for (const int option :
         {NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP, NETLINK_ADD_MEMBERSHIP}) {
      Print("membership", setsockopt(fds[3], SOL_NETLINK, option, &group, sizeof group));
      printf("\n");
    }
    PrintOwn(fds[3]);
  }
  address = NetlinkAddress(0, 0);
  Print("connect kernel", connect(fds[3], name, sizeof address));
  printf("\n");
  PrintOwn(fds[3]);
}

void PrintReceived(const char* what, int fd, size_t size, int flags) {
  Answer answer{};
  sockaddr_nl from{};
  // Two buffers, so that nlmsg_flags is split.
  auto* bytes = reinterpret_cast<uint8_t*>(&answer);
  iovec pieces[2] = {{bytes, size < 7 ? size : 7}, {bytes + 7, size < 7 ? 0 : size - 7}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = size == 0 ? 0 : 2;
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  Print(what, recvmsg(fd, &message, flags));
  printf(" flags=%x namelen=%u family=%u from=%u groups=%x",
         static_cast<unsigned>(message.msg_flags), message.msg_namelen, from.nl_family, from.nl_pid,
         from.nl_groups);
  printf(" type=%x nlflags=%x seq=%u", answer.header.nlmsg_type, answer.header.nlmsg_flags,
         answer.header.nlmsg_seq);
  PrintPort("nlpid", answer.header.nlmsg_pid);
  printf("\n");
}

void Refusal() {
  const int fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_XFRM);
  Request request(kUnknownType);
  Print("write", write(fd, &request, sizeof request));
  printf("\n");
  PrintOwn(fd);
  PrintReceived("size", fd, 0, MSG_PEEK | MSG_TRUNC);
  PrintReceived("peek", fd, 400, MSG_PEEK);
  PrintReceived("peek part", fd, 20, MSG_PEEK);
  PrintReceived("peek little", fd, 3, MSG_PEEK);
  PrintReceived("trunc", fd, 20, MSG_TRUNC);
  PrintReceived("none", fd, 400, MSG_DONTWAIT);
  const sockaddr_nl stranger = NetlinkAddress(0x777777, 0);
  Print("to nobody", sendto(fd, &request, sizeof request, 0,
                            reinterpret_cast<const sockaddr*>(&stranger), sizeof stranger));
  Print("\nout of band", send(fd, &request, sizeof request, MSG_OOB));
  Print("\nshort address",
        sendto(fd, &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&stranger), 6));
  Print("\nunknown option", setsockopt(fd, SOL_NETLINK, 99, &request, 4));
  Print("\nget unknown", getsockopt(fd, SOL_NETLINK, 99, &request, nullptr));
  printf("\n");
}

// A policy that blocks everything needs no algorithm: any kernel accepts it and notifies group 4.
void Event() {
  const int events = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
  Print("bind", BindTo(events, 0, 0xff));
  const int requests = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
  struct {
    nlmsghdr header;
    xfrm_userpolicy_info policy;
  } request{};
  request.header = Request(kNewPolicy).header;
  request.header.nlmsg_len = sizeof request;
  request.policy.sel.family = AF_INET;
  request.policy.action = 1;
  Print("\nsend", send(requests, &request, sizeof request, 0));
  printf("\n");
  PrintReceived("acknowledgement", requests, 400, MSG_DONTWAIT);
  Answer answer{};
  iovec buffer{&answer, 7};
  sockaddr_nl from{};
  msghdr message{};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  Print("event", recvmsg(events, &message, MSG_DONTWAIT) > 0 ? 1 : -1);
  printf(" flags=%x type=%x groups=%x from=%u nlflags=%x\n",
         static_cast<unsigned>(message.msg_flags), answer.header.nlmsg_type, from.nl_groups,
         from.nl_pid, answer.header.nlmsg_flags);
}

void Native() {
  Binding();
  Refusal();
  Event();
}

}  // namespace

const Scenario kNativeScenarios[] = {{"native", Native}, {nullptr, nullptr}};

}  // namespace cygnet::shim
