// EgressGuard: the last look at frames before a wire port sends them. Every wire port is behind one
// (GuardedPort); there is no setting that takes it away.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.h"
#include "device/capture.h"
#include "device/port.h"

namespace cygnet {

// Since the start.
struct EgressGuardStats {
  uint64_t frames_checked = 0;
  uint64_t clear_stopped = 0;     // kOutGuard
  uint64_t unsealed_stopped = 0;  // kOutNotSealed, by the device in front of the wire
  uint64_t engine_unsealed = 0;   // kOutNotSealed, by a crypto engine
  uint64_t changed_stopped = 0;   // kOutPolicyChanged: in time, nobody's fault
};

class EgressGuard {
 public:
  virtual ~EgressGuard() = default;
  // The thread that sends by `queue` of the port. Drops with a reason what must not leave, and
  // keeps a copy of it (CapturePoints::guard).
  virtual void Check(uint32_t queue, PacketBatch* batch, DropSink* sink) = 0;
  // Any worker: `packet`, on its way to this wire, was stopped before it came to the port. Counts
  // and keeps it as Check does; the caller drops it.
  virtual void Report(const Packet& packet, DropReason reason) = 0;
  // Any thread.
  virtual EgressGuardStats stats() const = 0;
};

// A wire port behind its guard. What leaves is offered to the wire's capture point here, behind the
// guard: a capture shows what the network sees.
class GuardedPort final : public Port {
 public:
  // `capture` may be nullptr.
  GuardedPort(std::unique_ptr<Port> port, EgressGuard* guard, CapturePoints* capture)
      : port_(std::move(port)), guard_(guard), capture_(capture) {
    CYGNET_CHECK(guard_ != nullptr);
  }

  std::string_view name() const override { return port_->name(); }
  MacAddress mac() const override { return port_->mac(); }
  uint32_t mtu() const override { return port_->mtu(); }
  uint32_t queues() const override { return port_->queues(); }
  PortStats stats() const override { return port_->stats(); }
  const DropCounters* device_drops() const override { return port_->device_drops(); }
  LinkStatus link() const override { return port_->link(); }
  Status Follow(const PortLink& link) override { return port_->Follow(link); }
  int wait_fd(uint32_t queue) const override { return port_->wait_fd(queue); }
  bool PrepareWait(uint32_t queue) override { return port_->PrepareWait(queue); }
  void FinishWait(uint32_t queue) override { port_->FinishWait(queue); }

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    return port_->Receive(queue, out, sink);
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    guard_->Check(queue, batch, sink);
    if (batch->empty()) return;
    if (capture_ != nullptr) capture_->wire.Offer(batch->packets(), CaptureDirection::kOutbound);
    port_->Transmit(queue, batch, sink);
  }

 private:
  const std::unique_ptr<Port> port_;
  EgressGuard* const guard_;
  CapturePoints* const capture_;
};

}  // namespace cygnet
