// A TAP or TUN interface for the host: created, or reused if it is persistent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "device/descriptor_keeper.h"
#include "device/port.h"
#include "packet/packet_pool.h"

namespace cygnet {

// What the host's packets begin with.
enum class HostLayer : uint8_t {
  kEthernet,  // TAP
  kIp,        // TUN: no Ethernet header, no neighbours (IFF_NOARP), multicast
};

enum class HostState : uint8_t {
  kUp,    // set up
  kAsIs,  // a new one is down, another is left as it is
};

struct TapParams {
  std::string name;
  uint32_t queues = 1;
  uint32_t mtu = 1500;
  uint32_t largest_mtu = kSmallMtu;  // that the packet pools have packets for
  HostLayer layer = HostLayer::kEthernet;
  MacAddress mac{};      // kIp: none
  bool persist = false;  // reuse an existing one with its addresses and routes
  HostState state = HostState::kUp;
  // Its queues are taken from here, if an earlier process left them, and outlive this one. nullptr:
  // none outlives the process.
  DescriptorKeeper* keeper = nullptr;
};

struct TapInterface {
  std::vector<UniqueFd> queues;
  int ifindex = 0;
};

// Gives it the configured MAC address, MTU and state. While no program has it open, it has no
// carrier, and the host's packets to it are lost.
Result<TapInterface> OpenTapInterface(const TapParams& params);

// Works for any interface; does nothing if the address is set already.
Status SetMacAddress(const std::string& interface, const MacAddress& mac);

// The index of the interface that this is a queue of; 0: it is gone, or in another network
// namespace, whose indices are others.
int IfindexHere(int queue);

// Where the interface of a queue is, as somebody may have moved or removed it.
enum class HostPresence : uint8_t {
  kPresent,
  kRemoved,    // `ip link del`
  kElsewhere,  // in another network namespace, or back from one with another index
};
// `ifindex`: that it had in this namespace.
HostPresence PresenceOf(int queue, int ifindex);
std::string_view Name(HostPresence presence);
// A sentence about the interface `name`, with what to do.
std::string Explain(HostPresence presence, const std::string& name);

// `queue`: one of its descriptors. The interface then stays after they are closed, until `ip link
// del`.
Status KeepTapInterface(int queue);

}  // namespace cygnet
