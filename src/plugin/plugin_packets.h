// PluginPackets: the C form of every packet of the pools, for one device, and who owns it: the host
// or the plug-in. What a plug-in gives back that it does not own is noticed, whatever the pointer.
#pragma once

#include <atomic>
#include <memory>

#include "cygnet/driver.h"
#include "packet/packet_pool.h"

namespace cygnet {

// How a packet came to the plug-in.
enum class PluginLoan : uint8_t {
  kNone,     // it is the host's
  kFresh,    // allocated, or received from the wire
  kToSend,   // to be sent as it is
  kSeal,     // to be sealed
  kProtect,  // to be protected (packet offload)
};

class PluginPackets {
 public:
  explicit PluginPackets(PacketPools* pools);

  PacketPools* pools() const { return pools_; }

  // Describes a packet, of any pool, that stays the host's.
  static void Describe(const Packet& packet, cygnet_packet* view);
  // The same for a packet of the pools, in its own cygnet_packet.
  cygnet_packet* Show(const Packet& packet);
  // Describes the packet and makes it the plug-in's.
  cygnet_packet* Lend(const Packet& packet, PluginLoan loan, uint32_t queue);

  // A packet that came back, and as what it was lent. `packet` nullptr: the plug-in does not own
  // it, or the pointer is not a packet.
  struct Returned {
    Packet* packet = nullptr;
    PluginLoan loan = PluginLoan::kNone;
    uint32_t queue = 0;
  };
  Returned TakeBack(const cygnet_packet* view);

  // After the plug-in has ended: what it did not give back returns to the pools. Returns the count.
  uint32_t Reclaim();

 private:
  struct Views {
    PacketPool* pool;
    std::unique_ptr<cygnet_packet[]> packets;
    std::unique_ptr<std::atomic<uint8_t>[]> loans;  // queue << 4 | PluginLoan
  };
  Views MakeViews(PacketPool* pool);
  Views& Of(const Packet& packet) {
    return packet.pool == small_.pool ? small_ : packet.pool == jumbo_.pool ? jumbo_ : large_;
  }

  PacketPools* const pools_;
  Views small_;
  Views jumbo_;
  Views large_;
};

}  // namespace cygnet
