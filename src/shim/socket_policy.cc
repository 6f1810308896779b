#include "shim/socket_policy.h"

#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/time.h>

#include <cstdlib>
#include <cstring>

#include "netlink/unix_transport.h"
#include "shim/connection_parts.h"
#include "shim/real_calls.h"
#include "shim/socket_table.h"

namespace cygnet::shim {

constinit std::array<std::atomic<uint64_t>, kMaxWaitingFd / 64> g_waiting{};

namespace {

constexpr socklen_t kMaxValueBytes = 4096;  // a page, as in the kernel

// The properties of a socket that the daemon gets.
struct Identity {
  uint64_t cookie = 0;
  uint16_t family = 0;
  uint16_t protocol = 0;
};

// By direction: in, out.
struct Kept {
  Identity socket;
  int fd = -1;  // on which it was set
  std::array<bool, 2> has{};
  std::array<xfrm_userpolicy_info, 2> policies{};
};

constinit Mutex g_mutex;  // for the following data; no other lock is taken inside
constinit Kept* g_kept = nullptr;
constinit size_t g_capacity = 0;
constinit std::atomic<size_t> g_count{0};
constinit std::atomic<bool> g_watches_fork{false};

void WatchFork() {
  if (!g_watches_fork.exchange(true)) {
    pthread_atfork([] { g_mutex.lock(); }, [] { g_mutex.unlock(); }, [] { g_mutex.Reset(); });
  }
}

void SetWaiting(int fd, bool waits) {
  const auto number = static_cast<unsigned>(fd);
  if (number >= kMaxWaitingFd) {
    return;  // the daemon detects its port within a second
  }
  const uint64_t bit = uint64_t{1} << (number % 64);
  if (waits) {
    g_waiting[number / 64].fetch_or(bit);
  } else {
    g_waiting[number / 64].fetch_and(~bit);
  }
}

bool ReadInt(int fd, int name, int& value) {
  socklen_t size = sizeof value;
  return real::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0;
}

uint64_t CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return real::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

bool Identify(int fd, Identity& identity) {
  int family = 0;
  int protocol = 0;
  if (!ReadInt(fd, SO_DOMAIN, family) || !ReadInt(fd, SO_PROTOCOL, protocol)) {
    return false;
  }
  identity = {.cookie = CookieOf(fd),
              .family = static_cast<uint16_t>(family),
              .protocol = static_cast<uint16_t>(protocol)};
  return identity.cookie != 0;
}

// 0: no port yet.
uint16_t PortOf(int fd) {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (real::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return 0;
  }
  if (own.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(&own)->sin_port);
  }
  return own.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6*>(&own)->sin6_port)
                                   : 0;
}

// --- State ---

// REQUIRES: g_mutex held.
Kept* FindLocked(uint64_t cookie) {
  for (size_t i = 0; i < g_count.load(); ++i) {
    if (g_kept[i].socket.cookie == cookie) {
      return &g_kept[i];
    }
  }
  return nullptr;
}

void ForgetLocked(Kept* kept) {
  const size_t last = g_count.load() - 1;
  *kept = g_kept[last];
  g_count.store(last);
}

// For a socket that is no longer under its descriptor. Under another one, the daemon still knows
// it.
void ForgetClosedLocked() {
  for (size_t i = g_count.load(); i-- > 0;) {
    if (CookieOf(g_kept[i].fd) != g_kept[i].socket.cookie) {
      ForgetLocked(&g_kept[i]);
    }
  }
}

void GrowLocked() {
  const size_t wanted = g_capacity == 0 ? 8 : g_capacity * 2;
  void* more = realloc(static_cast<void*>(g_kept), wanted * sizeof(Kept));
  if (more != nullptr) {
    g_kept = static_cast<Kept*>(more);
    g_capacity = wanted;
  }
}

// nullptr: no memory. The effect is the same as after exec().
Kept* AddLocked(const Identity& socket, int fd) {
  if (g_count.load() == g_capacity) {
    ForgetClosedLocked();
    if (g_count.load() >= g_capacity / 2) {
      GrowLocked();
    }
  }
  if (g_count.load() == g_capacity) {
    return nullptr;
  }
  Kept* added = &g_kept[g_count.load()];
  *added = Kept{};
  added->socket = socket;
  added->fd = fd;
  g_count.fetch_add(1);
  return added;
}

