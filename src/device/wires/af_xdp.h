// Driver "af_xdp": a wire interface through AF_XDP sockets, one per queue. The small packet pool is
// the UMEM: Cygnet receives and sends frames in its packets without a copy. An XDP program takes
// frames before the host's stack and the wire fence see them. A jumbo frame comes and goes in
// several packets of the pool (Linux 6.6), by a copy.
#pragma once

#include <xdp/xsk.h>

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/driver.h"
#include "device/port_counters.h"
#include "device/wires/af_xdp_program.h"
#include "device/wires/wire_port.h"
#include "device/wires/wire_state.h"

namespace cygnet {

class XdpPort final : public Port {
 public:
  // The largest MTU whose frames need one packet of the pool each.
  static constexpr uint32_t kPlainMtu = kSmallFrame - kEthernetHeader - WireState::kVlanTag;

  // Native mode if the kernel's driver supports it, otherwise generic. Logs the mode.
  static Result<std::unique_ptr<Port>> Create(const DriverParams& params);
  // Sockets on all receive queues of the interface, without a program: what reaches them is the
  // caller's choice. `sharers`: of the pool; this port receives into a part of one share.
  static Result<std::unique_ptr<XdpPort>> OpenSockets(const std::string& interface,
                                                      const WireFacts& facts, PacketPool* pool,
                                                      uint32_t sharers);
  ~XdpPort() override;

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return wire_.mac(); }
  uint32_t mtu() const override { return wire_.mtu(); }
  uint32_t queues() const override { return static_cast<uint32_t>(queues_.size()); }
  PortStats stats() const override;
  LinkStatus link() const override { return wire_.status(); }
  // Cannot rebind an interface that was removed: its sockets share the packet pool with the kernel,
  // and that cannot be set up again while packets are in flight.
  Status Follow(const PortLink& link) override;

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override;
  bool PrepareWait(uint32_t) override { return true; }  // the descriptor itself becomes readable
  void FinishWait(uint32_t) override {}

 private:
  struct Queue {
    xsk_socket* socket = nullptr;
    xsk_ring_cons receive{};
    xsk_ring_prod transmit{};
    xsk_ring_prod fill{};
    xsk_ring_cons completion{};
    uint32_t filled = 0;       // packets in the kernel, ready to be received into
    Packet* joined = nullptr;  // of a jumbo frame: what has come of it
    bool skipping = false;     // the rest of a jumbo frame that was dropped
    PortCounters counters;
    std::atomic<uint64_t> tx_copied{0};
  };
  static constexpr uint32_t kRing = 4096;

  explicit XdpPort(PacketPool* pool) : pool_(pool), held_(pool->count(), 0) {}
  // `with_program`: one that hands all frames to the sockets.
  int Open(uint32_t queues, uint32_t mode, bool with_program);
  void Start(const std::string& interface, const WireFacts& facts, uint32_t shares);
  void Close();

  Packet* Reclaim(uint64_t address);
  void TakeBackSent(Queue* queue, DropSink* sink);
  void Refill(Queue* queue, DropSink* sink);
  void FillFirst(Queue* queue);
  bool GiveToKernel(Queue* queue, std::span<Packet* const> packets);
  // The frame that ends with this piece; nullptr: it does not end, or is dropped.
  static Packet* Join(Queue* queue, Packet* piece, bool more, DropSink* sink);
  Packet* IntoPool(Queue* queue, Packet* packet, DropSink* sink);
  // What one frame became: packets of the pool, in order.
  struct Pieces {
    std::array<Packet*, 4> packets;
    uint32_t count = 0;
  };
  bool Cut(Queue* queue, Packet* packet, Pieces* pieces, DropSink* sink);
  bool Post(Queue* queue, const Pieces& pieces, DropSink* sink);
  struct Kicked {
    uint32_t refused = 0;  // frames taken from the ring that the driver refused
    bool down = false;     // the interface is down: no frame left the ring
  };
  Kicked Kick(Queue* queue, DropSink* sink);
  void TakeBackUnsent(Queue* queue, uint32_t count, DropSink* sink);

  std::string name_;
  WireState wire_;
  int ifindex_ = 0;
  bool lost_ = false;   // its interface was removed
  bool jumbo_ = false;  // frames may have several packets
  XdpProgram program_;  // jumbo_: else libxdp has one
  PacketPool* const pool_;
  uint32_t fill_limit_ = 0;
  xsk_umem* umem_ = nullptr;
  std::vector<std::unique_ptr<Queue>> queues_;
  // By index in the pool: 1 if the kernel holds the packet. Each queue's thread writes only entries
  // of packets that it owns at that moment.
  std::vector<uint8_t> held_;
};

}  // namespace cygnet
