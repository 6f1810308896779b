// Receives with the semantics of netlink: the sender's address, the multicast group, ENOBUFS for
// lost events, and no end of file. The real descriptor provides blocking, O_NONBLOCK and
// SO_RCVTIMEO.
#include <fcntl.h>
#include <linux/netlink.h>
#include <time.h>

#include "netlink/unix_transport.h"
#include "shim/connection.h"
#include "shim/datagram.h"
#include "shim/real_calls.h"
#include "shim/transfer.h"

namespace cygnet::shim {
namespace {

// The part of a datagram that is needed to present it: up to nlmsg_flags.
struct Prefix {
  uint32_t length = 0;
  uint16_t type = 0;
  uint16_t flags = 0;
};
static_assert(sizeof(Prefix) == offsetof(nlmsghdr, nlmsg_seq));

struct Received {
  ssize_t length = -1;  // result of recvmsg()
  bool ended = false;   // end of file
  Prefix prefix;
};

// A peek into buffers that are too small for the header (iproute2 queries the size without a
// buffer) looks into one of ours.
Received Peek(int fd, msghdr& message, size_t capacity, int flags) {
  Received received;
  iovec own{.iov_base = &received.prefix, .iov_len = sizeof(Prefix)};
  msghdr look = message;
  look.msg_iov = &own;
  look.msg_iovlen = 1;
  const ssize_t whole = real::recvmsg(fd, &look, flags | MSG_TRUNC);
  received.length = whole;
  received.ended = whole == 0;
  if (whole <= 0) {
    return received;
  }
  const size_t shown = std::min(capacity, static_cast<size_t>(whole));
  CopyIn(message, 0, &received.prefix, std::min(shown, sizeof(Prefix)));
  message.msg_controllen = look.msg_controllen;
  message.msg_flags = look.msg_flags & ~MSG_TRUNC;
  if (shown < static_cast<size_t>(whole)) {
    message.msg_flags |= MSG_TRUNC;
  }
  received.length = (flags & MSG_TRUNC) != 0 ? whole : static_cast<ssize_t>(shown);
  return received;
}

// The client's buffers may be too small for the header. Then the queue is peeked first. If another
// thread receives the datagram in between, the real call still returns the next one, at worst with
// the group of the wrong datagram.
Received ReceiveOnce(int fd, msghdr& message, int flags) {
  const size_t capacity = Capacity(message);
  Received received;
  if (capacity < sizeof(Prefix)) {
    msghdr nothing{};
    const int wait = flags & (MSG_DONTWAIT | MSG_WAITALL);
    received = (flags & MSG_PEEK) != 0 ? Peek(fd, message, capacity, flags)
                                       : Peek(fd, nothing, 0, wait | MSG_PEEK | MSG_TRUNC);
    if ((flags & MSG_PEEK) == 0 && received.length > 0) {
      received.length = real::recvmsg(fd, &message, flags);
    }
    return received;
  }
  received.length = real::recvmsg(fd, &message, flags);
  received.ended = received.length == 0;
  if (received.length >= ssize_t{sizeof(Prefix)}) {
    CopyOut(message, 0, &received.prefix, sizeof(Prefix));
  }
  return received;
}

uint32_t GroupsOf(uint16_t flags) {
  const unsigned group = flags >> transport::kGroupShift;
  return group == 0 ? 0 : 1U << (group - 1);
}

// Clears the group in the client's copy of nlmsg_flags, if its buffer contains it.
void HideGroup(const msghdr& message, const Prefix& prefix, size_t bytes) {
  const auto flags = static_cast<uint16_t>(prefix.flags & ~transport::kGroupMask);
  constexpr size_t kOffset = offsetof(Prefix, flags);
  if (flags != prefix.flags && bytes > kOffset) {
    CopyIn(message, kOffset, &flags, std::min(bytes - kOffset, sizeof flags));
  }
}

bool EndsDump(const msghdr& message, size_t bytes) {
  nlmsghdr header{};
  for (size_t offset = 0; offset + sizeof header <= bytes;) {
    CopyOut(message, offset, &header, sizeof header);
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      return true;
    }
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes - offset) {
      return false;
    }
    offset += NLMSG_ALIGN(header.nlmsg_len);
  }
  return false;
}

