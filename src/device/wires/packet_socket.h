// PacketSocketPort: a wire interface through AF_PACKET sockets with memory-mapped rings, one
// receive and one transmit ring per queue. Sees frames before the host's own stack, which the wire
// guard keeps away from them; sends past the guard by its socket mark.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "device/egress_guard.h"
#include "device/port.h"
#include "device/port_counters.h"
#include "device/wires/packet_ring.h"
#include "device/wires/wire_state.h"

namespace cygnet {

class PacketSocketPort final : public Port {
 public:
  // There is none to be had but behind its guard. `capture` may be nullptr.
  static Result<std::unique_ptr<Port>> Create(const std::string& interface, uint32_t queues,
                                              EgressGuard* guard, CapturePoints* capture);
  ~PacketSocketPort() override;

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return wire_.mac(); }
  uint32_t mtu() const override { return wire_.mtu(); }
  uint32_t queues() const override { return static_cast<uint32_t>(queues_.size()); }
  PortStats stats() const override;
  LinkStatus link() const override { return wire_.status(); }
  Status Follow(const PortLink& link) override;

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override;
  // Else the descriptor itself tells.
  bool PrepareWait(uint32_t queue) override;
  void FinishWait(uint32_t queue) override;

 private:
  struct Rings {
    PacketRing rx;
    TransmitRing tx;
  };
  struct Queue {
    // The thread's own, which replaces it under the lock. Others look at it under the lock.
    std::unique_ptr<Rings> rings;
    PortCounters counters;
    std::atomic<uint64_t> rx_dropped{0};
    std::atomic<bool> renewed{false};  // the thread is to take up `fresh`
    std::mutex mutex;
    std::unique_ptr<Rings> fresh;
  };
  PacketSocketPort() = default;
  static Result<std::unique_ptr<Rings>> OpenRings(const std::string& name, uint32_t queues,
                                                  const PortLink& link);
  bool Serves(const PortLink& link) const;
  Rings& RingsOf(Queue* queue);
  static void TakeUp(Queue* queue);
  static Packet* CopyFrame(const PacketRing& ring, uint8_t* frame, DropSink* sink);
  static Packet* ReceiveLong(const PacketRing& ring, DropSink* sink);

  std::string name_;
  WireState wire_;
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace cygnet
