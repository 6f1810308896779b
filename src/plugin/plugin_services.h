// PluginServices: what the host does for a driver by others (struct cygnet_driver_host): packets,
// the wire, log, bell and clock. The driver may call it from any thread.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/spin_lock.h"
#include "cygnet/driver.h"
#include "device/capture.h"
#include "device/port.h"
#include "plugin/plugin_contract.h"
#include "plugin/plugin_packets.h"

namespace cygnet {

class PluginServices {
 public:
  // `wire` may be nullptr; all pointers outlive this. `capture` and `clock` may be nullptr.
  PluginServices(std::string name, uint32_t queues, PluginPackets* packets, Port* wire,
                 CapturePoints* capture, const Clock* clock, PluginContract* contract);

  const cygnet_driver_host* table() const { return &table_; }
  const DropCounters& drops() const { return drops_; }

  // What a packet that the plug-in gives back shows is copied into it. False: it breaks the
  // contract.
  bool Accept(const cygnet_packet& view, const PluginPackets::Returned& returned);

 private:
  // One queue of the wire, used by one thread.
  struct WireQueue {
    explicit WireQueue(PacketPools* pools, DropWatch* watch)
        : caches(pools), sink(&caches, &drops, watch) {}
    ~WireQueue() {
      for (Packet* packet : arrived.packets()) caches.Give(packet);
      arrived.ReleaseAll();
    }
    PacketCaches caches;
    DropCounters drops;
    DropSink sink;
    std::array<uint64_t, kDropReasons> shown{};  // of `drops`, in the device's
    PacketBatch arrived;                         // what the driver had no room for
  };

  uint32_t Alloc(cygnet_packet** packets, uint32_t n);
  void Free(cygnet_packet* const* packets, uint32_t n, DropReason reason);
  void Send(uint32_t queue, cygnet_packet* const* packets, uint32_t n);
  uint32_t Receive(uint32_t queue, cygnet_packet** packets, uint32_t room);
  WireQueue* QueueOfWire(uint32_t queue);
  void ShowDrops(WireQueue* queue);
  bool AtMostABurst(uint32_t n, const char* function);
  cygnet_driver_host MakeTable();
  static PluginServices* Of(void* context) { return static_cast<PluginServices*>(context); }

  const std::string name_;
  PluginPackets* const packets_;
  Port* const wire_;
  CapturePoints* const capture_;
  const Clock* const clock_;
  PluginContract* const contract_;
  std::vector<std::unique_ptr<WireQueue>> wire_queues_;
  SpinLock alloc_lock_;
  PacketCaches alloc_;  // for packet_alloc, whatever the thread
  SpinLock drops_lock_;
  DropCounters drops_;
  cygnet_host host_{};
  cygnet_driver_host table_{};
};

// The reason of this name; nullopt: there is none.
std::optional<DropReason> FindDropReason(std::string_view name);

}  // namespace cygnet
