// SealGuard: the last check of frames before a wire port sends them. Every wire port is behind
// one (GuardedPort); no setting removes it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.h"
#include "device/capture.h"
#include "device/port.h"

namespace cygnet {

// Since the start.
struct SealGuardStats {
  uint64_t frames_checked = 0;
  uint64_t clear_stopped = 0;     // kOutGuard
  uint64_t unsealed_stopped = 0;  // kOutNotSealed, caused by the device before the wire
  uint64_t engine_unsealed = 0;   // kOutNotSealed, caused by a crypto engine
  uint64_t changed_stopped = 0;   // kOutPolicyChanged: stopped in time; not an error
};

class SealGuard {
 public:
  virtual ~SealGuard() = default;
  // Called by the thread that sends on `queue` of the port. Drops frames that must not leave, with
  // a reason, and keeps a copy (CapturePoints::guard).
  virtual void Check(uint32_t queue, PacketBatch* batch, DropSink* sink) = 0;
  // Any worker. `packet`, destined for this wire, was stopped before the port. Counts and keeps it
  // as Check does; the caller drops it.
  virtual void Report(const Packet& packet, DropReason reason) = 0;
  // Any thread.
  virtual SealGuardStats stats() const = 0;
};

// A wire port behind its guard. Offers frames to the wire's capture point after the guard, so a
// capture shows what the network sees.
class GuardedPort final : public Port {
 public:
  // `capture` may be nullptr.
  GuardedPort(std::unique_ptr<Port> port, SealGuard* guard, CapturePoints* capture)
      : port_(std::move(port)), guard_(guard), capture_(capture) {
    CYGNET_CHECK(guard_ != nullptr);
  }

  std::string_view name() const override { return port_->name(); }
  MacAddress mac() const override { return port_->mac(); }
  uint32_t mtu() const override { return port_->mtu(); }
  uint32_t queues() const override { return port_->queues(); }
  PortStats stats() const override { return port_->stats(); }
  bool TakesSuperPackets() const override { return port_->TakesSuperPackets(); }
  const DropCounters* device_drops() const override { return port_->device_drops(); }
  LinkStatus link() const override { return port_->link(); }
  Status Follow(const PortLink& link) override { return port_->Follow(link); }
  void PauseReceiving() override { port_->PauseReceiving(); }
  void ResumeReceiving() override { port_->ResumeReceiving(); }
  bool Holds(uint32_t queue) const override { return port_->Holds(queue); }
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
  SealGuard* const guard_;
  CapturePoints* const capture_;
};

}  // namespace cygnet