// `policy` nullptr: the socket no longer has one.
void Keep(const Identity& socket, int fd, const xfrm_userpolicy_info* policy) {
  WatchFork();
  const Lock lock(g_mutex);
  Kept* kept = FindLocked(socket.cookie);
  if (policy == nullptr) {
    if (kept != nullptr) {
      ForgetLocked(kept);
    }
    return;
  }
  if (kept == nullptr) {
    kept = AddLocked(socket, fd);
  }
  if (kept != nullptr && policy->dir <= XFRM_POLICY_OUT) {
    kept->has[policy->dir] = true;
    kept->policies[policy->dir] = *policy;
  }
}

bool Recall(uint64_t cookie, Kept& out) {
  if (g_count.load() == 0 || cookie == 0) {
    return false;
  }
  const Lock lock(g_mutex);
  const Kept* kept = FindLocked(cookie);
  if (kept != nullptr) {
    out = *kept;
  }
  return kept != nullptr;
}

// --- Messages to the daemon ---

struct Head {
  nlmsghdr header;
  transport::SocketPolicyPayload payload;
};
static_assert(sizeof(Head) == 32);

// The acknowledgement: 0 or an errno value; ECONNREFUSED if it does not come.
int ReadAnswer(int fd) {
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[256];
  } answer{};
  ssize_t size = 0;
  do {
    size = real::recv(fd, &answer, sizeof answer, 0);
  } while (size < 0 && errno == EINTR);
  const bool whole = size >= ssize_t{sizeof answer.header + sizeof answer.error.error};
  return whole && answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : ECONNREFUSED;
}

// 0, the daemon's error, or ECONNREFUSED if there is no daemon.
int SendToDaemon(const Identity& socket, uint16_t port, uint16_t flags, const void* value,
                 size_t length) {
  const rendezvous::Meeting meeting = ConnectToDaemon(ConnectMode::kWait);
  const int fd = meeting.fd;
  if (fd < 0) {
    const int error = meeting.error;
    const bool passed_on = error == EMFILE || error == ENFILE || error == ENOMEM ||
                           meeting.outcome == rendezvous::Outcome::kNotPermitted;
    return passed_on ? error : ECONNREFUSED;
  }
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  real::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t{sizeof patience});
  Head head{.header = {.nlmsg_len = static_cast<uint32_t>(sizeof head + length),
                       .nlmsg_type = transport::kSocketPolicy,
                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                       .nlmsg_seq = 0,
                       .nlmsg_pid = 0},
            .payload = {.cookie = socket.cookie,
                        .family = socket.family,
                        .protocol = socket.protocol,
                        .port = port,
                        .flags = flags}};
  iovec parts[2] = {{&head, sizeof head}, {const_cast<void*>(value), length}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const bool sent = real::sendmsg(fd, &message, MSG_NOSIGNAL) >= 0;
  const int error = sent ? ReadAnswer(fd) : ECONNREFUSED;
  real::close(fd);
  return error;
}

// No result: if the daemon has died, the next connection sends the state again.
void Retell(const Kept& kept, uint16_t port) {
  for (size_t i = 0; i < kept.has.size(); ++i) {
    if (kept.has[i]) {
      SendToDaemon(kept.socket, port, transport::kRetold, &kept.policies[i],
                   sizeof kept.policies[i]);
    }
  }
}

bool IsUnsupported(int error) {
  return error == ENOPROTOOPT || error == EOPNOTSUPP || error == ENOSYS;
}

// The checks of xfrm_user_policy() that do not need the policy. 0 or an errno value.
int CheckValue(const void* value, socklen_t length) {
  if (length == 0 || length > kMaxValueBytes) {
    return EMSGSIZE;
  }
  if (value == nullptr) {
    return EFAULT;
  }
  return length < sizeof(xfrm_userpolicy_info) ? EINVAL : 0;
}

