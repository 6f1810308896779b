// Port: receives and sends frames in batches. One virtual call per batch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/ethernet.h"
#include "packet/packet_batch.h"

namespace cygnet {

// The state of the interface under a port.
enum class LinkStatus : uint8_t {
  kUp,
  kNoCarrier,
  kDown,    // set down by an operator: `ip link set … down`
  kGone,    // no interface has this name
  kBarred,  // it exists but cannot be used; the log names the reason
};
std::string_view Name(LinkStatus status);
// "wire eth1 has no carrier".
std::string Explain(LinkStatus status, const std::string& wire);

// The kernel's state of the interface.
struct PortLink {
  LinkStatus status = LinkStatus::kUp;
  int ifindex = 0;
  uint32_t mtu = 0;
  MacAddress mac{};
  bool operator==(const PortLink&) const = default;
};

// A super-packet counts as one packet with all of its bytes, since it passes as one.
struct PortStats {
  uint64_t rx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  uint64_t rx_dropped = 0;  // lost before Receive (ring overrun)
  uint64_t tx_copied = 0;   // sent from a copy: the port could not send the received buffer itself
  uint64_t link_changes = 0;
};

// Threads: each queue has one thread. Only that thread calls the methods with a `queue` argument;
// different queues run concurrently. All other methods may be called at the same time.
class Port {
 public:
  // Called after the threads of all queues have ended. Returns remaining packets to their pools.
  virtual ~Port() = default;

  // --- Any thread ---
  virtual std::string_view name() const = 0;  // constant
  // These two may change in Follow.
  virtual MacAddress mac() const = 0;
  virtual uint32_t mtu() const = 0;
  virtual uint32_t queues() const = 0;  // constant
  virtual PortStats stats() const = 0;  // a copy; the values may be from different moments
  // True: Transmit takes super-packets (Packet::gso_type) of any length whose segments fit the MTU;
  // the kernel or the NIC cuts them and finishes their checksums. Constant.
  virtual bool TakesSuperPackets() const { return false; }
  // While it is not kUp, frames to send are dropped as kPortDown.
  virtual LinkStatus link() const { return LinkStatus::kUp; }
  bool link_up() const { return link() == LinkStatus::kUp; }
  // Drops by the device behind the port in its own thread; nullptr: none. Valid as long as the
  // port.
  virtual const DropCounters* device_drops() const { return nullptr; }

  // --- Control thread ---
  // Applies a changed state of the interface; one that has come back is bound again. Called for
  // each change that the kernel reports. Error: that is not possible, and the port stays unchanged.
  virtual Status Follow(const PortLink& link) {
    (void)link;
    return {};
  }
  // A port with a thread of its own takes frames from the wire before Receive. While it is paused,
  // frames wait in the kernel's queue, which outlives the process.
  virtual void PauseReceiving() {}
  virtual void ResumeReceiving() {}

  // --- The thread of `queue`: no call waits, allocates or logs per packet ---
  // Appends arrived frames to `out` up to its capacity, in packets from the thread's caches. Frames
  // that cannot be received are counted in `sink`. The caller owns the packets. Returns their
  // number.
  virtual uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) = 0;
  // Takes ownership of all packets of the batch. Each is sent or dropped with a reason, and the
  // batch is empty on return.
  virtual void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) = 0;
  // Of a paused port: its own thread still has frames of this queue. Receive may return them.
  virtual bool Holds(uint32_t queue) const {
    (void)queue;
    return false;
  }

  // Before the thread sleeps: wait_fd returns a descriptor that becomes readable when Receive may
  // have frames; -1: nothing to wait for. The port owns it; it is valid until the thread's next
  // call of Receive. PrepareWait checks once more; false: work is ready, do not sleep.
  virtual int wait_fd(uint32_t queue) const = 0;
  virtual bool PrepareWait(uint32_t queue) = 0;
  // After the thread woke.
  virtual void FinishWait(uint32_t queue) = 0;
};

// Upper bound of worker threads, and so of the queues of a port.
inline constexpr uint32_t kMaxWorkers = 8;

}  // namespace cygnet
