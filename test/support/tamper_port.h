// TamperPort: a port whose frames a test changes on their way out or in, as a broken device would.
#pragma once

#include <functional>

#include "device/port.h"

namespace cygnet::test {

// Called for each packet; may change it and its marks.
using Tamper = std::function<void(Packet*)>;

class TamperPort final : public Port {
 public:
  // `port` outlives this. An empty function changes nothing.
  TamperPort(Port* port, const Tamper* out, const Tamper* in) : port_(port), out_(out), in_(in) {}

  std::string_view name() const override { return port_->name(); }
  MacAddress mac() const override { return port_->mac(); }
  uint32_t mtu() const override { return port_->mtu(); }
  uint32_t queues() const override { return port_->queues(); }
  PortStats stats() const override { return port_->stats(); }
  const DropCounters* device_drops() const override { return port_->device_drops(); }
  int wait_fd(uint32_t queue) const override { return port_->wait_fd(queue); }
  bool PrepareWait(uint32_t queue) override { return port_->PrepareWait(queue); }
  void FinishWait(uint32_t queue) override { port_->FinishWait(queue); }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    const uint32_t before = out->size();
    const uint32_t n = port_->Receive(queue, out, sink);
    for (uint32_t i = before; *in_ && i < out->size(); ++i) (*in_)((*out)[i]);
    return n;
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    for (Packet* packet : batch->packets()) {
      if (*out_) (*out_)(packet);
    }
    port_->Transmit(queue, batch, sink);
  }

 private:
  Port* const port_;
  const Tamper* const out_;
  const Tamper* const in_;
};

}  // namespace cygnet::test
