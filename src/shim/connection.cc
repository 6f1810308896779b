// Connects to cygnetd. Lock-step and the control messages of unix_transport.h.
#include "shim/connection.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>

#include <cstdio>
#include <cstring>

#include "netlink/patience.h"
#include "netlink/unix_transport.h"
#include "shim/connection_parts.h"
#include "shim/real_calls.h"
#include "shim/spare.h"

namespace cygnet::shim {
namespace {

constexpr int kWaitMs = 10'000;
constexpr int kTryMs = 300;
constexpr int64_t kLookNs = 100'000;
// From the answer until the request is consumed, if nothing comes between.
constexpr int64_t kAfterAnswerNs = 5'000;
constexpr char kRefusing[] = "; refusing to talk to the kernel's XFRM instead\n";

void SayOnce(const char* cause, const char* separator, const char* detail) {
  static constinit std::atomic<bool> said{false};
  if (said.exchange(true)) {
    return;
  }
  char line[384];
  const int length =
      snprintf(line, sizeof line, "cygnet: %s%s%s%s", cause, separator, detail, kRefusing);
  if (length > 0) {
    const size_t bytes = static_cast<size_t>(length);
    real::write(2, line, bytes < sizeof line ? bytes : sizeof line - 1);
  }
}

int FailToMeet(const rendezvous::Meeting& meeting) {
  const int error = meeting.error;
  if (error == EMFILE || error == ENFILE || error == ENOMEM) {
    return Fail(error);
  }
  const bool says_more = meeting.outcome == rendezvous::Outcome::kFailed ||
                         meeting.outcome == rendezvous::Outcome::kNoTable;
  SayOnce(rendezvous::Explain(meeting.outcome), says_more ? ": " : "",
          says_more ? strerrordesc_np(error) : "");
  return Fail(meeting.outcome == rendezvous::Outcome::kNotPermitted ? EPERM : ECONNREFUSED);
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

// Those that the daemon knows otherwise.
bool SendOptions(SocketState& state, int fd) {
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_NO_ENOBUFS}) {
    const uint32_t bit = 1U << option;
    const uint32_t wanted = state.options.load() & bit;
    const transport::OptionPayload payload{.option = option, .value = wanted != 0 ? 1 : 0};
    if ((state.told.options.load() & bit) == wanted) {
      continue;
    }
    if (!SendControl(fd, transport::kOption, payload)) {
      return false;
    }
    state.told.options.fetch_xor(bit);
  }
  return true;
}

bool SendBinding(SocketState& state, int fd, const transport::BindPayload& bind) {
  const bool is_told =
      bind.port_id == state.told.port_id.load() && bind.groups == state.told.groups.load();
  if (!is_told && !SendControl(fd, transport::kBind, bind)) {
    return false;
  }
  state.told.port_id.store(bind.port_id);
  state.told.groups.store(bind.groups);
  return true;
}

bool IsHungUp(int fd) {
  pollfd entry{.fd = fd, .events = 0, .revents = 0};
  return real::poll(&entry, nfds_t{1}, 0) > 0 && entry.revents != 0;
}

// The daemon cannot run while we look.
bool HasOneCpu() {
  static constinit std::atomic<int> count{0};
  if (count.load() == 0) {
    cpu_set_t cpus;
    const bool known = sched_getaffinity(0, sizeof cpus, &cpus) == 0;
    count.store(known ? CPU_COUNT(&cpus) : 2);
  }
  return count.load() == 1;
}

constinit Patience g_patience;

// Until an answer comes, but not long. One that was there before cannot end it.
void Nap(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  const bool answers_wait = real::poll(&entry, nfds_t{1}, 0) > 0;
  const timespec most{.tv_sec = 0, .tv_nsec = answers_wait ? 20'000 : 200'000};
  ppoll(&entry, answers_wait ? nfds_t{0} : nfds_t{1}, &most, nullptr);
}

}  // namespace

int64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

rendezvous::Meeting ConnectToDaemon(ConnectMode mode) {
  // Short: an event loop must not wait long for a busy daemon.
  const bool try_only = mode == ConnectMode::kTry;
  const rendezvous::Meeting meeting =
      rendezvous::Meet(rendezvous::Service::kXfrm, try_only ? kTryMs : kWaitMs);
  if (meeting.outcome == rendezvous::Outcome::kMet && try_only) {
    real::fcntl(meeting.fd, F_SETFL, O_NONBLOCK);
  }
  return meeting;
}

