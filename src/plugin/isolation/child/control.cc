#include "plugin/isolation/child/control.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace cygnet::isolation {
namespace {

ControlPage* page = nullptr;
uint8_t* copy = nullptr;  // of a request
int rung = -1;            // eventfd: a thread of the plug-in rang
void (*refresh_state)() = nullptr;
cygnet_host services{};

uint64_t Now(clockid_t clock, bool seconds) {
  timespec now{};
  clock_gettime(clock, &now);
  const auto whole = static_cast<uint64_t>(now.tv_sec);
  return seconds ? whole : whole * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

void Refresh() {
  if (refresh_state != nullptr) refresh_state();
}

void TakeDescriptors(const msghdr& message, Request* request) {
  request->fd_count = 0;
  const cmsghdr* c = CMSG_FIRSTHDR(&message);
  if (c == nullptr || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) return;
  request->fd_count = static_cast<uint32_t>((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  memcpy(request->fds, CMSG_DATA(c), request->fd_count * sizeof(int));
}

// False: the host has closed its end.
bool Receive(Request* request) {
  iovec part{.iov_base = &request->signal, .iov_len = sizeof(request->signal)};
  alignas(cmsghdr) char room[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof(room);
  const ssize_t n = recvmsg(kControlFd, &message, MSG_CMSG_CLOEXEC);
  if (n != sizeof(request->signal) || request->signal.length > kMessageBytes) return false;
  TakeDescriptors(message, request);
  request->call = static_cast<Call>(request->signal.call);
  request->length = request->signal.length;
  request->bytes = copy;
  memcpy(copy, page->bytes, request->length);
  explicit_bzero(page->bytes, request->length);
  request->in = Reader(copy, request->length);
  return true;
}

bool Answer(const Request& request, int32_t result, const Writer& answer) {
  Signal signal = request.signal;
  signal.result = answer.ok() ? result : -EMSGSIZE;
  signal.length = answer.ok() ? answer.size() : 0;
  return send(kControlFd, &signal, sizeof(signal), MSG_NOSIGNAL) == sizeof(signal);
}

}  // namespace

bool StartControl() {
  void* memory = mmap(nullptr, sizeof(ControlPage), PROT_READ | PROT_WRITE, MAP_SHARED, kPageFd, 0);
  if (memory == MAP_FAILED) return false;
  page = static_cast<ControlPage*>(memory);
  close(kPageFd);
  copy = static_cast<uint8_t*>(malloc(kMessageBytes));
  rung = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  services.abi = CYGNET_ABI;
  services.size = sizeof(services);
  services.log = [](void*, uint32_t level, const char* text) {
    SendEvent(EventKind::kLog, level, text);
  };
  services.ring = [](void*) {
    const uint64_t one = 1;
    (void)!write(rung, &one, sizeof(one));
  };
  services.monotonic_ns = [](void*) { return Now(CLOCK_MONOTONIC, false); };
  services.wall_seconds = [](void*) { return Now(CLOCK_REALTIME, true); };
  return copy != nullptr && rung >= 0;
}

ControlPage& Page() { return *page; }
const cygnet_host* HostServices() { return &services; }
void SetRefresh(void (*refresh)()) { refresh_state = refresh; }

void Serve(int32_t (*handle)(Request* request, Writer* answer, bool* last)) {
  constexpr int kTurnMs = 200;
  for (bool last = false; !last;) {
    page->beat.fetch_add(1, std::memory_order_relaxed);
    pollfd wait[] = {{kControlFd, POLLIN, 0}, {rung, POLLIN, 0}};
    if (poll(wait, 2, kTurnMs) < 0 && errno != EINTR) return;
    uint64_t count = 0;
    const bool rang = read(rung, &count, sizeof(count)) == sizeof(count);
    if ((wait[0].revents & (POLLIN | POLLHUP)) != 0) {
      Request request{.call = Call::kDescribe,
                      .in = Reader(nullptr, 0),
                      .fds = {},
                      .fd_count = 0,
                      .signal = {},
                      .bytes = nullptr,
                      .length = 0};
      if (!Receive(&request)) return;
      Writer answer(page->bytes, kMessageBytes);
      const int32_t result = handle(&request, &answer, &last);
      explicit_bzero(request.bytes, request.length);
      if (!last) Refresh();
      if (!Answer(request, result, answer)) return;
    } else {
      Refresh();
    }
    if (rang && !last) SendEvent(EventKind::kRing, 0, nullptr);
  }
}

void SendEvent(EventKind kind, uint32_t level, const char* text) {
  Event event{};
  event.kind = static_cast<uint32_t>(kind);
  event.level = level;
  event.length = text == nullptr ? 0 : static_cast<uint32_t>(strnlen(text, kEventText));
  if (event.length != 0) memcpy(event.text, text, event.length);
  // A host that does not keep up loses lines; a ring is never lost, because the host then has
  // events to read anyway and looks at the state.
  (void)send(kEventFd, &event, sizeof(event), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Breach(const char* text) {
  SendEvent(EventKind::kBreach, CYGNET_LOG_ERROR, text);
  _exit(3);
}

void PutRefusal(Writer* answer, const cygnet_refusal& refusal) {
  answer->Put(refusal.kind);
  answer->Bytes(refusal.text, sizeof(refusal.text));
}

}  // namespace cygnet::isolation
