// The pump of an isolated driver: its packets and its wire.
#include <poll.h>
#include <sys/socket.h>

#include "plugin/isolation/isolated_port.h"

namespace cygnet::isolation {
namespace {

// Turns without work before the thread sleeps: some ten microseconds.
constexpr uint32_t kIdleTurns = 200;

}  // namespace

void IsolatedPort::Pump() {
  for (uint32_t idle = 0; !ending_.load(std::memory_order_relaxed);) {
    if (child_->failed()) {
      RecoverRest();
      pollfd wait{stop_.get(), POLLIN, 0};
      (void)poll(&wait, 1, -1);
      return;
    }
    bool worked = TakeOut();
    for (uint32_t wire = 0; wire < wires_.size(); ++wire) worked = FillWire(wire) || worked;
    worked = FillStock() || worked;
    if (worked) {
      idle = 0;
    } else if (++idle >= kIdleTurns) {
      SleepPump();
      idle = kIdleTurns / 2;
    }
  }
  // What the driver gave back when it was closed.
  while (!child_->failed() && TakeOut()) continue;
}

// --- From the child ---

bool IsolatedPort::TakeOut() {
  const uint32_t ready = out_.ready();
  if (ready == 0) return false;
  if (ready > out_.room()) {
    child_->Fail("a ring of it holds more than it can");
    return false;
  }
  for (uint32_t i = 0; i < ready && !child_->failed(); ++i) TakeOne(out_.Pop());
  FlushSends();
  return true;
}

void IsolatedPort::TakeOne(const RingEntry& entry) {
  const FrameSlots::Returned back = slots_.TakeBack(entry.slot);
  if (back.packet == nullptr) return Breach(back);
  cygnet_packet* packet = back.packet;
  switch (entry.move) {
    case Move::kFree:
      return services_->packet_free(context_, &packet, 1);
    case Move::kDrop:
      return Drop(packet, back.header.reason);
    case Move::kSend:
      if (entry.wire >= wires_.size()) break;
      if (send_count_ == sends_.size() || (send_count_ > 0 && send_wire_ != entry.wire)) {
        FlushSends();
      }
      send_wire_ = entry.wire;
      sends_[send_count_++] = packet;
      return;
    default:
      break;
  }
  child_->Fail("it gave back a packet in a way that does not exist");
  Drop(packet, "out-device-error");
}

void IsolatedPort::FlushSends() {
  if (send_count_ == 0) return;
  services_->wire_send(context_, send_wire_, sends_.data(), send_count_);
  send_count_ = 0;
}

// --- To the child ---

bool IsolatedPort::FillWire(uint32_t number) {
  Wire& wire = wires_[number];
  const uint32_t room = std::min(CYGNET_BURST, slots_.Room(FrameOrigin::kWire));
  if (room == 0) return false;
  cygnet_packet* packets[CYGNET_BURST];
  const uint32_t n = services_->wire_receive(context_, number, packets, room);
  for (uint32_t i = 0; i < n; ++i) {
    if (!FrameSlots::Fits(*packets[i])) {
      Drop(packets[i], "in-device-error");
      continue;
    }
    const uint32_t slot = slots_.Give(FrameOrigin::kWire, number, packets[i]);
    wire.ring.Push({.slot = slot, .move = Move::kPacket, .wire = 0});
  }
  if (n > 0 && wire.ring.Publish()) {
    const char byte = 0;
    (void)send(wire.bell.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  return n > 0;
}

// Packets for packet_alloc of the child.
bool IsolatedPort::FillStock() {
  const uint32_t room = slots_.Room(FrameOrigin::kStock);
  if (room < kSlotsForStock / 4) return false;
  cygnet_packet* packets[CYGNET_BURST];
  const uint32_t n = services_->packet_alloc(context_, packets, std::min(room, CYGNET_BURST));
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t slot = slots_.Give(FrameOrigin::kStock, 0, packets[i]);
    stock_.Push({.slot = slot, .move = Move::kPacket, .wire = 0});
  }
  if (n > 0) (void)stock_.Publish();
  return n > 0;
}

// After a failure: what workers do not hand back.
void IsolatedPort::RecoverRest() {
  FlushSends();
  cygnet_packet* packets[CYGNET_BURST];
  const auto wanted = [](FrameOrigin origin, uint32_t, bool to_seal) {
    return origin != FrameOrigin::kSend || !to_seal;
  };
  while (const uint32_t n = slots_.Recover(&recovered_, wanted, packets, CYGNET_BURST)) {
    services_->packet_drop(context_, packets, n, "port-down");
  }
}

void IsolatedPort::SleepPump() {
  out_.SetSleeps(1);
  bool may_sleep = out_.ready() == 0;
  std::array<pollfd, kMaxFds> wait{{{stop_.get(), POLLIN, 0}, {bell_.get(), POLLIN, 0}}};
  nfds_t count = 2;
  const bool room = slots_.Room(FrameOrigin::kWire) > 0;
  for (uint32_t i = 0; room && i < wires_.size(); ++i) {
    may_sleep = services_->wire_prepare_wait(context_, i) == 1 && may_sleep;
    wait[count++] = {services_->wire_wait_fd(context_, i), POLLIN, 0};
  }
  // Without room the wire waits for the child; a child that has died is noticed by its bell.
  if (may_sleep) (void)poll(wait.data(), count, room ? 100 : 1);
  for (uint32_t i = 0; room && i < wires_.size(); ++i) services_->wire_finish_wait(context_, i);
  out_.SetSleeps(0);
  char bytes[256];
  (void)recv(bell_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
}

}  // namespace cygnet::isolation
