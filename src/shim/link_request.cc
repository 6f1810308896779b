#include "shim/link_request.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "netlink/unix_transport.h"
#include "shim/connection_parts.h"
#include "shim/datagram.h"
#include "shim/port_mark.h"
#include "shim/real_calls.h"

namespace cygnet::shim {
namespace {

constexpr size_t kFixed = sizeof(nlmsghdr) + sizeof(ifinfomsg);

struct Range {
  const uint8_t* begin = nullptr;
  size_t size = 0;
};

// The payload of the last attribute of that type, as the kernel reads them; empty if absent.
Range Find(const Range& range, uint16_t wanted) {
  Range found;
  size_t offset = 0;
  while (offset <= range.size && range.size - offset >= sizeof(nlattr)) {
    nlattr header{};
    memcpy(&header, range.begin + offset, sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > range.size - offset) {
      break;
    }
    if ((header.nla_type & NLA_TYPE_MASK) == wanted) {
      found = {range.begin + offset + sizeof header, header.nla_len - sizeof header};
    }
    offset += Align(header.nla_len);
  }
  return found;
}

std::string_view TextOf(const Range& range) {
  const auto* text = reinterpret_cast<const char*>(range.begin);
  return {text, range.size != 0 ? strnlen(text, range.size) : 0};
}

Range AttributesOf(const uint8_t* bytes, size_t size) {
  return size < kFixed ? Range{} : Range{bytes + kFixed, size - kFixed};
}

Range KindIn(const uint8_t* bytes, size_t size) {
  return Find(Find(AttributesOf(bytes, size), IFLA_LINKINFO), IFLA_INFO_KIND);
}

bool IsDeletedTunnel(const uint8_t* bytes, size_t size) {
  ifinfomsg link{};
  memcpy(&link, bytes + NLMSG_HDRLEN, sizeof link);
  if (link.ifi_index > 0) {
    return IsTunnel(link.ifi_index, "");
  }
  const Range attributes = AttributesOf(bytes, size);
  for (const uint16_t type : {uint16_t{IFLA_IFNAME}, uint16_t{IFLA_ALT_IFNAME}}) {
    const std::string_view name = TextOf(Find(attributes, type));
    char copy[IFNAMSIZ] = {};
    if (!name.empty() && name.size() < sizeof copy) {
      memcpy(copy, name.data(), name.size());
      return IsTunnel(0, copy);
    }
  }
  return false;
}

// --- The daemon ---

struct Head {
  nlmsghdr extended;
  transport::OptionPayload extended_value;
  nlmsghdr capped;
  transport::OptionPayload capped_value;
  nlmsghdr link;
};

Head HeadFor(size_t size) {
  constexpr nlmsghdr kOption{.nlmsg_len = sizeof(nlmsghdr) + sizeof(transport::OptionPayload),
                             .nlmsg_type = transport::kOption,
                             .nlmsg_flags = NLM_F_REQUEST,
                             .nlmsg_seq = 0,
                             .nlmsg_pid = 0};
  return {.extended = kOption,
          .extended_value = {.option = NETLINK_EXT_ACK, .value = 1},
          .capped = kOption,
          .capped_value = {.option = NETLINK_CAP_ACK, .value = 1},
          .link = {.nlmsg_len = static_cast<uint32_t>(sizeof(nlmsghdr) + size),
                   .nlmsg_type = transport::kLink,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                   .nlmsg_seq = 0,
                   .nlmsg_pid = 0}};
}

void Say(LinkAnswer& answer, int error, std::string_view text) {
  answer.error = error;
  memcpy(answer.text, text.data(), std::min(text.size(), sizeof answer.text - 1));
}

void ReadAnswer(int fd, LinkAnswer& answer) {
  uint8_t bytes[1024];
  ssize_t size = 0;
  do {
    size = real::recv(fd, bytes, sizeof bytes, 0);
  } while (size < 0 && errno == EINTR);
  constexpr size_t kErrorFixed = sizeof(nlmsghdr) + sizeof(nlmsgerr);
  nlmsghdr header{};
  if (size < ssize_t{kErrorFixed}) {
    return Say(answer, ECONNREFUSED, "cygnetd did not answer: see ip link for what it did");
  }
  memcpy(&header, bytes, sizeof header);
  if (header.nlmsg_type != NLMSG_ERROR) {
    return Say(answer, EPROTO, "cygnetd and this shim are of different versions");
  }
  int error = 0;
  memcpy(&error, bytes + sizeof header, sizeof error);
  const Range text =
      Find({bytes + kErrorFixed, static_cast<size_t>(size) - kErrorFixed}, NLMSGERR_ATTR_MSG);
  Say(answer, std::clamp(-error, 0, 4095), TextOf(text));
}

}  // namespace

RequestFor ReceiverOf(const uint8_t* bytes, size_t size) {
  nlmsghdr header{};
  if (size < kFixed) {
    return RequestFor::kKernel;
  }
  memcpy(&header, bytes, sizeof header);
  if ((header.nlmsg_flags & NLM_F_REQUEST) == 0) {
    return RequestFor::kKernel;
  }
  switch (header.nlmsg_type) {
    case RTM_NEWLINK: {
      const std::string_view kind = TextOf(KindIn(bytes, size));
      const bool ours = kind == "xfrm" || kind == "vti" || kind == "vti6";
      return ours ? RequestFor::kDaemon : RequestFor::kKernel;
    }
    case RTM_DELLINK:
      return IsDeletedTunnel(bytes, size) ? RequestFor::kDaemon : RequestFor::kKernel;
    case RTM_GETLINK: {
      const bool lists = (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
      return lists && TextOf(KindIn(bytes, size)) == "xfrm" ? RequestFor::kKernelUnkind
                                                            : RequestFor::kKernel;
    }
    default:
      return RequestFor::kKernel;
  }
}

void ListAllKinds(uint8_t* bytes, size_t size) {
  const Range kind = KindIn(bytes, size);
  memcpy(bytes + (kind.begin - bytes), "cyg-", 4);
}

LinkAnswer AskDaemon(const uint8_t* bytes, size_t size) {
  LinkAnswer answer;
  const rendezvous::Meeting meeting = ConnectToDaemon(ConnectMode::kWait);
  if (meeting.outcome != rendezvous::Outcome::kMet) {
    const bool refused = meeting.outcome == rendezvous::Outcome::kNotPermitted;
    Say(answer, refused ? EPERM : ECONNREFUSED, rendezvous::Explain(meeting.outcome));
    return answer;
  }
  answer.from = LinkAnswer::From::kDaemon;
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  real::setsockopt(meeting.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t{sizeof patience});
  Head head = HeadFor(size);
  iovec parts[2] = {{&head, sizeof head}, {const_cast<uint8_t*>(bytes), size}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (real::sendmsg(meeting.fd, &message, MSG_NOSIGNAL) < 0) {
    Say(answer, errno == EMSGSIZE ? EMSGSIZE : ECONNREFUSED, "cannot pass it on to cygnetd");
  } else {
    ReadAnswer(meeting.fd, answer);
  }
  real::close(meeting.fd);
  return answer;
}

}  // namespace cygnet::shim