int OpenXfrmSocket(int type) {
  const ErrnoKeeper keeper;
  ToldState told;
  Origin origin;
  int fd = TakeConnection(&told, &origin);
  if (fd < 0) {
    const rendezvous::Meeting meeting = ConnectToDaemon(ConnectMode::kWait);
    if (meeting.outcome != rendezvous::Outcome::kMet) {
      return FailToMeet(meeting);
    }
    fd = meeting.fd;
    origin = OriginOf(fd);
  }
  if ((type & SOCK_CLOEXEC) == 0) {
    real::fcntl(fd, F_SETFD, 0);
  }
  if ((type & SOCK_NONBLOCK) != 0) {
    real::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  if (!AddSocket(fd, type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), told, origin)) {
    real::close(fd);
    return Fail(EMFILE);
  }
  keeper.Restore();
  return fd;
}

bool SendState(XfrmSocket& socket, int fd) {
  socket.state.told.CopyFrom(ToldState());
  if (!SendOptions(socket.state, fd)) {
    return false;
  }
  const transport::OptionPayload room{.option = transport::kReceiveRoom,
                                      .value = socket.state.told_room.load()};
  if (room.value != 0 && !SendControl(fd, transport::kOption, room)) {
    return false;
  }
  return SendBinding(socket.state, fd, BindPayloadOf(socket));
}

// Members of a group are in lock-step: events that follow bind() arrive. For everything else, the
// daemon reads this before the next request, and that is soon enough.
void Announce(XfrmSocket& socket, int fd) {
  const uint32_t generation = socket.state.generation.load();
  bool sent = false;
  bool member = false;
  {
    const Lock lock(socket.mutex);
    const transport::BindPayload bind = BindPayloadOf(socket);
    member = (bind.groups | socket.state.told.groups.load()) != 0;
    sent = SendOptions(socket.state, fd) && SendBinding(socket.state, fd, bind);
    socket.state.announced.store(sent && bind.port_id != 0);
  }
  if (!sent || (member && !WaitConsumed(fd))) {
    Recover(socket, generation, Loss::kReset, Caller::kSend);
  }
}

// Until the socket is announced, the daemon needs none.
void AnnounceOptions(XfrmSocket& socket, int fd) {
  if (!socket.state.announced.load()) {
    return;
  }
  const uint32_t generation = socket.state.generation.load();
  bool sent = false;
  {
    const Lock lock(socket.mutex);
    sent = SendOptions(socket.state, fd);
  }
  if (!sent) {
    Recover(socket, generation, Loss::kReset, Caller::kSend);
  }
}

// Not in lock-step: whatever size the daemon has heard of, the dump is right.
void AnnounceRoom(XfrmSocket& socket, int fd, size_t bytes) {
  constexpr size_t kMost = transport::kMostDumpBytes;
  const auto room = static_cast<int32_t>(bytes < kMost ? bytes : kMost);
  if (room <= socket.state.told_room.load()) {
    return;
  }
  const transport::OptionPayload payload{.option = transport::kReceiveRoom, .value = room};
  if (SendControl(fd, transport::kOption, payload)) {
    socket.state.told_room.store(room);
  }
}

void EnsureBound(XfrmSocket& socket, int fd) {
  if (socket.state.announced.load()) {
    return;
  }
  ClaimPortId(socket, 0);
  Announce(socket, fd);
}

// Looks without a pause as long as the daemon usually takes, which with a restart file is 50 to
// 100 us, if that pays: to sleep costs the daemon the wake-up, and this side what its CPU takes to
// come back. A busy CPU is left to others soon (sched_yield would leave it for milliseconds): the
// answer, which comes just before the request is consumed, ends the wait.
bool WaitConsumed(int fd) {
  const bool looks = !HasOneCpu() && g_patience.ShouldLook();
  bool slept = false;
  for (int64_t until = MonotonicNs() + (looks ? kLookNs : 0);;) {
    int unread_bytes = 0;
    if (real::ioctl(fd, size_t{SIOCOUTQ}, &unread_bytes) != 0 || unread_bytes == 0) {
      break;
    }
    if (MonotonicNs() < until) {
      continue;
    }
    if (IsHungUp(fd)) {
      break;
    }
    Nap(fd);
    slept = true;
    until = MonotonicNs() + (looks ? kLookNs : kAfterAnswerNs);
  }
  g_patience.Note(looks && !slept);
  if (!IsHungUp(fd)) {
    return true;
  }
  // Our side gets ECONNRESET if the daemon closed its end with unread datagrams.
  int error = 0;
  socklen_t size = sizeof error;
  real::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0;
}

}  // namespace cygnet::shim
