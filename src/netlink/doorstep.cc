#include "netlink/doorstep.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/errno_error.h"
#include "base/random.h"

namespace cygnet {
namespace {

using rendezvous::Message;
using rendezvous::MessageType;
using rendezvous::SocketName;

int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

Error ClaimError(const std::string& what, int error) {
  if (error == EPERM) {
    return MakeError(Errc::kPermission,
                     "cygnetd needs CAP_NET_ADMIN in the user namespace that owns this network "
                     "namespace (start it as root or as a service, or inside `unshare --user "
                     "--map-root-user --net`)");
  }
  return ErrnoError(Errc::kIo, what, error);
}

// Returns 0 or an errno value.
int BindTo(const UniqueFd& fd, uint32_t port, uint32_t groups) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_pid = port;
  address.nl_groups = groups;
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0
                                                                                           : errno;
}

// Both sockets have the same random port id, which others cannot predict.
struct Sockets {
  UniqueFd ears;
  UniqueFd mark;
  uint32_t port = 0;
};

Result<Sockets> OpenSockets() {
  constexpr int kTries = 100;
  constexpr int kType = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
  int error = 0;
  for (int i = 0; i < kTries; ++i) {
    Sockets sockets{.ears = UniqueFd(socket(AF_NETLINK, kType, NETLINK_ROUTE)),
                    .mark = UniqueFd(socket(AF_NETLINK, kType, NETLINK_USERSOCK)),
                    .port = static_cast<uint32_t>(RandomWord()) | 1};
    if (!sockets.ears.valid() || !sockets.mark.valid()) return ClaimError("netlink socket", errno);
    error = BindTo(sockets.ears, sockets.port, 0);
    if (error == 0) error = BindTo(sockets.mark, sockets.port, rendezvous::kGroups);
    if (error == 0) return sockets;
    if (error != EADDRINUSE) break;
  }
  return ClaimError("netlink port", error);
}

bool IsAlone(uint32_t port, int* error) {
  uint32_t ports[4];
  constexpr int kTimeoutMs = 10'000;
  const int count = rendezvous::FindPorts(ports, 4, kTimeoutMs);
  *error = count < 0 ? errno : 0;
  return count == 1 && ports[0] == port;
}

// A socket with its own name, connected to the client's listener; or an errno value.
int ConnectTo(const SocketName& theirs, SocketName* ours, UniqueFd* out) {
  *out = UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out->valid() || !rendezvous::MakeName(ours)) return errno;
  const UnixAddress here = rendezvous::AddressOf(*ours);
  if (bind(out->get(), here.get(), here.length()) != 0) return errno;
  const UnixAddress there = rendezvous::AddressOf(theirs);
  return connect(out->get(), there.get(), there.length()) == 0 ? 0 : errno;
}

bool SameName(const SocketName& a, const SocketName& b) {
  return std::memcmp(a.text, b.text, sizeof(a.text)) == 0;
}

}  // namespace

Doorstep::Doorstep(UniqueFd ears, UniqueFd mark, uint32_t port)
    : ears_(std::move(ears)), mark_(std::move(mark)), port_(port) {}

// Each daemon sets its mark, then checks that it is alone: of two at the same time, at least one
// sees the other. It removes its mark and tries again later, when it sees the daemon that stayed.
Result<std::unique_ptr<Doorstep>> Doorstep::Claim() {
  constexpr int kTries = 12;
  for (int i = 0; i < kTries; ++i) {
    auto sockets = OpenSockets();
    if (!sockets) return sockets.error();
    int error = 0;
    if (IsAlone(sockets->port, &error)) {
      return std::unique_ptr<Doorstep>(
          new Doorstep(std::move(sockets->ears), std::move(sockets->mark), sockets->port));
    }
    if (error != 0) return ClaimError("look for another cygnetd among the netlink sockets", error);
    sockets->mark.Reset();
    poll(nullptr, 0, static_cast<int>(5 + RandomWord() % 25));
  }
  return MakeError(Errc::kBusy, "a cygnetd already runs in this network namespace");
}

std::optional<Doorstep::Visitor> Doorstep::Take(int most) {
  ForgetOld();
  std::optional<Visitor> visitor;
  for (int i = 0; i < most && !visitor; ++i) {
    if (TakeOne(&visitor) == Turn::kNothing) break;
  }
  return visitor;
}

Doorstep::Turn Doorstep::TakeOne(std::optional<Visitor>* visitor) {
  Message message{};
  sockaddr_nl from{};
  socklen_t length = sizeof(from);
  const ssize_t size = recvfrom(ears_.get(), &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC,
                                reinterpret_cast<sockaddr*>(&from), &length);
  // ENOBUFS reports lost messages once; their senders try again.
  if (size < 0) return errno == ENOBUFS || errno == EINTR ? Turn::kHandled : Turn::kNothing;
  // The kernel's own messages come from port id 0; none are expected.
  if (length != sizeof(from) || from.nl_pid == 0) return Turn::kHandled;
  const auto bytes = static_cast<std::size_t>(size);
  if (rendezvous::IsMessage(message, bytes, MessageType::kKnock)) OnKnock(message, from.nl_pid);
  if (rendezvous::IsMessage(message, bytes, MessageType::kConfirm)) *visitor = OnConfirm(message);
  return Turn::kHandled;
}

void Doorstep::OnKnock(const Message& knock, uint32_t port) {
  Message answer = rendezvous::MakeMessage(MessageType::kAnswer, knock.service);
  answer.nonce = knock.nonce;
  UniqueFd fd;
  answer.error = ConnectTo(knock.name, &answer.name, &fd);
  sockaddr_nl to{};
  to.nl_family = AF_NETLINK;
  to.nl_pid = port;
  const bool told =
      sendto(ears_.get(), &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == ssize_t{sizeof(answer)};
  if (answer.error != 0 || !told) return;
  if (waiting_.size() == kMostWaiting) waiting_.pop_front();
  waiting_.push_back(
      {.name = answer.name, .service = knock.service, .since_ms = NowMs(), .fd = std::move(fd)});
}

std::optional<Doorstep::Visitor> Doorstep::OnConfirm(const Message& confirm) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) {
    return w.service == confirm.service && SameName(w.name, confirm.name);
  });
  if (found == waiting_.end()) return std::nullopt;
  Visitor visitor{.service = found->service, .fd = std::move(found->fd)};
  waiting_.erase(found);
  return visitor;
}

void Doorstep::ForgetOld() {
  const int64_t now = NowMs();
  while (!waiting_.empty() && now - waiting_.front().since_ms > kPatienceMs) waiting_.pop_front();
}

}  // namespace cygnet
