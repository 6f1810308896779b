// DataPath: what all workers share: the databases, the interfaces, and the way back to control.
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
#include "datapath/shared_reassembler.h"
#include "device/driver.h"
#include "device/egress_guard.h"
#include "net/esp_view.h"
#include "net/ether_types.h"
#include "packet/packet_pool.h"
#include "policy/socket_policies.h"
#include "policy/spd.h"
#include "sa/sad.h"

namespace cygnet {

// One bump in the stack: the host's interface and the wire behind it.
struct Interface {
  Port* host = nullptr;
  Port* wire = nullptr;
  OffloadDevice* offload = nullptr;
  int32_t ifindex = 0;           // of the host side, as clients know it
  EgressGuard* guard = nullptr;  // at the wire
};

// What a worker reports to the control thread. Objects are named by their numbers, which outlive
// them.
struct DataPathEvent {
  enum class Kind : uint8_t {
    kAcquire,
    kSoftLimit,
    kHardLimit,
    kSequenceExhausted,
    kMapping,    // an authenticated packet came from another address or port than the SA says
    kShortQuote  // ICMP: too big, quoting ESP in UDP, but not as far as the SPI
  };
  Kind kind = Kind::kAcquire;
  uint8_t interface = 0;
  uint64_t sa_number = 0;
  uint64_t policy_number = 0;
  FlowKey flow{};    // kAcquire: of the packet; kMapping: of its outer header, ports of the UDP
                     // header; kShortQuote: of the quoted packet
  uint32_t mtu = 0;  // kShortQuote: as told
};

// Addresses of the host itself, to tell "in" from "forward". Immutable; replaced as a whole.
class HostAddresses {
 public:
  HostAddresses() = default;
  explicit HostAddresses(std::vector<ParsedAddress> addresses) : addresses_(std::move(addresses)) {}
  bool Contains(const IpAddress& a, IpFamily family) const {
    for (const ParsedAddress& own : addresses_) {
      if (own.family == family && own.address == a) return true;
    }
    return IsMulticastOrBroadcast(a, family);
  }
  const std::vector<ParsedAddress>& all() const { return addresses_; }
  bool AreTheSame(const std::vector<ParsedAddress>& others) const {
    const auto same = [](const ParsedAddress& a, const ParsedAddress& b) {
      return a.family == b.family && a.address == b.address;
    };
    return std::is_permutation(addresses_.begin(), addresses_.end(), others.begin(), others.end(),
                               same);
  }

 private:
  std::vector<ParsedAddress> addresses_;
};

// How many jobs CPU engines did for a worker, by the engine's number. Written by that worker.
struct alignas(kCacheLine) EngineJobs {
  std::array<std::atomic<uint64_t>, EngineSet::kMaxEngines> done{};
  void Add(uint32_t engine, uint64_t jobs) {
    done[engine].store(done[engine].load(std::memory_order_relaxed) + jobs,
                       std::memory_order_relaxed);
  }
};

class DataPath {
 public:
  static constexpr std::size_t kEvents = 1024;  // of a worker, on their way to control

  explicit DataPath(uint32_t workers)
      : spd(&quiescence),
        socket_policies(&quiescence),
        sad(&quiescence),
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
    delete host_addresses_.load();
    delete encap_ports_.load();
    delete ike_sockets_.load();
  }

  uint32_t workers() const { return static_cast<uint32_t>(events.size()); }

  // Control raises it with every change of SPD, SAD or host addresses that could change a decision:
  // what workers decided before holds no more. A larval SA changes no decision.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  void BumpGeneration() {
    generation_.fetch_add(1, std::memory_order_acq_rel);
    if (!hold_larval.load(std::memory_order_relaxed)) return;
    for (auto& bell : bells) bell->Ring();  // what waited for this need not wait longer
  }

  const HostAddresses& host_addresses() const {
    return *host_addresses_.load(std::memory_order_acquire);
  }
  // Does nothing when they are the same as before.
  void SetHostAddresses(std::vector<ParsedAddress> addresses) {
    if (host_addresses().AreTheSame(addresses)) return;
    const HostAddresses* old = host_addresses_.exchange(new HostAddresses(std::move(addresses)),
                                                        std::memory_order_acq_rel);
    quiescence.Retire([old] { delete old; });
    BumpGeneration();
  }

  // The UDP ports of this host that carry ESP, ascending: the standard one and those of SAs.
  std::span<const uint16_t> encap_ports() const {
    return *encap_ports_.load(std::memory_order_acquire);
  }
  void SetEncapPorts(std::vector<uint16_t> ports) {
    const UdpPorts* old =
        encap_ports_.exchange(new UdpPorts(std::move(ports)), std::memory_order_acq_rel);
    quiescence.Retire([old] { delete old; });
  }

  // The sockets that IKE daemons of this host have on ports 500 and 4500, for ike_bypass.
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

  // True when there is no policy at all.
  bool PolicyIdle() const { return spd.Idle() && socket_policies.Empty(); }

  Quiescence quiescence;
  Spd spd;
  SocketPolicies socket_policies;
  Sad sad;
  std::vector<Interface> interfaces;                             // fixed before the workers start
  std::vector<std::unique_ptr<SpscRing<DataPathEvent>>> events;  // one per worker
  std::vector<std::unique_ptr<DropCounters>> drops;              // one per worker
  std::vector<std::unique_ptr<EngineJobs>> engine_jobs;          // one per worker
  std::vector<Quiescence::Reader*> readers;                      // one per worker
  std::vector<std::unique_ptr<Doorbell>> bells;                  // one per worker: wakes it
  // Frames that control has made (NAT keep-alives). They leave as if the host had sent them by
  // Packet::interface. Worker 0 takes them: ring its bell.
  SpscRing<Packet*> injected{256};
  // XFRM's larval_drop is 0: packets wait for the SA that key management was asked for.
  std::atomic<bool> hold_larval{false};
  Doorbell control_bell;  // rung after an event was pushed, and when the guard caught a device
  // Stands where an ICV will, until somebody seals the packet (seal_proof.h). Random.
  const uint64_t unsealed_word = RandomWord();
  // Entries of each flow cache of a worker, a power of two. Fixed before the workers are made.
  uint32_t flow_entries = 16384;
  // IKE of this host passes without a policy (datapath/always_passes.h). Control may change it.
  std::atomic<bool> ike_bypass{false};
  SharedReassembler opened_fragments{RandomWord()};  // of what SAs opened
  EtherTypes pass_ether_types;  // frames that are neither IP nor ARP and pass all the same
  // How long a worker without work looks for more before it sleeps. Fixed before workers start.
  uint32_t busy_poll_us = 0;

 private:
  using UdpPorts = std::vector<uint16_t>;
  using IkeSockets = std::vector<SocketEnds>;
  std::atomic<uint64_t> generation_{1};
  std::atomic<const HostAddresses*> host_addresses_;
  std::atomic<const UdpPorts*> encap_ports_;
  std::atomic<const IkeSockets*> ike_sockets_;
};

}  // namespace cygnet