// Converts what was received into `message` to what netlink would return.
void Present(XfrmSocket& socket, const Received& received, int flags, msghdr& message) {
  const size_t bytes = std::min(static_cast<size_t>(received.length), Capacity(message));
  HideGroup(message, received.prefix, bytes);
  if (received.prefix.type != NLMSG_ERROR) {
    socket.state.plain.store(false);
  }
  if (message.msg_name != nullptr) {
    StoreAddress(0, GroupsOf(received.prefix.flags), message.msg_name, &message.msg_namelen);
  }
  if ((flags & MSG_PEEK) == 0 && socket.state.dump_open.load() && EndsDump(message, bytes)) {
    socket.state.dump_open.store(false);
  }
}

bool IsNonblocking(int fd, int flags) {
  return (flags & MSG_DONTWAIT) != 0 || (real::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

bool IsLostConnection(int error) {
  return error == ECONNRESET || error == EPIPE || error == ENOTCONN || error == ECONNREFUSED;
}

// Applies SO_RCVTIMEO across replacements of the connection.
class Deadline {
 public:
  explicit Deadline(int64_t timeout_us)
      : at_ns_(timeout_us == 0 ? 0 : MonotonicNs() + timeout_us * 1000) {}
  bool HasPassed() const { return at_ns_ != 0 && MonotonicNs() >= at_ns_; }

 private:
  int64_t at_ns_;
};

enum class Next { kTryAgain, kGiveUp };

// The connection is gone or was a placeholder. Sets errno with kGiveUp.
Next AfterLoss(XfrmSocket& socket, int fd, int flags, uint32_t generation, Loss loss) {
  Recover(socket, generation, loss, Caller::kReceive);
  if (socket.state.loss_pending.load()) {
    return Next::kTryAgain;  // reported there
  }
  if (IsNonblocking(fd, flags)) {
    errno = EAGAIN;
    return Next::kGiveUp;
  }
  return Next::kTryAgain;
}

// Behaves like a receive on an empty socket, and ends when it is time to look for the daemon.
void WaitOnPlaceholder(int fd, int flags) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  real::poll(&entry, nfds_t{1}, IsNonblocking(fd, flags) ? 0 : kRetryIntervalMs);
  WindPlaceholder(fd);
}

// The mark of lost events is never shown to the client: a peek that finds it removes it.
int ReportOverrun(int fd, int flags) {
  Prefix dropped;
  if ((flags & MSG_PEEK) != 0) {
    real::recv(fd, &dropped, sizeof dropped, MSG_DONTWAIT);
  }
  return Fail(ENOBUFS);
}

}  // namespace

ssize_t Receive(XfrmSocket& socket, int fd, msghdr& message, int flags) {
  const ErrnoKeeper keeper;
  if ((flags & MSG_OOB) != 0) {
    return Fail(EOPNOTSUPP);
  }
  const Deadline deadline(socket.state.receive_timeout_us.load());
  for (;;) {
    if (socket.state.loss_pending.load() && socket.state.loss_pending.exchange(false)) {
      return Fail(ENOBUFS);
    }
    const uint32_t generation = socket.state.generation.load();
    const bool connected = socket.state.connected.load();
    if (connected && socket.state.dump_open.load()) {
      AnnounceRoom(socket, fd, Capacity(message));
    }
    msghdr attempt = message;
    attempt.msg_name = nullptr;
    attempt.msg_namelen = 0;
    const Received received = ReceiveOnce(fd, attempt, flags);
    if (received.length >= 0 && !received.ended) {
      if (received.prefix.type == transport::kOverrun) {
        return ReportOverrun(fd, flags);
      }
      message.msg_controllen = attempt.msg_controllen;
      message.msg_flags = attempt.msg_flags;
      Present(socket, received, flags, message);
      keeper.Restore();
      return received.length;
    }
    const bool placeholder = !received.ended && errno == ENOTSOCK;
    if (placeholder) {
      WaitOnPlaceholder(fd, flags);
    }
    const bool timed_out = placeholder || (!received.ended && errno == EAGAIN);
    if (!received.ended && !timed_out && !IsLostConnection(errno)) {
      return -1;
    }
    if (timed_out && connected && socket.state.generation.load() == generation) {
      return -1;
    }
    const Loss loss = timed_out ? Loss::kIdle : received.ended ? Loss::kClosed : Loss::kReset;
    if (AfterLoss(socket, fd, flags, generation, loss) == Next::kGiveUp) {
      return -1;
    }
    if (deadline.HasPassed()) {
      return Fail(EAGAIN);
    }
  }
}

}  // namespace cygnet::shim
