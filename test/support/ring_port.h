// RingPort: a port between two threads: one feeds it, the other serves it. A doorbell wakes the
// server.
#pragma once

#include <string>

#include "base/doorbell.h"
#include "base/spsc_ring.h"
#include "device/port.h"

namespace cygnet::test {

class RingPort : public Port {
 public:
  explicit RingPort(std::string name) : name_(std::move(name)) {}
  ~RingPort() override {
    Packet* packet = nullptr;
    while (arriving_.Pop({&packet, 1}) == 1) packet->pool->Give(&packet, 1);
    while (sent_.Pop({&packet, 1}) == 1) packet->pool->Give(&packet, 1);
  }

  // For the feeding thread.
  bool Feed(Packet* packet) {
    if (arriving_.Push({&packet, 1}) == 0) return false;
    bell_.Ring();
    return true;
  }
  Packet* Drain() {
    Packet* packet = nullptr;
    return sent_.Pop({&packet, 1}) == 1 ? packet : nullptr;
  }

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return {2, 0, 0, 0, 0, 1}; }
  uint32_t mtu() const override { return 1500; }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return {}; }
  uint32_t Receive(uint32_t, PacketBatch* out, DropSink*) override {
    std::array<Packet*, kMaxBatch> packets;
    const std::size_t n = arriving_.Pop({packets.data(), out->room()});
    for (std::size_t i = 0; i < n; ++i) {
      packets[i]->offload = OffloadMeta{};
      out->Push(packets[i]);
    }
    return static_cast<uint32_t>(n);
  }
  void Transmit(uint32_t, PacketBatch* batch, DropSink* sink) override {
    for (Packet* packet : batch->packets()) OnTransmit(*packet);
    batch->ReleaseFront(static_cast<uint32_t>(TransmitRing().Push(batch->packets())));
    batch->DropAll(DropReason::kPortFull, sink);
  }
  int wait_fd(uint32_t) const override { return bell_.fd(); }
  bool PrepareWait(uint32_t) override {
    bell_.Arm();
    return arriving_.Empty();
  }
  void FinishWait(uint32_t) override { bell_.Disarm(); }

 protected:
  virtual void OnTransmit(const Packet&) {}
  virtual SpscRing<Packet*>& TransmitRing() { return sent_; }
  SpscRing<Packet*> arriving_{1024};
  SpscRing<Packet*> sent_{1024};
  Doorbell bell_;

 private:
  const std::string name_;
};

// Returns every transmitted frame as received; its thread inspects each of them.
class LoopbackPort final : public RingPort {
 public:
  using RingPort::RingPort;
  std::atomic<uint64_t> frames{0};
  std::atomic<uint64_t> not_esp{0};

 private:
  void OnTransmit(const Packet& packet) override {
    frames.fetch_add(1, std::memory_order_relaxed);
    if (packet.length < 34 || packet.data()[23] != 50) {
      not_esp.fetch_add(1, std::memory_order_relaxed);
    }
  }
  SpscRing<Packet*>& TransmitRing() override { return arriving_; }
};

}  // namespace cygnet::test
