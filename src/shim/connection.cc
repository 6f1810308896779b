// Connecting to cygnetd, lock-step, and the control messages of unix_transport.h.
#include "shim/connection.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <time.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

#include "netlink/unix_transport.h"
#include "shim/connection_parts.h"
#include "shim/real_calls.h"

namespace cygnet::shim {
namespace {

constexpr char kRefusing[] = "; refusing to talk to the kernel's XFRM instead\n";

void SayOnce(const char* cause, const char* detail) {
  static constinit std::atomic<bool> said{false};
  if (said.exchange(true)) {
    return;
  }
  char line[256];
  const int length = snprintf(line, sizeof line, "cygnet: %s%s%s", cause, detail, kRefusing);
  if (length > 0) {
    const size_t bytes = static_cast<size_t>(length);
    real::write(2, line, bytes < sizeof line ? bytes : sizeof line - 1);
  }
}

// Whoever listens gets the keys of the IKE daemon, and any user may take an abstract name that is
// free: the listener must be root or ourselves. Unix sockets report the user who called listen().
bool PeerIsTrusted(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return real::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}

template <typename Payload>
bool SendControl(int fd, uint16_t type, const Payload& payload) {
  struct {
    nlmsghdr header;
    Payload payload;
  } message{{.nlmsg_len = sizeof message,
             .nlmsg_type = type,
             .nlmsg_flags = NLM_F_REQUEST,
             .nlmsg_seq = 0,
             .nlmsg_pid = 0},
            payload};
  return real::send(fd, &message, sizeof message, MSG_NOSIGNAL) == ssize_t{sizeof message};
}

transport::BindPayload BindPayloadOf(const XfrmSocket& socket) {
  return {.port_id = socket.state.port_id.load(), .groups = socket.state.groups.load()};
}

bool IsHungUp(int fd) {
  pollfd entry{.fd = fd, .events = 0, .revents = 0};
  return real::poll(&entry, nfds_t{1}, 0) > 0 && entry.revents != 0;
}

}  // namespace

int64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int ConnectToDaemon(ConnectMode mode) {
  const int flags = mode == ConnectMode::kTry ? SOCK_CLOEXEC | SOCK_NONBLOCK : SOCK_CLOEXEC;
  const int fd = real::socket(AF_UNIX, SOCK_SEQPACKET | flags, 0);
  if (fd < 0) {
    return -1;
  }
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  real::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t{sizeof patience});
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  constexpr std::string_view kName = transport::kXfrmSocketName;
  static_assert(kName.size() + 1 <= sizeof address.sun_path);
  memcpy(address.sun_path + 1, kName.data(), kName.size());
  constexpr socklen_t kLength = offsetof(sockaddr_un, sun_path) + 1 + kName.size();
  int error = 0;
  if (real::connect(fd, reinterpret_cast<const sockaddr*>(&address), kLength) != 0) {
    error = errno;
  } else if (!PeerIsTrusted(fd)) {
    error = EPERM;
  }
  if (error != 0) {
    real::close(fd);
    return Fail(error);
  }
  const timeval forever{};
  real::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &forever, socklen_t{sizeof forever});
  return fd;
}

int OpenXfrmSocket(int type) {
  const ErrnoKeeper keeper;
  const int fd = ConnectToDaemon(ConnectMode::kWait);
  if (fd < 0) {
    const int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOMEM) {
      return Fail(error);
    }
    if (error == ECONNREFUSED) {
      SayOnce("no cygnetd in this network namespace", "");
    } else if (error == EPERM) {
      SayOnce("what listens in cygnetd's place belongs to another user", "");
    } else {
      SayOnce("cygnetd does not take connections: ", strerrordesc_np(error));
    }
    return Fail(ECONNREFUSED);
  }
  if ((type & SOCK_CLOEXEC) == 0) {
    real::fcntl(fd, F_SETFD, 0);
  }
  if ((type & SOCK_NONBLOCK) != 0) {
    real::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  if (!AddSocket(fd, type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))) {
    real::close(fd);
    return Fail(EMFILE);
  }
  keeper.Restore();
  return fd;
}

bool SendState(const XfrmSocket& socket, int fd) {
  const uint32_t options = socket.state.options.load();
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_NO_ENOBUFS}) {
    const transport::OptionPayload payload{.option = option, .value = 1};
    if ((options & 1U << option) != 0 && !SendControl(fd, transport::kOption, payload)) {
      return false;
    }
  }
  const transport::BindPayload bind = BindPayloadOf(socket);
  return (bind.port_id == 0 && bind.groups == 0) || SendControl(fd, transport::kBind, bind);
}

void Announce(XfrmSocket& socket, int fd) {
  const uint32_t generation = socket.state.generation.load();
  bool sent = false;
  {
    const Lock lock(socket.mutex);
    const transport::BindPayload bind = BindPayloadOf(socket);
    sent = SendControl(fd, transport::kBind, bind);
    socket.state.announced.store(sent && bind.port_id != 0);
  }
  if (!sent || !WaitConsumed(fd)) {
    Recover(socket, generation, Loss::kReset, Caller::kSend);
  }
}

void AnnounceOption(XfrmSocket& socket, int fd, int option, int value) {
  const uint32_t generation = socket.state.generation.load();
  const transport::OptionPayload payload{.option = option, .value = value};
  if (!SendControl(fd, transport::kOption, payload) || !WaitConsumed(fd)) {
    Recover(socket, generation, Loss::kReset, Caller::kSend);
  }
}

void EnsureBound(XfrmSocket& socket, int fd) {
  if (socket.state.announced.load()) {
    return;
  }
  ClaimPortId(socket, 0);
  Announce(socket, fd);
}

bool WaitConsumed(int fd) {
  constexpr int kYields = 64;
  for (int round = 0;; ++round) {
    int unread_bytes = 0;
    if (real::ioctl(fd, size_t{SIOCOUTQ}, &unread_bytes) != 0 || unread_bytes == 0) {
      break;
    }
    if (round < kYields) {
      sched_yield();
      continue;
    }
    if (IsHungUp(fd)) {
      break;
    }
    const timespec pause{.tv_sec = 0, .tv_nsec = 20'000};
    nanosleep(&pause, nullptr);
  }
  if (!IsHungUp(fd)) {
    return true;
  }
  // The kernel notes ECONNRESET on our side if the daemon's end closed with datagrams unread.
  int error = 0;
  socklen_t size = sizeof error;
  real::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0;
}

}  // namespace cygnet::shim