int BindToAny(int fd, uint16_t family) {
  sockaddr_in6 any6{};
  sockaddr_in any4{};
  any6.sin6_family = AF_INET6;
  any4.sin_family = AF_INET;
  return family == AF_INET6
             ? real::bind(fd, reinterpret_cast<const sockaddr*>(&any6), socklen_t{sizeof any6})
             : real::bind(fd, reinterpret_cast<const sockaddr*>(&any4), socklen_t{sizeof any4});
}

}  // namespace

int SetSocketPolicy(int fd, int level, int name, const void* value, socklen_t length) {
  const ErrnoKeeper keeper;
  Identity socket;
  const bool fits = Identify(fd, socket) && ((socket.family == AF_INET && level == SOL_IP) ||
                                             (socket.family == AF_INET6 && level == SOL_IPV6));
  if (!fits) {
    return real::setsockopt(fd, level, name, value, length);  // which refuses it
  }
  const bool clear = value == nullptr && length == 0;
  const uint16_t port = PortOf(fd);
  if (const int error = clear ? 0 : CheckValue(value, length); error != 0) {
    // A missing permission takes precedence over other errors.
    return Fail(SendToDaemon(socket, port, transport::kRetold, nullptr, 0) == EPERM ? EPERM
                                                                                    : error);
  }
  const int answer = SendToDaemon(socket, port, 0, value, length);
  if (answer != 0 && answer != ECONNREFUSED) {
    return Fail(answer);
  }
  // A kernel without XFRM has no policies to bypass, and the daemon may grant a privilege that the
  // kernel does not.
  if (real::setsockopt(fd, level, name, value, length) != 0 && !IsUnsupported(errno) &&
      !(errno == EPERM && answer == 0)) {
    const int error = errno;
    Kept before;
    SendToDaemon(socket, port, 0, nullptr, 0);
    if (Recall(socket.cookie, before)) {
      Retell(before, port);
    }
    return Fail(error);
  }
  xfrm_userpolicy_info policy{};
  if (!clear) {
    memcpy(&policy, value, sizeof policy);
  }
  Keep(socket, fd, clear ? nullptr : &policy);
  SetWaiting(fd, !clear && port == 0);
  keeper.Restore();
  return 0;
}

void GiveWaitingPort(int fd) {
  const ErrnoKeeper keeper;
  SetWaiting(fd, false);
  Kept kept;
  if (Recall(CookieOf(fd), kept)) {  // else the number belongs to another socket now
    uint16_t port = PortOf(fd);
    if (port == 0 && BindToAny(fd, kept.socket.family) == 0) {
      port = PortOf(fd);
    }
    Retell(kept, port);
  }
  keeper.Restore();
}

int BindOrdinary(int fd, const sockaddr* address, socklen_t length) {
  const int result = real::bind(fd, address, length);
  Kept kept;
  if (result == 0 && g_count.load() > 0 && Recall(CookieOf(fd), kept)) {
    const ErrnoKeeper keeper;
    const uint16_t port = PortOf(fd);
    SetWaiting(fd, port == 0);
    Retell(kept, port);
    keeper.Restore();
  }
  return result;
}

// TCP sends immediately and needs its port before. Both calls may change the address.
int ConnectOrdinary(int fd, const sockaddr* address, socklen_t length) {
  BeforeSend(fd);
  const int result = real::connect(fd, address, length);
  Kept kept;
  if (g_count.load() > 0 && Recall(CookieOf(fd), kept)) {
    const ErrnoKeeper keeper;
    Retell(kept, PortOf(fd));
    keeper.Restore();
  }
  return result;
}

void CopyWaiting(int from, int to) {
  if (to >= 0 && (IsWaiting(from) || IsWaiting(to))) {
    SetWaiting(to, IsWaiting(from));
  }
}

void RetellSocketPolicies() {
  for (size_t i = 0; i < g_count.load(); ++i) {
    Kept kept;
    {
      const Lock lock(g_mutex);
      if (i >= g_count.load()) {
        return;
      }
      kept = g_kept[i];
    }
    if (CookieOf(kept.fd) == kept.socket.cookie) {
      Retell(kept, PortOf(kept.fd));
    }
  }
}

}  // namespace cygnet::shim
