// The client's side, and the parts that both sides share.
#include "netlink/rendezvous.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "netlink/rendezvous_calls.h"

namespace cygnet::rendezvous {
namespace {

constexpr int kMostPorts = 16;
constexpr int kBacklog = 16;

bool Bind(int fd, const void* address, socklen_t length) {
  return syscall(SYS_bind, fd, address, length) == 0;
}

void Pause() {
  const timespec pause{.tv_sec = 0, .tv_nsec = 2'000'000};
  nanosleep(&pause, nullptr);
}

// --- One attempt ---

Meeting Failed(Outcome outcome, int error) {
  return {.outcome = outcome, .fd = -1, .error = error};
}

// Sends to a port id. Returns 0 or an errno value.
int SendTo(int fd, uint32_t port, const Message& message) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_pid = port;
  const long sent = syscall(SYS_sendto, fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL,
                            &address, sizeof address);
  return sent == long{sizeof message} ? 0 : errno;
}

// The kernel delivered the answer from that port id, so the sender held the capability. False: no
// answer in time.
bool ReceiveAnswer(int fd, uint32_t port, const Nonce& nonce, int64_t deadline, Message* answer) {
  while (WaitReadable(fd, deadline)) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    const long size =
        syscall(SYS_recvfrom, fd, answer, sizeof *answer, MSG_DONTWAIT | MSG_TRUNC, &from, &length);
    if (size >= 0 && from.nl_pid == port &&
        IsMessage(*answer, static_cast<size_t>(size), MessageType::kAnswer) &&
        memcmp(&answer->nonce, &nonce, sizeof nonce) == 0) {
      return true;
    }
  }
  return false;
}

// The daemon connected before it sent the answer, so its connection waits in the queue, possibly
// behind those of strangers.
int TakeConnectionFrom(int listener, const SocketName& name) {
  for (;;) {
    sockaddr_un from{};
    socklen_t length = sizeof from;
    const int fd = static_cast<int>(syscall(SYS_accept4, listener, &from, &length, SOCK_CLOEXEC));
    if (fd < 0 && errno == EINTR) {
      continue;
    }
    if (fd < 0 || AddressOf(name).Is(from, length)) {
      return fd;
    }
    Close(fd);
  }
}

int Listen(SocketName* name) {
  const int fd = Socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    return -1;
  }
  if (MakeName(name)) {
    const UnixAddress address = AddressOf(*name);
    if (Bind(fd, address.get(), address.length()) && syscall(SYS_listen, fd, kBacklog) == 0) {
      return fd;
    }
  }
  const int error = errno;
  Close(fd);
  errno = error;
  return -1;
}

Outcome OutcomeOfSending(int error) {
  switch (error) {
    case EPERM:
      return Outcome::kNotPermitted;
    case ECONNREFUSED:
      return Outcome::kNobody;
    case EAGAIN:
    case ENOBUFS:
      return Outcome::kNoAnswer;
    default:
      return Outcome::kFailed;
  }
}

Meeting MeetAt(uint32_t port, Service service, int64_t deadline) {
  Message knock = MakeMessage(MessageType::kKnock, service);
  const Fd listener(Listen(&knock.name));
  const Fd netlink(Socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  if (!listener.valid() || !netlink.valid() || !Bind(netlink.get(), &own, sizeof own) ||
      syscall(SYS_getrandom, &knock.nonce, sizeof knock.nonce, 0) != long{sizeof knock.nonce}) {
    return Failed(Outcome::kFailed, errno);
  }
  if (const int error = SendTo(netlink.get(), port, knock); error != 0) {
    return Failed(OutcomeOfSending(error), error);
  }
  Message answer{};
  if (!ReceiveAnswer(netlink.get(), port, knock.nonce, deadline, &answer)) {
    return Failed(Outcome::kNoAnswer, ETIMEDOUT);
  }
  if (answer.error != 0) {
    // Strangers may have filled the listener's queue: the next listener has another name.
    return Failed(answer.error == EAGAIN ? Outcome::kNoAnswer : Outcome::kFailed, answer.error);
  }
  const int fd = TakeConnectionFrom(listener.get(), answer.name);
  if (fd < 0) {
    return Failed(Outcome::kFailed, errno);
  }
  Message confirm = MakeMessage(MessageType::kConfirm, service);
  confirm.nonce = knock.nonce;
  confirm.name = answer.name;
  if (const int error = SendTo(netlink.get(), port, confirm); error != 0) {
    Close(fd);
    return Failed(OutcomeOfSending(error), error);
  }
  return {.outcome = Outcome::kMet, .fd = fd, .error = 0};
}

// The number that socket() would have returned: other descriptors were open when this one was
// created.
int Lowest(int fd) {
  const int lowest = static_cast<int>(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0));
  if (lowest < 0 || lowest > fd) {
    if (lowest >= 0) {
      Close(lowest);
    }
    return fd;
  }
  Close(fd);
  return lowest;
}

