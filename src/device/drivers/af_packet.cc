// Driver "af_packet": a plain wire interface. Does no cryptography itself.
#include "device/driver.h"
#include "device/drivers/packet_socket.h"

namespace cygnet {
namespace {

// Adds the capture points: without a device between them, host side and wire side see the same, but
// for what the guard stops.
class AfPacketPort final : public Port {
 public:
  AfPacketPort(std::unique_ptr<Port> port, CapturePoints* capture, std::string name)
      : port_(std::move(port)), capture_(capture), name_(std::move(name)) {}

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return port_->mac(); }
  uint32_t mtu() const override { return port_->mtu(); }
  uint32_t queues() const override { return port_->queues(); }
  PortStats stats() const override { return port_->stats(); }
  int wait_fd(uint32_t queue) const override { return port_->wait_fd(queue); }
  bool PrepareWait(uint32_t queue) override { return port_->PrepareWait(queue); }
  void FinishWait(uint32_t queue) override { port_->FinishWait(queue); }

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    const uint32_t before = out->size();
    const uint32_t n = port_->Receive(queue, out, sink);
    if (capture_ != nullptr) {
      const std::span<Packet*> arrived = out->packets().subspan(before);
      capture_->host.Offer(arrived, CaptureDirection::kInbound);
      capture_->wire.Offer(arrived, CaptureDirection::kInbound);
    }
    return n;
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    if (capture_ != nullptr) capture_->host.Offer(batch->packets(), CaptureDirection::kOutbound);
    port_->Transmit(queue, batch, sink);
  }

 private:
  std::unique_ptr<Port> port_;
  CapturePoints* const capture_;
  const std::string name_;
};

Result<Device> Create(const DriverParams& params) {
  auto port = PacketSocketPort::Create(params.wire, params.queues, params.guard, params.capture);
  if (!port) return port.error();
  Device device;
  device.port = std::make_unique<AfPacketPort>(*std::move(port), params.capture, params.name);
  return device;
}

}  // namespace

extern const DriverInfo kAfPacketDriver;
const DriverInfo kAfPacketDriver = {
    .name = "af_packet",
    .help = "a plain wire interface by AF_PACKET rings; all cryptography on the CPU",
    .create = Create,
};

}  // namespace cygnet
