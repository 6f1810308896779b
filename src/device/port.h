// Port: where frames come from and go to, in batches. One virtual call per batch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/ethernet.h"
#include "packet/packet_batch.h"

namespace cygnet {

// How the interface under a port stands.
enum class LinkStatus : uint8_t {
  kUp,
  kNoCarrier,
  kDown,    // by its operator: `ip link set … down`
  kGone,    // no interface has the name
  kBarred,  // it is there, and cannot be taken; the log says why
};
std::string_view Name(LinkStatus status);
// "wire eth1 has no carrier".
std::string Explain(LinkStatus status, const std::string& wire);

// What the host's kernel says of the interface.
struct PortLink {
  LinkStatus status = LinkStatus::kUp;
  int ifindex = 0;
  uint32_t mtu = 0;
  MacAddress mac{};
  bool operator==(const PortLink&) const = default;
};

struct PortStats {
  uint64_t rx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  uint64_t rx_dropped = 0;  // lost before Receive saw them (ring overrun)
  uint64_t tx_copied = 0;   // sent from another buffer than they came in: the port had to copy
  uint64_t link_changes = 0;
};

// Threads: each queue is served by one thread, which alone calls what takes a `queue`; queues are
// served side by side. Everything else is called at the same time as that.
class Port {
 public:
  // After the threads of all queues have ended. Packets that the port still has go to their pools.
  virtual ~Port() = default;

  // --- Any thread ---
  virtual std::string_view name() const = 0;  // constant
  // These two change with Follow.
  virtual MacAddress mac() const = 0;
  virtual uint32_t mtu() const = 0;
  virtual uint32_t queues() const = 0;  // constant
  virtual PortStats stats() const = 0;  // a copy; figures may be of different moments
  // While it is not up, what is to be sent is dropped as kPortDown.
  virtual LinkStatus link() const { return LinkStatus::kUp; }
  bool link_up() const { return link() == LinkStatus::kUp; }
  // What the device behind the port dropped by itself, in a thread of its own; nullptr: nothing.
  // Lives as long as the port.
  virtual const DropCounters* device_drops() const { return nullptr; }

  // --- Control thread ---
  // From here on the interface is as `link` says; one that has come back is bound anew. An error:
  // it cannot be, and the port stays as it was. Called for each change that the kernel tells.
  virtual Status Follow(const PortLink& link) {
    (void)link;
    return {};
  }

  // --- The thread that serves `queue`: no call waits, allocates or logs for each packet ---
  // Appends what has arrived to `out`, up to its room, from the thread's caches; frames that cannot
  // be taken are counted in `sink`. The caller owns the packets. Returns how many.
  virtual uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) = 0;
  // Takes the whole batch and owns its packets: each is sent or dropped with a reason; the batch
  // comes back empty.
  virtual void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) = 0;

  // Before its thread sleeps: a descriptor that becomes readable when Receive may have something,
  // and a last look. False: there is work, do not sleep. The descriptor is the port's, valid until
  // the thread's next call of Receive; -1: nothing to wait for.
  virtual int wait_fd(uint32_t queue) const = 0;
  virtual bool PrepareWait(uint32_t queue) = 0;
  // After the thread woke.
  virtual void FinishWait(uint32_t queue) = 0;
};

// Upper bound of worker threads, and so of the queues of a port.
inline constexpr uint32_t kMaxWorkers = 8;

}  // namespace cygnet
