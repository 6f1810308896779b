// PacketSocketPort: a wire interface through AF_PACKET sockets with memory-mapped rings, one
// receive and one transmit ring per queue. Sees frames before the host's own stack, which the wire
// guard keeps away from them; sends past the guard by its socket mark.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "device/drivers/port_counters.h"
#include "device/egress_guard.h"
#include "device/port.h"

namespace cygnet {

// Socket mark of frames that Cygnet itself sends: the wire guard lets nothing else out.
inline constexpr uint32_t kWireMark = 0x4379676e;  // "Cygn"

class PacketSocketPort final : public Port {
 public:
  // There is none to be had but behind its guard. `capture` may be nullptr.
  static Result<std::unique_ptr<Port>> Create(const std::string& interface, uint32_t queues,
                                              EgressGuard* guard, CapturePoints* capture);
  ~PacketSocketPort() override;

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return mac_; }
  uint32_t mtu() const override { return mtu_; }
  uint32_t queues() const override { return static_cast<uint32_t>(queues_.size()); }
  PortStats stats() const override;

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override;
  bool PrepareWait(uint32_t) override { return true; }  // the descriptor itself tells
  void FinishWait(uint32_t queue) override;

 private:
  struct Ring {
    UniqueFd fd;
    uint8_t* memory = nullptr;
    std::size_t bytes = 0;
    uint32_t frame_bytes = 0;
    uint32_t frames = 0;
    uint32_t next = 0;
    uint8_t* frame(uint32_t i) const { return memory + std::size_t{i} * frame_bytes; }
    ~Ring();
  };
  struct Queue {
    Ring rx;
    Ring tx;
    PortCounters counters;
    std::atomic<uint64_t> rx_dropped{0};
  };
  PacketSocketPort() = default;
  Status OpenReceive(int ifindex, uint32_t fanout_group, Ring* ring);
  Status OpenTransmit(int ifindex, Ring* ring);
  Packet* CopyFrame(Queue* queue, uint8_t* frame, DropSink* sink);
  Packet* ReceiveLong(Queue* queue, DropSink* sink);
  bool WaitForSlot(Ring* ring, uint8_t* frame);

  std::string name_;
  MacAddress mac_{};
  uint32_t mtu_ = 0;
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace cygnet
