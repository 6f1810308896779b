#include "datapath/worker.h"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace cygnet {

Worker::Worker(DataPath* path, uint32_t number, PacketPools* pools, const EngineSet* engines,
               const Clock* clock, uint64_t seed)
    : context_(path, number, pools, engines),
      outbound_(&context_, seed),
      inbound_(&context_, ~seed),
      clock_(clock),
      spin_(uint64_t{path->busy_poll_us} * 1000) {}

void Worker::Start() {
  thread_ = std::thread([this] { Loop(); });
  const std::string name = "cygnet-w" + std::to_string(context_.number);
  pthread_setname_np(thread_.native_handle(), name.c_str());
}

void Worker::Stop() {
  stop_.store(true);
  context_.path->bells[context_.number]->Ring();
  if (thread_.joinable()) thread_.join();
}

void Worker::Loop() {
  context_.reader->Online();
  uint64_t now = clock_->MonotonicNs();
  while (!stop_.load(std::memory_order_relaxed)) {
    const uint32_t moved = Turn(now);
    const uint64_t began = std::exchange(now, clock_->MonotonicNs());
    if (moved != 0) {
      load_.Add(now - began, moved);
      empty_turns_ = 0;
      spin_.Worked();
      continue;
    }
    if (spin_.LookAgain(now)) continue;
    if (!Sleep() && ++empty_turns_ > kEmptyTurns) {
      // A port has packets but the worker has no buffers. Pause, because other threads may free
      // some.
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    now = clock_->MonotonicNs();
    spin_.Slept(now);
  }
  EmptyDevices();
  // Look-aside engines finish the jobs that they still hold, or return them undone.
  while (HasParked()) {
    if (PollEngines() == 0) std::this_thread::yield();
  }
  context_.reader->Offline();
}

// Parked packets refer to SAs and sessions, which must live as long as the oldest packet waits.
uint64_t Worker::HeldEpoch() const {
  return std::min(outbound_.in_flight().oldest_epoch(), inbound_.in_flight().oldest_epoch());
}

// Returns finished jobs of look-aside engines to the pipelines.
uint32_t Worker::PollEngines() {
  if (!HasParked()) return 0;
  std::array<CryptoJob, kMaxBatch> done;
  for (uint32_t e = 0; e < context_.engines; ++e) {
    if (!context_.look_aside[e]) continue;
    while (const std::size_t n = context_.queues[e]->Poll(done)) {
      for (const CryptoJob& job : std::span(done).first(n)) {
        if ((job.tag & kInboundTag) != 0) {
          inbound_.OnJobDone(job.tag & ~kInboundTag, job.status);
        } else {
          outbound_.OnJobDone(job.tag, job.status);
        }
      }
    }
  }
  return outbound_.Resume() + inbound_.Resume();
}

// Sends the control thread's frames.
uint32_t Worker::TakeInjected() {
  PacketBatch batch;
  Packet* packet = nullptr;
  while (!batch.full() && context_.path->injected.Pop({&packet, 1}) == 1) batch.Push(packet);
  const uint32_t n = batch.size();
  if (n > 0) outbound_.RunInjected(&batch);
  return n;
}

uint32_t Worker::ReceiveFromTunnels() {
  DataPath& path = *context_.path;
  std::array<Tunnel*, Tunnels::kReadyAtOnce> ready;
  const std::size_t n = path.tunnels.Ready(context_.number, ready);
  uint32_t received = 0;
  for (Tunnel* tunnel : std::span(ready).first(n)) {
    PacketBatch batch;
    if (tunnel->port->Receive(context_.number, &batch, &context_.sink) == 0) continue;
    received += batch.size();
    outbound_.RunTunnel(*tunnel, &batch);
  }
  return received;
}

uint32_t Worker::ReceiveFromInside() {
  uint32_t received = 0;
  for (Port* port : context_.path->inside.ports()) {
    PacketBatch batch;
    if (port->Receive(context_.number, &batch, &context_.sink) == 0) continue;
    received += batch.size();
    outbound_.RunInside(port, &batch);
  }
  return received;
}

void Worker::HoldWires(uint64_t until_ms) {
  hold_wires_ms_.store(until_ms, std::memory_order_release);
  context_.path->bells[context_.number]->Ring();
}

void Worker::HoldHosts(uint64_t until_ms) {
  hold_hosts_ms_.store(until_ms, std::memory_order_release);
  context_.path->bells[context_.number]->Ring();
}

void Worker::LookAtHolds() {
  wires_held_ = context_.now_ms < hold_wires_ms_.load(std::memory_order_acquire);
  hosts_wanted_ = context_.now_ms < hold_hosts_ms_.load(std::memory_order_acquire);
  hosts_held_ = hosts_held_ && hosts_wanted_;
}

bool Worker::IsHeld(const Port* port, const Interface& interface) const {
  return port == interface.wire ? wires_held_ : hosts_held_;
}

uint32_t Worker::ReceiveFromHosts() {
  DataPath& path = *context_.path;
  // First, because to look costs them no system call.
  uint32_t received = path.inside.empty() ? 0 : ReceiveFromInside();
  if (std::exchange(hosts_quiet_, false) && !hosts_wanted_) return received;
  for (std::size_t i = 0; i < path.interfaces.size(); ++i) {
    PacketBatch batch;
    if (path.interfaces[i].host->Receive(context_.number, &batch, &context_.sink) == 0) continue;
    received += batch.size();
    outbound_.Run(static_cast<uint8_t>(i), &batch);
  }
  if (!path.tunnels.empty()) received += ReceiveFromTunnels();
  return received;
}

uint32_t Worker::Turn(uint64_t now_ns) {
  context_.reader->Quiescent(HeldEpoch());
  context_.now = clock_->WallSeconds();
  context_.now_ms = now_ns / 1'000'000;
  last_turn_ms_.store(context_.now_ms, std::memory_order_relaxed);
  LookAtHolds();
  uint32_t received = PollEngines();
  outbound_.RunTimers();
  inbound_.RunTimers();
  if (context_.number == 0) received += TakeInjected();
  for (std::size_t i = 0; !wires_held_ && i < context_.path->interfaces.size(); ++i) {
    received += ReceiveFromWire(i);
  }
  if (hosts_held_) return received;
  const uint32_t from_hosts = ReceiveFromHosts();
  hosts_held_ = hosts_wanted_ && from_hosts == 0;
  return received + from_hosts;
}

uint32_t Worker::ReceiveFromWire(std::size_t interface) {
  PacketBatch batch;
  Port& wire = *context_.path->interfaces[interface].wire;
  const uint32_t received = wire.Receive(context_.number, &batch, &context_.sink);
  if (received == 0) return 0;
  outbound_.RunReturned(static_cast<uint8_t>(interface), &batch);
  inbound_.Run(static_cast<uint8_t>(interface), &batch);
  return received;
}

// What devices hold would be lost with this process. What nobody has taken waits in the kernel's
// queues. A device that hangs delays the end only so long.
void Worker::EmptyDevices() {
  constexpr uint64_t kLongestNs = 100'000'000;
  const uint64_t end = clock_->MonotonicNs() + kLongestNs;
  const std::vector<Interface>& interfaces = context_.path->interfaces;
  for (bool held = true; held && clock_->MonotonicNs() < end;) {
    context_.reader->Quiescent(HeldEpoch());
    held = HasParked();
    uint32_t moved = PollEngines();
    for (std::size_t i = 0; i < interfaces.size(); ++i) {
      if (!interfaces[i].wire->Holds(context_.number)) continue;
      held = true;
      moved += ReceiveFromWire(i);
    }
    if (held && moved == 0) std::this_thread::yield();
  }
}

// Milliseconds until the next timer, at most one second.
int Worker::SleepMs() const {
  constexpr uint64_t kLongest = 1000;
  constexpr uint64_t kHoldSleep = 5;
  const uint64_t now = clock_->MonotonicNs() / 1'000'000;
  auto due = outbound_.NextTimerMs();
  if (wires_held_ || hosts_held_) due = std::min(due.value_or(now + kHoldSleep), now + kHoldSleep);
  if (const auto early = inbound_.NextTimerMs(now); early.has_value()) {
    due = std::min(due.value_or(*early), *early);
  }
  if (!due.has_value()) return kLongest;
  return static_cast<int>(*due <= now ? 0 : std::min(*due - now, kLongest));
}

// Sleeps until a port or an engine is ready. Meanwhile the worker is offline, so that control need
// not wait for it, unless packets are parked. Returns false if there was work and it did not sleep.
bool Worker::Sleep() {
  constexpr std::size_t kMaxFds = 64;
  std::array<pollfd, kMaxFds> fds;
  std::size_t n = 0;
  DataPath& path = *context_.path;
  const bool parked = HasParked();
  Doorbell& bell = *path.bells[context_.number];
  const auto watch = [&](int fd) {
    if (n < kMaxFds) fds[n++] = {fd, POLLIN, 0};
  };
  const auto prepare = [&](Port* port) {
    const bool idle = port->PrepareWait(context_.number);
    watch(port->wait_fd(context_.number));
    return idle;
  };
  bell.Arm();
  bool sleeps = !stop_.load() && (context_.number != 0 || path.injected.Empty());
  watch(bell.fd());
  for (Interface& interface : path.interfaces) {
    if (!hosts_held_) sleeps = prepare(interface.host) && sleeps;
  }
  if (!hosts_held_ && !path.tunnels.empty()) watch(path.tunnels.wait_fd(context_.number));
  const std::size_t hosts = n;  // behind the last descriptor of the host
  for (Port* port : path.inside.ports()) {
    if (!hosts_held_) watch(port->wait_fd(context_.number));
  }
  for (Interface& interface : path.interfaces) {
    if (!wires_held_) sleeps = prepare(interface.wire) && sleeps;
  }
  for (uint32_t e = 0; e < context_.engines; ++e) {
    sleeps = context_.queues[e]->PrepareWait() && sleeps;
    if (context_.queues[e]->wait_fd() >= 0) watch(context_.queues[e]->wait_fd());
  }
  if (sleeps) {
    if (!parked) context_.reader->Offline();
    const bool told = poll(fds.data(), n, SleepMs()) >= 0;
    if (!parked) context_.reader->Online();
    hosts_quiet_ = told && !hosts_held_ && hosts < kMaxFds &&
                   std::all_of(fds.begin() + 1, fds.begin() + static_cast<std::ptrdiff_t>(hosts),
                               [](const pollfd& fd) { return fd.revents == 0; });
  }
  for (uint32_t e = 0; e < context_.engines; ++e) context_.queues[e]->FinishWait();
  for (Interface& interface : path.interfaces) {
    for (Port* port : {interface.host, interface.wire}) {
      if (!IsHeld(port, interface)) port->FinishWait(context_.number);
    }
  }
  bell.Disarm();
  return sleeps;
}

}  // namespace cygnet
