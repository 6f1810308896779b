#include "plugin/isolation/child/driver_port.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cygnet::isolation {
namespace {

constexpr uint32_t kMaxQueues = 16;
// Turns without work before a thread sleeps: some ten microseconds.
constexpr uint32_t kIdleTurns = 500;

struct Queue {
  uint32_t number;
  int bell;
  RingEnd down, up;
  std::atomic<uint32_t> passed;  // entries of `down` that the plug-in has been given
  pthread_t thread;
};
struct Wire {
  int bell;
  RingEnd ring;
};

DriverMemory memory;
cygnet_packet* views = nullptr;  // one for each slot; the plug-in sees these
Queue queues[kMaxQueues];
Wire wires[kMaxQueues];
int pump_bell = -1;
pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
RingEnd out;
pthread_mutex_t stock_lock = PTHREAD_MUTEX_INITIALIZER;
RingEnd stock;
std::atomic<bool> stop_queues{false};
const cygnet_driver* calls = nullptr;
void* device = nullptr;
cygnet_driver_host services{};

void Wake(int bell) {
  const char byte = 0;
  (void)send(bell, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Drain(int bell) {
  char bytes[64];
  (void)recv(bell, bytes, sizeof(bytes), MSG_DONTWAIT);
}

cygnet_packet* Show(uint32_t slot) {
  const FrameHeader& from = memory.header(slot);
  cygnet_packet& view = views[slot];
  view.capacity = from.capacity;
  view.head = from.head;
  view.length = from.length;
  view.handle = from.handle;
  view.esn_high = from.esn_high;
  view.sa_number = from.sa_number;
  view.l3_offset = from.l3_offset;
  view.esp_offset = from.esp_offset;
  view.status = from.status;
  view.flags = from.flags;
  view.driver = nullptr;
  return &view;
}

// The slot of a packet that the plug-in gives back; the host looks whether it may.
uint32_t WriteBack(const cygnet_packet* view) {
  const auto at = reinterpret_cast<uintptr_t>(view);
  const auto begin = reinterpret_cast<uintptr_t>(views);
  const uintptr_t slot = (at - begin) / sizeof(cygnet_packet);
  if (at < begin || (at - begin) % sizeof(cygnet_packet) != 0 || slot >= memory.shape().slots) {
    Breach("it gave back a packet that does not exist");
  }
  FrameHeader& to = memory.header(static_cast<uint32_t>(slot));
  to.head = view->head;
  to.length = view->length;
  to.handle = view->handle;
  to.esn_high = view->esn_high;
  to.sa_number = view->sa_number;
  to.l3_offset = view->l3_offset;
  to.status = view->status;
  return static_cast<uint32_t>(slot);
}

// --- Services; any thread ---

void Post(cygnet_packet* const* packets, uint32_t n, Move move, uint32_t wire, const char* reason) {
  if (n > CYGNET_BURST) Breach("a service was called for more than CYGNET_BURST packets");
  pthread_mutex_lock(&out_lock);
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t slot = WriteBack(packets[i]);
    if (reason != nullptr) {
      FrameHeader& header = memory.header(slot);
      strncpy(header.reason, reason, kReasonBytes - 1);
      header.reason[kReasonBytes - 1] = 0;
    }
    out.Push({.slot = slot, .move = move, .wire = static_cast<uint8_t>(wire)});
  }
  const bool wake = out.Publish();
  pthread_mutex_unlock(&out_lock);
  if (wake) Wake(pump_bell);
}

uint32_t Alloc(void*, cygnet_packet** packets, uint32_t n) {
  pthread_mutex_lock(&stock_lock);
  uint32_t got = 0;
  while (got < n && stock.ready() != 0) packets[got++] = Show(stock.Pop().slot);
  pthread_mutex_unlock(&stock_lock);
  // The pump fills up; it also looks by itself every now and then.
  if (got > 0) Wake(pump_bell);
  return got;
}

uint32_t WireOf(uint32_t wire) {
  if (wire >= memory.shape().wires) Breach("it named a queue of the wire that does not exist");
  return wire;
}

uint32_t WireReceive(void*, uint32_t wire, cygnet_packet** packets, uint32_t room) {
  RingEnd& ring = wires[WireOf(wire)].ring;
  uint32_t n = 0;
  while (n < room && ring.ready() != 0) packets[n++] = Show(ring.Pop().slot);
  return n;
}

int32_t WirePrepareWait(void*, uint32_t wire) {
  RingEnd& ring = wires[WireOf(wire)].ring;
  ring.SetSleeps(1);
  if (ring.ready() == 0) return 1;
  ring.SetSleeps(0);
  return 0;
}

void WireFinishWait(void*, uint32_t wire) {
  wires[WireOf(wire)].ring.SetSleeps(0);
  Drain(wires[wire].bell);
}

void MakeServices() {
  services.size = sizeof(services);
  services.queues = memory.shape().queues;
  services.host = HostServices();
  services.packet_alloc = Alloc;
  services.packet_free = [](void*, cygnet_packet* const* packets, uint32_t n) {
    Post(packets, n, Move::kFree, 0, nullptr);
  };
  services.packet_drop = [](void*, cygnet_packet* const* packets, uint32_t n, const char* reason) {
    Post(packets, n, Move::kDrop, 0, reason == nullptr ? "" : reason);
  };
  if (memory.shape().wires == 0) return;
  services.wire_send = [](void*, uint32_t wire, cygnet_packet* const* packets, uint32_t n) {
    Post(packets, n, Move::kSend, WireOf(wire), nullptr);
  };
  services.wire_receive = WireReceive;
  services.wire_wait_fd = [](void*, uint32_t wire) { return wires[WireOf(wire)].bell; };
  services.wire_prepare_wait = WirePrepareWait;
  services.wire_finish_wait = WireFinishWait;
}

// --- The thread of a queue ---

void HandUp(Queue* q, cygnet_packet* const* packets, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    q->up.Push({.slot = WriteBack(packets[i]), .move = Move::kPacket, .wire = 0});
  }
  if (n != 0 && q->up.Publish()) Wake(q->bell);
}

// What the plug-in cannot seal goes back; the host, which cannot ask it for every packet, has given
// all. Returns how many remain.
uint32_t KeepEligible(Queue* q, cygnet_packet** packets, uint32_t n) {
  if (calls->filter_eligible == nullptr) return n;
  cygnet_packet* back[CYGNET_BURST];
  uint32_t kept = 0, returned = 0;
  for (uint32_t i = 0; i < n; ++i) {
    uint8_t eligible = 1;
    if (packets[i]->status == CYGNET_PACKET_SEAL_REQUESTED) {
      calls->filter_eligible(device, &packets[i], 1, &eligible);
    }
    if (eligible != 0) {
      packets[kept++] = packets[i];
    } else {
      packets[i]->status = CYGNET_PACKET_RETURNED;
      back[returned++] = packets[i];
    }
  }
  HandUp(q, back, returned);
  return kept;
}

bool SendDown(Queue* q) {
  cygnet_packet* packets[CYGNET_BURST];
  uint32_t n = 0;
  while (n < CYGNET_BURST && q->down.ready() != 0) packets[n++] = Show(q->down.Pop().slot);
  if (n == 0) return false;
  const uint32_t popped = n;
  n = KeepEligible(q, packets, n);
  const uint32_t taken = n == 0 ? 0 : calls->tx_burst(device, q->number, packets, n);
  if (taken > n) Breach("tx_burst took more packets than it was given");
  if (taken < n) Post(packets + taken, n - taken, Move::kDrop, 0, "port-full");
  q->passed.fetch_add(popped);
  return true;
}

bool ReceiveUp(Queue* q) {
  cygnet_packet* packets[CYGNET_BURST];
  const uint32_t n = calls->rx_burst(device, q->number, packets, CYGNET_BURST);
  if (n > CYGNET_BURST) Breach("rx_burst returned more packets than there was room for");
  HandUp(q, packets, n);
  return n != 0;
}

void Sleep(Queue* q) {
  q->down.SetSleeps(1);
  const int32_t may_sleep = calls->prepare_wait(device, q->number);
  if (may_sleep == 1 && q->down.ready() == 0 && !stop_queues.load()) {
    pollfd wait[] = {{q->bell, POLLIN, 0}, {calls->wait_fd(device, q->number), POLLIN, 0}};
    (void)poll(wait, 2, 100);
    Drain(q->bell);
  }
  calls->finish_wait(device, q->number);
  q->down.SetSleeps(0);
}

void* Run(void* argument) {
  auto* q = static_cast<Queue*>(argument);
  prctl(PR_SET_NAME, "plugin-queue");
  for (uint32_t idle = 0, turn = 0; !stop_queues.load(std::memory_order_relaxed);) {
    q->down.beat().store(++turn, std::memory_order_relaxed);
    bool worked = SendDown(q);
    worked = ReceiveUp(q) || worked;
    if (worked) {
      idle = 0;
    } else if (++idle >= kIdleTurns) {
      Sleep(q);
      idle = kIdleTurns / 2;
    }
  }
  return nullptr;
}

}  // namespace

