// A child that lies: it speaks the protocol of isolated plug-ins as cygnet-plugin-host does, until
// the moment that the word in the plug-in's place names. For tests of the host.
#include <cygnet/driver.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "isolation/hostile_driver.h"
#include "plugin/isolation/engine_ring.h"
#include "plugin/isolation/message.h"
#include "plugin/isolation/protocol.h"

namespace cygnet::isolation {
namespace {

std::string how;  // it lies
bool is_driver = false;
ControlPage* page = nullptr;
uint64_t random_state = 88172645463325252;

uint64_t Random() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

void SendEvents(const Event& event, std::size_t bytes) {
  (void)!send(kEventFd, &event, bytes, MSG_NOSIGNAL);
}

void Fill(void* memory, std::size_t bytes) {
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    const uint64_t word = Random();
    std::memcpy(static_cast<uint8_t*>(memory) + i, &word, 8);
  }
}

// Completes what comes, wrongly.
void Lie(const RingView& ring, uint32_t submitted, uint32_t* taken, uint32_t* completed) {
  if (*taken == submitted) return;
  for (; *taken != submitted; ++*taken) {
    const auto slot = static_cast<uint32_t>(ring.submission(*taken).load());
    Completion c{.slot = slot, .status = CYGNET_OK, .generation = ring.job(slot).generation};
    if (how == "slot-beyond") c.slot = 0xffffff;
    if (how == "slot-other") c.slot = slot ^ 7;
    if (how == "status-zero") c.status = 0;
    if (how == "status-beyond") c.status = 99;
    if (how == "generation") c.generation += 1;
    if (how == "garbage-text") Fill(ring.text(slot), 256);
    ring.completion((*completed)++).store(Pack(c));
    if (how == "twice") ring.completion((*completed)++).store(Pack(c));
  }
  if (how == "ahead") *completed += 0x7fffffff;
  if (how == "behind") *completed -= 100;
  ring.header().completed.store(*completed);
}

void RunQueue(int memory, int bell, uint32_t depth) {
  const RingLayout layout(depth);
  void* at = mmap(nullptr, layout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  const RingView ring(at, layout);
  if (how == "cut" && ftruncate(memory, 0) == 0) abort();  // sealed
  uint32_t taken = 0, completed = 0;
  for (;;) {
    ring.header().beat.fetch_add(1);
    const uint32_t submitted = ring.header().submitted.load();
    const bool work = submitted != taken;
    if (how == "scribble" && work) Fill(at, layout.bytes);
    if (how == "end" && work) _exit(0);
    if (how == "bell-flood") (void)!send(bell, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (how == "scribble" && work) continue;
    Lie(ring, submitted, &taken, &completed);
  }
}

uint32_t Describe(Writer* out) {
  Description d{};
  d.protocol = how == "protocol" ? kProtocol + 1 : kProtocol;
  d.abi = CYGNET_ABI;
  d.functions =
      is_driver ? HostileDriverFunctions() : (kHasWait << 1) - 1 - kHasLimits - kHasIdentity;
  d.wire = is_driver ? CYGNET_WIRE_ONE : 0;
  if (how == "describe-short") return 0;
  out->Put(d);
  for (const char* text : {"hostile", "1", "Tests"}) out->Text(text);
  if (how == "describe-endless") {
    out->Put(uint32_t{UINT32_MAX - 1});
  } else if (how == "describe-zero") {
    out->Put(uint32_t{4});
    out->Bytes("a\0b", 4);
  } else {
    out->Text("help");
  }
  return out->size();
}

std::vector<int> TakeFds(const msghdr& message) {
  const cmsghdr* c = CMSG_FIRSTHDR(&message);
  if (c == nullptr) return {};
  std::vector<int> fds((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  std::memcpy(fds.data(), CMSG_DATA(c), fds.size() * sizeof(int));
  return fds;
}

// Answers, or lies about that.
void Answer(Signal signal, uint32_t length) {
  signal.result = how == "list-long" && signal.call == static_cast<uint32_t>(Call::kHeld) ? 5 : 0;
  signal.length = length;
  const bool later = signal.call == static_cast<uint32_t>(Call::kSupports);
  if (later && how == "answer-sequence") signal.sequence -= 1;
  if (later && how == "answer-call") signal.call += 1;
  if (later && how == "answer-length") signal.length = UINT32_MAX;
  if (later && how == "answer-long") signal.length = 100;
  if (later && how == "answer-end") _exit(0);
  if (later && how == "answer-never") return;
  const std::size_t bytes = later && how == "answer-torn" ? 5 : sizeof(signal);
  (void)!send(kControlFd, &signal, bytes, MSG_NOSIGNAL);
}

void Serve() {
  for (;;) {
    Signal signal{};
    iovec part{.iov_base = &signal, .iov_len = sizeof(signal)};
    alignas(cmsghdr) char room[CMSG_SPACE(kMaxFds * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room;
    message.msg_controllen = sizeof(room);
    if (recvmsg(kControlFd, &message, 0) != sizeof(signal)) _exit(0);
    Writer out(page->bytes, kMessageBytes);
    Reader in(page->bytes, signal.length);
    const auto call = static_cast<Call>(signal.call);
    if (call == Call::kDescribe) Describe(&out);
    if (call == Call::kOpen) page->state.store(how == "state" ? 1234567 : CYGNET_ENGINE_UP);
    if (call == Call::kOpen && is_driver) {
      const std::vector<uint8_t> request(page->bytes, page->bytes + signal.length);
      Reader copy(request.data(), signal.length);
      page->state.store(CYGNET_STATE_UP);
      OpenHostileDriver(how, &copy, TakeFds(message), &out);
    } else if (call == Call::kOpen || call == Call::kSessionCreate) {
      if (call == Call::kSessionCreate) out.Put(uint64_t{how == "session-null" ? 0u : 4096u});
      out.Put(uint32_t{0});
      const uint8_t text[CYGNET_TEXT_BYTES] = {};
      out.Bytes(text, sizeof(text));
    }
    if (call == Call::kQueueCreate) {
      const std::vector<int> fds = TakeFds(message);
      (void)in.Take<uint32_t>();
      std::thread(RunQueue, fds[0], fds[1], in.Take<uint32_t>()).detach();
      out = Writer(page->bytes, kMessageBytes);
      out.Put(uint64_t{1});
    }
    Answer(signal, out.size());
  }
}

// Events that do not exist, and too many of those that do.
void DisturbFromAside() {
  std::thread([] {
    for (;; usleep(10'000)) page->beat.fetch_add(1);
  }).detach();
  Event event{};
  event.kind = static_cast<uint32_t>(EventKind::kLog);
  event.length = 5;
  std::memcpy(event.text, "\x1b[2J!", 5);
  usleep(50'000);
  if (how == "event-short") SendEvents(event, 3);
  if (how == "event-kind") event.kind = 99;
  if (how == "event-length") event.length = 100'000;
  if (how == "event-kind" || how == "event-length") SendEvents(event, sizeof(event));
  while (how == "event-flood") SendEvents(event, sizeof(event));
}

}  // namespace
}  // namespace cygnet::isolation

int main(int argc, char** argv) {
  using namespace cygnet::isolation;
  if (argc != 7) return 2;
  how = argv[2];
  is_driver = std::string(argv[1]) == kDriverKind;
  page = static_cast<ControlPage*>(
      mmap(nullptr, sizeof(ControlPage), PROT_READ | PROT_WRITE, MAP_SHARED, kPageFd, 0));
  std::thread(DisturbFromAside).detach();
  Serve();
}
