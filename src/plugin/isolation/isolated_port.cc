#include "plugin/isolation/isolated_port.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/errno_error.h"

namespace cygnet::isolation {
namespace {

void WakeChild(const UniqueFd& bell) {
  const char byte = 0;
  (void)send(bell.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// The host's bytes are as it gave them: software may seal them.
void MarkReturned(cygnet_packet* packet) {
  packet->status = packet->status == CYGNET_PACKET_SEAL_REQUESTED ? CYGNET_PACKET_RETURNED
                                                                  : CYGNET_PACKET_RETURNED_CLEAR;
}

}  // namespace

IsolatedPort::IsolatedPort(ChildProcess* child, const cygnet_driver_host* services,
                           SharedMemory memory, const DriverShape& shape)
    : child_(child),
      services_(services),
      context_(services->host->context),
      memory_(std::move(memory)),
      rings_(memory_.data(), shape),
      slots_(rings_),
      queues_(shape.queues),
      wires_(shape.wires),
      out_(rings_.out()),
      stock_(rings_.stock()) {
  for (uint32_t i = 0; i < shape.queues; ++i) {
    queues_[i].down = rings_.down(i);
    queues_[i].up = rings_.up(i);
  }
  for (uint32_t i = 0; i < shape.wires; ++i) wires_[i].ring = rings_.wire(i);
}

Result<std::unique_ptr<IsolatedPort>> IsolatedPort::Make(ChildProcess* child,
                                                         const cygnet_driver_host* services,
                                                         const DriverShape& shape) {
  auto memory = SharedMemory::Make(DriverMemory::Bytes(shape));
  if (!memory) return memory.error();
  std::unique_ptr<IsolatedPort> port(new IsolatedPort(child, services, *std::move(memory), shape));
  CYGNET_RETURN_IF_ERROR(port->MakeBells());
  port->pump_ = std::thread([p = port.get()] { p->Pump(); });
  return port;
}

Status IsolatedPort::MakeBells() {
  std::vector<UniqueFd*> ours;
  for (Queue& queue : queues_) ours.push_back(&queue.bell);
  for (Wire& wire : wires_) ours.push_back(&wire.bell);
  ours.push_back(&bell_);
  for (UniqueFd* bell : ours) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
      return ErrnoError("bells of a plug-in");
    }
    *bell = UniqueFd(pair[0]);
    child_ends_.push_back(UniqueFd(pair[1]));
  }
  stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return stop_.valid() ? Status() : ErrnoError("eventfd");
}

std::vector<int> IsolatedPort::ChildFds() const {
  std::vector<int> fds{memory_.fd()};
  for (const UniqueFd& end : child_ends_) fds.push_back(end.get());
  return fds;
}

void IsolatedPort::StartWatch() {
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    child_->watchdog()->Add(&queues_[i].down.beat(), "its thread of queue " + std::to_string(i));
  }
}

void IsolatedPort::EndWatch() {
  for (const Queue& queue : queues_) child_->watchdog()->Remove(&queue.down.beat());
}

void IsolatedPort::EndPump() {
  ending_.store(true);
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof(one));
  if (pump_.joinable()) pump_.join();
}

IsolatedPort::~IsolatedPort() {
  EndWatch();
  EndPump();
  cygnet_packet* packets[CYGNET_BURST];
  const auto all = [](FrameOrigin, uint32_t, bool) { return true; };
  uint32_t from = 0;
  while (const uint32_t n = slots_.Recover(&from, all, packets, CYGNET_BURST)) {
    services_->packet_free(context_, packets, n);
  }
  for (Queue& queue : queues_) {
    if (queue.returned_count == 0) continue;
    services_->packet_free(context_, queue.returned.data(), queue.returned_count);
  }
}

void IsolatedPort::Drop(cygnet_packet* packet, const char* reason) {
  services_->packet_drop(context_, &packet, 1, reason);
}

void IsolatedPort::Breach(const FrameSlots::Returned& back) {
  child_->Fail(back.breach);
  if (back.lost != nullptr) Drop(back.lost, "out-device-error");
}

// --- Workers ---

// What cannot go to the child goes back to be sealed, or is lost. False: there is no room.
bool IsolatedPort::KeepBack(Queue* queue, cygnet_packet* packet) {
  if (!IsToSeal(*packet)) {
    Drop(packet, child_->failed() ? "port-down" : "out-device-error");
    return true;
  }
  if (queue->returned_count == queue->returned.size()) return false;
  MarkReturned(packet);
  queue->returned[queue->returned_count++] = packet;
  return true;
}

uint32_t IsolatedPort::TxBurst(uint32_t number, cygnet_packet* const* packets, uint32_t n) {
  Queue& queue = queues_[number];
  const bool failed = child_->failed();
  uint32_t room = failed ? 0 : slots_.Room(FrameOrigin::kSend);
  uint32_t taken = 0;
  uint32_t given = 0;
  for (; taken < n; ++taken) {
    if (failed || !FrameSlots::Fits(*packets[taken])) {
      if (!KeepBack(&queue, packets[taken])) break;
      continue;
    }
    if (room-- == 0) break;
    const uint32_t slot = slots_.Give(FrameOrigin::kSend, number, packets[taken]);
    queue.down.Push({.slot = slot, .move = Move::kPacket, .wire = 0});
    ++given;
  }
  if (given > 0 && queue.down.Publish()) WakeChild(queue.bell);
  return taken;
}

uint32_t IsolatedPort::HandBack(Queue* queue, uint32_t number, cygnet_packet** packets,
                                uint32_t room) {
  uint32_t n = 0;
  while (n < room && queue->returned_count > 0) {
    packets[n++] = queue->returned[--queue->returned_count];
  }
  if (n > 1) std::reverse(packets, packets + n);
  if (!child_->failed()) return n;
  const auto wanted = [number](FrameOrigin origin, uint32_t of, bool to_seal) {
    return origin == FrameOrigin::kSend && of == number && to_seal;
  };
  const uint32_t more = slots_.Recover(&queue->recovered, wanted, packets + n, room - n);
  for (uint32_t i = n; i < n + more; ++i) MarkReturned(packets[i]);
  return n + more;
}

uint32_t IsolatedPort::RxBurst(uint32_t number, cygnet_packet** packets, uint32_t room) {
  Queue& queue = queues_[number];
  uint32_t n = 0;
  if (queue.returned_count > 0 || child_->failed()) n = HandBack(&queue, number, packets, room);
  const uint32_t ready = child_->failed() ? 0 : queue.up.ready();
  if (ready > queue.up.room()) {
    child_->Fail("a ring of it holds more than it can");
    return n;
  }
  for (uint32_t i = 0; i < ready && n < room; ++i) {
    const FrameSlots::Returned back = slots_.TakeBack(queue.up.Pop().slot);
    if (back.packet == nullptr) {
      Breach(back);
      break;
    }
    packets[n++] = back.packet;
  }
  return n;
}

int32_t IsolatedPort::PrepareWait(uint32_t number) {
  Queue& queue = queues_[number];
  queue.up.SetSleeps(1);
  if (queue.up.ready() == 0 && queue.returned_count == 0 && !child_->failed()) return 1;
  if (IsOver(queue)) return 1;
  queue.up.SetSleeps(0);
  return 0;
}

void IsolatedPort::FinishWait(uint32_t number) {
  Queue& queue = queues_[number];
  queue.up.SetSleeps(0);
  char bytes[256];
  (void)recv(queue.bell.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
}

}  // namespace cygnet::isolation
