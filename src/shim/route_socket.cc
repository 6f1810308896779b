#include "shim/route_socket.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "shim/datagram.h"
#include "shim/link_request.h"
#include "shim/real_calls.h"
#include "shim/route_answer.h"

namespace cygnet::shim {

constinit std::array<std::atomic<uint64_t>, kMaxRouteFd / 64> g_route{};

namespace {

bool HasOption(int fd, int level, int name, int wanted) {
  int value = 0;
  socklen_t size = sizeof value;
  return real::getsockopt(fd, level, name, static_cast<void*>(&value), &size) == 0 &&
         value == wanted;
}

// The number may have been closed and reused in ways that the shim does not see.
bool IsRoute(int fd) {
  const ErrnoKeeper keeper;
  const bool is = HasOption(fd, SOL_SOCKET, SO_DOMAIN, AF_NETLINK) &&
                  HasOption(fd, SOL_SOCKET, SO_PROTOCOL, NETLINK_ROUTE);
  if (!is) {
    NoteRoute(fd, Route::kNo);
  }
  keeper.Restore();
  return is;
}

// A copy of a datagram, as one piece.
class Copy {
 public:
  explicit Copy(const msghdr& message)
      : size_(Capacity(message)),
        bytes_(static_cast<uint8_t*>(malloc(std::max<size_t>(size_, 1)))) {
    if (bytes_ != nullptr) {
      CopyOut(message, 0, bytes_, size_);
    }
  }
  ~Copy() { free(bytes_); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  uint8_t* bytes() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  uint8_t* bytes_;
};

bool IsForKernel(const msghdr& message) {
  sockaddr_nl to{};
  if (message.msg_name == nullptr || message.msg_namelen < sizeof to) {
    return true;
  }
  memcpy(&to, message.msg_name, sizeof to);
  return to.nl_pid == 0 && to.nl_groups == 0;
}

// Calls visit(header, offset, size with padding) for each whole message, until it returns false.
template <typename Read, typename Visitor>
void ForEachMessage(size_t total, Read read, Visitor visit) {
  nlmsghdr header{};
  for (size_t offset = 0; total - offset >= sizeof header;) {
    read(offset, &header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > total - offset) {
      return;
    }
    const size_t padded = std::min(Align(header.nlmsg_len), total - offset);
    if (!visit(header, offset, padded)) {
      return;
    }
    offset += padded;
  }
}

// Without a copy: whether a message could concern a tunnel interface.
bool MayConcernTunnels(const msghdr& message) {
  bool may = false;
  ForEachMessage(
      Capacity(message),
      [&](size_t offset, nlmsghdr* header) { CopyOut(message, offset, header, sizeof *header); },
      [&](const nlmsghdr& header, size_t, size_t) {
        const bool lists = (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
        may = header.nlmsg_type == RTM_NEWLINK || header.nlmsg_type == RTM_DELLINK ||
              (header.nlmsg_type == RTM_GETLINK && lists);
        return !may;
      });
  return may;
}

template <typename Visitor>
void ForEachMessage(const Copy& copy, Visitor visit) {
  ForEachMessage(
      copy.size(),
      [&](size_t offset, nlmsghdr* header) {
        memcpy(header, copy.bytes() + offset, sizeof *header);
      },
      visit);
}

// One datagram of the program's, sent in parts. Errors stop it.
class Parts {
 public:
  Parts(int fd, const msghdr& message, int flags, const Copy& copy)
      : fd_(fd), message_(message), flags_(flags), copy_(copy) {}

  bool Handle(const nlmsghdr& header, size_t offset, size_t padded) {
    uint8_t* const bytes = copy_.bytes() + offset;
    const RequestFor receiver = ReceiverOf(bytes, header.nlmsg_len);
    if (receiver == RequestFor::kKernelUnkind) {
      ListAllKinds(bytes, header.nlmsg_len);
    }
    if (receiver != RequestFor::kDaemon) {
      return true;
    }
    const LinkAnswer answer = AskDaemon(bytes, header.nlmsg_len);
    // An interface that no daemon knows is the kernel's alone.
    if (header.nlmsg_type == RTM_DELLINK &&
        (answer.error == ECONNREFUSED || answer.error == ENODEV)) {
      return true;
    }
    if (!SendUpTo(offset)) {
      return false;
    }
    sent_ = offset + padded;
    return answer.error == 0 ? Acknowledge(header) : Refuse(header, answer);
  }
  bool Finish() { return SendUpTo(copy_.size()); }

 private:
  // What comes before `end` is for the kernel.
  bool SendUpTo(size_t end) {
    const size_t begin = sent_;
    sent_ = end;
    return end == begin || Send(copy_.bytes() + begin, end - begin);
  }
  bool Send(const void* bytes, size_t size) const {
    iovec buffer{.iov_base = const_cast<void*>(bytes), .iov_len = size};
    msghdr part = message_;
    part.msg_iov = &buffer;
    part.msg_iovlen = 1;
    return real::sendmsg(fd_, &part, flags_) >= 0;
  }
  // The kernel acknowledges a message that asks for nothing else.
  bool Acknowledge(const nlmsghdr& header) const {
    const nlmsghdr nothing{.nlmsg_len = sizeof nothing,
                           .nlmsg_type = NLMSG_NOOP,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                           .nlmsg_seq = header.nlmsg_seq,
                           .nlmsg_pid = header.nlmsg_pid};
    return (header.nlmsg_flags & NLM_F_ACK) == 0 || Send(&nothing, sizeof nothing);
  }
  bool Refuse(const nlmsghdr& header, const LinkAnswer& answer) const {
    const Refusal refusal = MakeRefusal(header, answer.error, answer.text);
    return Send(&refusal, refusal.header.nlmsg_len);
  }

  const int fd_;
  const msghdr& message_;
  const int flags_;
  const Copy& copy_;
  size_t sent_ = 0;
};

}  // namespace

void NoteRoute(int fd, Route route) {
  const auto number = static_cast<unsigned>(fd);
  if (number >= kMaxRouteFd || MayBeRoute(fd) == (route == Route::kYes)) {
    return;
  }
  const uint64_t bit = uint64_t{1} << (number % 64);
  if (route == Route::kYes) {
    g_route[number / 64].fetch_or(bit);
  } else {
    g_route[number / 64].fetch_and(~bit);
  }
}

void CopyRoute(int from, int to) {
  if (to >= 0) {
    NoteRoute(to, MayBeRoute(from) ? Route::kYes : Route::kNo);
  }
}

bool SendRoute(int fd, const msghdr& message, int flags, ssize_t* result) {
  if (!IsForKernel(message) || !MayConcernTunnels(message) || !IsRoute(fd)) {
    return false;
  }
  const ErrnoKeeper keeper;
  const Copy copy(message);
  if (copy.bytes() == nullptr) {
    *result = Fail(ENOBUFS);
    return true;
  }
  bool concerns = false;
  ForEachMessage(copy, [&](const nlmsghdr& header, size_t offset, size_t) {
    concerns = ReceiverOf(copy.bytes() + offset, header.nlmsg_len) != RequestFor::kKernel;
    return !concerns;
  });
  if (!concerns) {
    keeper.Restore();
    return false;
  }
  Parts parts(fd, message, flags, copy);
  bool going = true;
  ForEachMessage(copy, [&](const nlmsghdr& header, size_t offset, size_t padded) {
    going = parts.Handle(header, offset, padded);
    return going;
  });
  if (!going || !parts.Finish()) {
    *result = -1;
    return true;
  }
  *result = static_cast<ssize_t>(copy.size());
  keeper.Restore();
  return true;
}

void ShowReceived(int fd, const msghdr& message, ssize_t result) {
  const size_t bytes = std::min(static_cast<size_t>(result), Capacity(message));
  if (bytes < sizeof(nlmsghdr) || !IsRoute(fd)) {
    return;
  }
  const ErrnoKeeper keeper;
  const bool extended = HasOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  const AnswerForm form = extended ? AnswerForm::kExtended : AnswerForm::kPlain;
  if (message.msg_iovlen == 1) {
    ShowAnswers(static_cast<uint8_t*>(message.msg_iov[0].iov_base), bytes, form);
  } else if (const Copy copy(message); copy.bytes() != nullptr) {
    ShowAnswers(copy.bytes(), bytes, form);
    CopyIn(message, 0, copy.bytes(), bytes);
  }
  keeper.Restore();
}

}  // namespace cygnet::shim
