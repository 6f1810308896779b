// DataPath: the state that all workers share: databases, interfaces, and the event rings to the
// control thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/doorbell.h"
#include "base/quiescence.h"
#include "base/random.h"
#include "base/spsc_ring.h"
#include "crypto/engine_set.h"
#include "datapath/host_addresses.h"
#include "datapath/inside.h"
#include "datapath/shared_reassembler.h"
#include "datapath/tunnels.h"
#include "device/driver.h"
#include "device/seal_guard.h"
#include "net/esp_view.h"
#include "net/ether_types.h"
#include "packet/packet_pool.h"
#include "policy/socket_policies.h"
#include "policy/spd.h"
#include "sa/sad.h"

namespace cygnet {

class DeviceShadow;

// One bump in the stack: the host's interface and the wire behind it.
struct Interface {
  Port* host = nullptr;
  Port* wire = nullptr;
  OffloadDevice* offload = nullptr;
  int32_t ifindex = 0;         // of the host side, as clients know it
  SealGuard* guard = nullptr;  // at the wire
  CapturePoints* capture = nullptr;
  DeviceShadow* shadow = nullptr;  // of `offload`
  bool whole = false;              // Port::TakesSuperPackets of the wire
};

// What a worker reports to the control thread. It names objects by number, because a number
// outlives its object.
struct DataPathEvent {
  enum class Kind : uint8_t {
    kAcquire,
    kSoftLimit,
    kHardLimit,
    kSequenceExhausted,
    kNumbersLow,  // half of the block of numbers is used, outbound or inbound
    kNoNextHop,   // a packet of a tunnel waits for the next hop of the SA's outer packets
    kMapping,     // an authenticated packet came from an address or port other than the SA's
    kShortQuote   // ICMP "too big" whose quotation of ESP in UDP ends before the SPI
  };
  Kind kind = Kind::kAcquire;
  uint8_t interface = 0;
  uint64_t sa_number = 0;
  uint64_t policy_number = 0;
  FlowKey flow{};    // kAcquire: of the packet; kMapping: of its outer header, ports of the UDP
                     // header; kShortQuote: of the quoted packet
  uint32_t mtu = 0;  // kShortQuote: from the ICMP message
  std::optional<uint32_t> cpu{};  // kAcquire: that the packet was on
};

// Jobs of engines for a worker, by engine number. Only that worker writes it.
struct alignas(kCacheLine) EngineJobs {
  using Counts = std::array<std::atomic<uint64_t>, EngineSet::kMaxEngines>;
  Counts done{};      // by CPU engines
  Counts unsealed{};  // reported as sealed, without a seal
  void Add(uint32_t engine, uint64_t jobs) { Add(&done, engine, jobs); }
  static void Add(Counts* counts, uint32_t engine, uint64_t n) {
    std::atomic<uint64_t>& count = (*counts)[engine];
    count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

class DataPath {
 public:
  static constexpr std::size_t kEvents = 1024;  // capacity of a worker's event ring

  explicit DataPath(uint32_t workers)
      : spd(&quiescence),
        socket_policies(&quiescence),
        sad(&quiescence),
        tunnels(workers, &quiescence),
        inside(workers, &quiescence),
        host_addresses_(new HostAddresses),
        encap_ports_(new UdpPorts(kNatTPorts.begin(), kNatTPorts.end())),
        ike_sockets_(new IkeSockets) {
    for (uint32_t i = 0; i < workers; ++i) {
      events.push_back(std::make_unique<SpscRing<DataPathEvent>>(kEvents));
      drops.push_back(std::make_unique<DropCounters>());
      engine_jobs.push_back(std::make_unique<EngineJobs>());
      readers.push_back(quiescence.AddReader());
      bells.push_back(std::make_unique<Doorbell>());
    }
  }
  ~DataPath() {
    tunnels.Clear();
    delete host_addresses_.load();
    delete encap_ports_.load();
    delete ike_sockets_.load();
  }

  uint32_t workers() const { return static_cast<uint32_t>(events.size()); }
  // Only workers charge lifetimes.
  Lifetime::Workers chargers() const {
    return workers() > 1 ? Lifetime::Workers::kMany : Lifetime::Workers::kOne;
  }

  // Control raises it with every change of SPD, SAD or host addresses that could change a decision.
  // Decisions of an older generation are invalid. Adding a larval SA does not raise it.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  void BumpGeneration() {
    generation_.fetch_add(1, std::memory_order_acq_rel);
    if (!hold_larval.load(std::memory_order_relaxed)) return;
    for (auto& bell : bells) bell->Ring();  // held packets may now have an SA
  }

  // Control raises it when an SA gets its first next hop: packets of tunnels and of inside
  // interfaces may wait for it.
  uint64_t next_hops() const { return next_hops_.load(std::memory_order_acquire); }
  void BumpNextHops() {
    next_hops_.fetch_add(1, std::memory_order_acq_rel);
    if (tunnels.empty() && inside.empty()) return;
    for (auto& bell : bells) bell->Ring();
  }

  const HostAddresses& host_addresses() const {
    return *host_addresses_.load(std::memory_order_acquire);
  }
  // No effect if the addresses are unchanged.
  void SetHostAddresses(std::vector<ParsedAddress> addresses,
                        std::vector<AddressPrefix> networks = {}) {
    HostAddresses next(std::move(addresses), std::move(networks));
    if (host_addresses().AreTheSame(next)) return;
    const HostAddresses* old =
        host_addresses_.exchange(new HostAddresses(std::move(next)), std::memory_order_acq_rel);
    quiescence.Retire([old] { delete old; });
    BumpGeneration();
  }

  // UDP ports of this host that carry ESP, ascending: the standard ports and those of SAs.
  std::span<const uint16_t> encap_ports() const {
    return *encap_ports_.load(std::memory_order_acquire);
  }
  void SetEncapPorts(std::vector<uint16_t> ports) {
    const UdpPorts* old =
        encap_ports_.exchange(new UdpPorts(std::move(ports)), std::memory_order_acq_rel);
    quiescence.Retire([old] { delete old; });
  }

  // True if the flow belongs to a socket that an IKE daemon of this host has on port 500 or 4500
  // (for ike_bypass).
  bool IsOfIkeSocket(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const {
    for (const SocketEnds& ends : *ike_sockets_.load(std::memory_order_acquire)) {
      if (ends.Has(direction, flow, ifindex)) return true;
    }
    return false;
  }
  void SetIkeSockets(std::vector<SocketEnds> sockets) {
    const IkeSockets* old =
        ike_sockets_.exchange(new IkeSockets(std::move(sockets)), std::memory_order_acq_rel);
    quiescence.Retire([old] { delete old; });
  }

  // True if no policy exists.
  bool PolicyIdle() const { return spd.Idle() && socket_policies.Empty(); }

  Quiescence quiescence;
  Spd spd;
  SocketPolicies socket_policies;
  Sad sad;
  Tunnels tunnels;
  Inside inside;
  std::vector<Interface> interfaces;                             // fixed before the workers start
  std::vector<std::unique_ptr<SpscRing<DataPathEvent>>> events;  // one per worker
  std::vector<std::unique_ptr<DropCounters>> drops;              // one per worker
  std::vector<std::unique_ptr<EngineJobs>> engine_jobs;          // one per worker
  std::vector<Quiescence::Reader*> readers;                      // one per worker
  std::vector<std::unique_ptr<Doorbell>> bells;  // one per worker; ringing it wakes the worker
  // Frames from the control thread (NAT keep-alives). They leave as if the host had sent them
  // through Packet::interface. Worker 0 sends them; ring its bell after a push.
  SpscRing<Packet*> injected{256};
  // XFRM's larval_drop is 0: packets wait for the SA that key management was asked to create.
  std::atomic<bool> hold_larval{false};
  Doorbell control_bell;  // rung after a pushed event, and when the seal guard caught a device
  // Random word that fills the ICV's place until the packet is sealed (seal_proof.h).
  const uint64_t unsealed_word = RandomWord();
  // Entries of each flow cache of a worker (beside it, PlainFlows has four times as many); a power
  // of two. Set before the workers are created.
  uint32_t flow_entries = 16384;
  // IKE of this host passes without a policy (datapath/always_passes.h). Control may change it at
  // any time.
  std::atomic<bool> ike_bypass{false};
  SharedReassembler opened_fragments{RandomWord()};  // of packets that SAs opened
  EtherTypes pass_ether_types;  // frames that pass although they are neither IP nor ARP
  // Packets that follow each other take the straight way (outbound_straight.h, inbound_straight.h)
  // if they are at least so many: fewer are not worth a round of their own. Tests change it, to
  // show that both ways do the same. Set before the workers start.
  uint32_t straight_from = 8;
  static constexpr uint32_t kNeverStraight = ~uint32_t{0};
  // Readers of CapturePoints::inner, all interfaces together.
  std::atomic<uint32_t> inner_readers{0};
  // How long an idle worker polls before it sleeps, in microseconds. Set before the workers start.
  uint32_t busy_poll_us = 0;

 private:
  using UdpPorts = std::vector<uint16_t>;
  using IkeSockets = std::vector<SocketEnds>;
  std::atomic<uint64_t> generation_{1};
  std::atomic<uint64_t> next_hops_{1};
  std::atomic<const HostAddresses*> host_addresses_;
  std::atomic<const UdpPorts*> encap_ports_;
  std::atomic<const IkeSockets*> ike_sockets_;
};

// Names the packet's tunnel interface in its flow. False: it is gone. REQUIRES: packet.tunnel != 0.
inline bool SetTunnelOf(const DataPath& path, const Packet& packet, FlowKey* flow) {
  const Tunnel* tunnel = path.tunnels.at(packet.tunnel);
  if (tunnel == nullptr) return false;
  flow->SetTunnel(tunnel->identity.if_id, tunnel->identity.mark);
  return true;
}

// How the host would route what came in by the packet's tunnel or device.
inline InsideScope ScopeOf(const DataPath& path, const Packet& packet) {
  if (packet.tunnel == 0) return path.inside.ScopeOf(packet.interface);
  const Tunnel* tunnel = path.tunnels.at(packet.tunnel);
  return tunnel != nullptr ? tunnel->inside_scope.load(std::memory_order_relaxed) : kNoInsideScope;
}

}  // namespace cygnet