bool SetUpPort(const DriverShape& shape, Request* request) {
  if (shape.queues > kMaxQueues || shape.wires > kMaxQueues ||
      request->fd_count != shape.queues + shape.wires + 2) {
    return false;
  }
  const int* fd = request->fds;
  void* at = mmap(nullptr, DriverMemory::Bytes(shape), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  close(*fd++);
  if (at == MAP_FAILED) return false;
  memory = DriverMemory(at, shape);
  views = static_cast<cygnet_packet*>(calloc(shape.slots, sizeof(cygnet_packet)));
  if (views == nullptr) return false;
  for (uint32_t i = 0; i < shape.slots; ++i) views[i].buffer = memory.buffer(i);
  for (uint32_t i = 0; i < shape.queues; ++i) {
    queues[i].number = i;
    queues[i].bell = *fd++;
    queues[i].down = memory.down(i);
    queues[i].up = memory.up(i);
  }
  for (uint32_t i = 0; i < shape.wires; ++i) {
    wires[i].bell = *fd++;
    wires[i].ring = memory.wire(i);
  }
  pump_bell = *fd;
  out = memory.out();
  stock = memory.stock();
  MakeServices();
  return true;
}

const cygnet_driver_host* DriverServices() { return &services; }

bool StartQueues(const cygnet_driver* functions, void* opened) {
  calls = functions;
  device = opened;
  for (uint32_t i = 0; i < memory.shape().queues; ++i) {
    if (pthread_create(&queues[i].thread, nullptr, Run, &queues[i]) != 0) return false;
  }
  return true;
}

void LetPacketsPass() {
  constexpr int kTurns = 100;
  for (uint32_t i = 0; i < memory.shape().queues; ++i) {
    const uint32_t target = queues[i].down.published();
    for (int turn = 0; turn < kTurns; ++turn) {
      if (static_cast<int32_t>(target - queues[i].passed.load()) <= 0) break;
      (void)poll(nullptr, 0, 1);
    }
  }
}

void EndQueues() {
  stop_queues.store(true);
  for (uint32_t i = 0; i < memory.shape().queues; ++i) {
    shutdown(queues[i].bell, SHUT_RD);
    pthread_join(queues[i].thread, nullptr);
  }
}

}  // namespace cygnet::isolation
