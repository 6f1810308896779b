#include "shim/port_mark.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>

#include "netlink/tunnel_mark.h"
#include "shim/real_calls.h"

namespace cygnet::shim {
namespace {

constexpr std::string_view kMarkWord = "cygnet";

struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr name_header;
  char name[IFNAMSIZ];
};

bool HasWord(std::string_view text, std::string_view word) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (text.substr(0, end) == word) {
      return true;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

// The text after "driver=", cut to the size of ethtool's field.
void ReadDriver(std::string_view alias, PortMark* mark) {
  constexpr std::string_view kKey = " driver=";
  const size_t at = alias.find(kKey);
  if (at == std::string_view::npos) {
    return;
  }
  alias.remove_prefix(at + kKey.size());
  const size_t length = std::min(alias.find(' '), alias.size());
  memcpy(mark->driver, alias.data(), std::min(length, sizeof mark->driver - 1));
}

PortMark MarkIn(std::string_view alias, int ifindex) {
  PortMark mark;
  while (!alias.empty() && alias.back() == '\0') {
    alias.remove_suffix(1);
  }
  if (alias.substr(0, alias.find(' ')) != kMarkWord) {
    return mark;
  }
  mark.ifindex = ifindex;
  for (size_t i = 0; i < kFeatureCount; ++i) {
    mark.features |= HasWord(alias, kFeatures[i]) ? 1U << i : 0U;
  }
  ReadDriver(alias, &mark);
  return mark;
}

// The text of IFLA_IFALIAS in an RTM_NEWLINK message; empty if absent.
std::string_view FindAlias(const char* message, size_t bytes) {
  nlmsghdr header{};
  memcpy(&header, message, sizeof header);
  if (header.nlmsg_type != RTM_NEWLINK) {
    return {};
  }
  const size_t end = std::min(bytes, size_t{header.nlmsg_len});
  size_t offset = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(ifinfomsg));
  while (offset + sizeof(rtattr) <= end) {
    rtattr attribute{};
    memcpy(&attribute, message + offset, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > end - offset) {
      return {};
    }
    if (attribute.rta_type == IFLA_IFALIAS) {
      return {message + offset + sizeof attribute, attribute.rta_len - sizeof attribute};
    }
    offset += RTA_ALIGN(attribute.rta_len);
  }
  return {};
}

// Of an RTM_NEWLINK message.
int IfindexIn(const char* message) {
  ifinfomsg link{};
  memcpy(&link, message + NLMSG_HDRLEN, sizeof link);
  return link.ifi_index;
}

// What the kernel says of an interface. `bytes`: 0 if it says nothing.
struct LinkReply {
  size_t bytes = 0;
  char message[8192];
};

void AskForLink(int ifindex, const char* name, LinkReply* out) {
  const int fd = real::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) {
    return;
  }
  LinkRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.name_header.rta_len = sizeof request.name_header + IFNAMSIZ;
  request.name_header.rta_type = IFLA_IFNAME;
  request.link.ifi_index = ifindex;
  memcpy(request.name, name, strnlen(name, IFNAMSIZ - 1));
  if (ifindex != 0) {
    request.header.nlmsg_len = offsetof(LinkRequest, name_header);
  }
  ssize_t bytes = real::send(fd, &request, size_t{request.header.nlmsg_len}, 0);
  if (bytes > 0) {
    bytes = real::recv(fd, out->message, sizeof out->message, MSG_DONTWAIT);
  }
  real::close(fd);
  out->bytes = bytes < ssize_t{NLMSG_LENGTH(sizeof(ifinfomsg))} ? 0 : static_cast<size_t>(bytes);
}

}  // namespace

PortMark MarkOfPort(const char* name) {
  LinkReply reply;
  AskForLink(0, name, &reply);
  return reply.bytes == 0 ? PortMark{}
                          : MarkIn(FindAlias(reply.message, reply.bytes), IfindexIn(reply.message));
}

bool IsTunnel(int ifindex, const char* name) {
  const ErrnoKeeper keeper;
  LinkReply reply;
  AskForLink(ifindex, name, &reply);
  keeper.Restore();
  TunnelMark mark;
  return reply.bytes != 0 && ParseTunnelMark(FindAlias(reply.message, reply.bytes), &mark);
}

}  // namespace cygnet::shim