// Where this process met a daemon last; 0: nowhere yet.
constinit std::atomic<uint32_t> g_last_port{0};

// A client that connects again and again need not search each time. The proofs are the same: if the
// daemon has ended and a stranger has the port id now, it lacks the capability to answer.
Meeting MeetAgain(Service service, int64_t deadline) {
  constexpr int64_t kPatienceMs = 300;
  const uint32_t port = g_last_port.load();
  if (port == 0) {
    return Failed(Outcome::kNobody, ECONNREFUSED);
  }
  const int64_t soon = NowMs() + kPatienceMs;
  const Meeting meeting = MeetAt(port, service, deadline < soon ? deadline : soon);
  if (meeting.outcome != Outcome::kMet) {
    g_last_port.store(0);
    return meeting;
  }
  return {.outcome = Outcome::kMet, .fd = Lowest(meeting.fd), .error = 0};
}

}  // namespace

bool MakeName(SocketName* name) {
  uint8_t random[16];
  if (syscall(SYS_getrandom, random, sizeof random, 0) != long{sizeof random}) {
    return false;
  }
  constexpr char kDigits[] = "0123456789abcdef";
  memcpy(name->text, kNamePrefix, sizeof kNamePrefix - 1);
  char* out = name->text + sizeof kNamePrefix - 1;
  for (const uint8_t byte : random) {
    *out++ = kDigits[byte >> 4];
    *out++ = kDigits[byte & 15];
  }
  return true;
}

UnixAddress AddressOf(const SocketName& name) {
  static_assert(1 + kNameBytes <= sizeof sockaddr_un::sun_path);
  char abstract[1 + sizeof name.text] = {};
  memcpy(abstract + 1, name.text, sizeof name.text);
  return {abstract, sizeof abstract};
}

Message MakeMessage(MessageType type, Service service) {
  Message message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = static_cast<uint16_t>(type);
  message.version = kVersion;
  message.service = service;
  return message;
}

bool IsMessage(const Message& message, size_t size, MessageType type) {
  return size == sizeof message && message.header.nlmsg_len == sizeof message &&
         message.header.nlmsg_type == static_cast<uint16_t>(type) && message.version == kVersion;
}

Meeting Meet(Service service, int timeout_ms) {
  const int64_t deadline = NowMs() + timeout_ms;
  if (const Meeting again = MeetAgain(service, deadline); again.outcome == Outcome::kMet) {
    return again;
  }
  for (;;) {
    uint32_t ports[kMostPorts];
    const int count = FindPorts(ports, kMostPorts, LeftMs(deadline));
    if (count < 0) {
      return Failed(errno == ETIMEDOUT ? Outcome::kNoAnswer : Outcome::kNoTable, errno);
    }
    Meeting last = Failed(Outcome::kNobody, ECONNREFUSED);
    for (int i = 0; i < count; ++i) {
      const Meeting meeting = MeetAt(ports[i], service, deadline);
      if (meeting.outcome == Outcome::kMet) {
        g_last_port.store(ports[i]);
        return {.outcome = Outcome::kMet, .fd = Lowest(meeting.fd), .error = 0};
      }
      // A daemon that is about to end, or that has found another daemon, no longer receives knocks.
      last = meeting.outcome == Outcome::kNobody ? last : meeting;
    }
    if (last.outcome != Outcome::kNoAnswer || LeftMs(deadline) == 0) {
      return last;
    }
    Pause();
  }
}

const char* Explain(Outcome outcome) {
  switch (outcome) {
    case Outcome::kMet:
      return "connected to cygnetd";
    case Outcome::kNobody:
      return "no cygnetd in this network namespace";
    case Outcome::kNotPermitted:
      return "cygnetd answers only processes with CAP_NET_ADMIN in the user namespace that owns "
             "this network namespace, and this one lacks it";
    case Outcome::kNoAnswer:
      return "cygnetd does not answer";
    case Outcome::kNoTable:
      return "cannot look for cygnetd among the netlink sockets (NETLINK_SOCK_DIAG, "
             "/proc/thread-self/net/netlink)";
    case Outcome::kFailed:
      break;
  }
  return "cannot connect to cygnetd";
}

}  // namespace cygnet::rendezvous
