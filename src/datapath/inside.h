// Inside: the inside interfaces of the host, as workers see them, and the hosts behind them. A
// packet from one is a packet of another host: policy is asked as for what the host forwards, and
// it never leaves in clear. A packet that an SA opened for a known host leaves by its interface.
//
// Control fills the table of hosts from the kernel's routes and neighbours. What it does not have
// goes by the host, and the worker tells control (Miss).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "base/spsc_ring.h"
#include "device/port.h"
#include "net/address.h"
#include "packet/packet.h"

namespace cygnet {

// A host behind an inside interface. Changed by replacement.
struct InsideHost {
  ParsedAddress address;
  uint16_t inside = 0;            // InsideInterface::number
  MacAddress next_hop{};          // its own address, or of the router in front of it
  std::atomic<bool> used{false};  // since control last looked
  void Touch() {
    if (!used.load(std::memory_order_relaxed)) used.store(true, std::memory_order_relaxed);
  }
};

struct InsideInterface {
  static constexpr uint32_t kMaxMtu = 65'535;

  uint16_t number = 0;  // Packet::tunnel
  std::string name;
  uint8_t device = 0;    // number of the interface that protects its packets
  uint16_t vlan = 0;     // of its frames; 0: untagged
  Port* port = nullptr;  // may be shared with other VLANs
  std::atomic<uint32_t> mtu{kMaxMtu};
  // Source of ICMP errors: addresses of the interface; all zero: none.
  std::atomic<uint32_t> address_v4{0};
  std::array<std::atomic<uint64_t>, 2> address_v6{};
  IpAddress Address(IpFamily family) const;
  void SetAddress(const ParsedAddress& own);

  // Any worker.
  struct Counters {
    std::atomic<uint64_t> in_packets{0}, in_bytes{0};    // taken from it
    std::atomic<uint64_t> out_packets{0}, out_bytes{0};  // sent by it
  } counters;
};

class Inside {
 public:
  static constexpr uint16_t kFirst = 4001;  // Packet::tunnel; above those of Tunnels
  static constexpr std::size_t kMax = 64;

  // A host that was not in the table when a packet of it came, or went to it.
  struct Miss {
    ParsedAddress host;
    IpAddress peer;  // the other end of the packet
    uint8_t device = 0;
  };

  Inside(uint32_t workers, Quiescence* quiescence) : hosts_(quiescence), quiescence_(quiescence) {
    for (uint32_t i = 0; i < workers; ++i) {
      misses_.push_back(std::make_unique<SpscRing<Miss>>(kMisses));
    }
  }
  ~Inside() {
    hosts_.ForEach([](InsideHost* host) { delete host; });
  }
  static bool IsNumber(uint32_t tunnel) { return tunnel >= kFirst; }

  // --- Workers ---
  bool empty() const { return interfaces_.empty(); }
  // nullptr: none has this number.
  InsideInterface* at(uint32_t number) const {
    return number >= kFirst && number - kFirst < interfaces_.size()
               ? interfaces_[number - kFirst].get()
               : nullptr;
  }
  // Each port once.
  const std::vector<Port*>& ports() const { return ports_; }
  // nullptr: none has frames of this VLAN.
  InsideInterface* Of(const Port* port, uint16_t vlan) const {
    for (const auto& interface : interfaces_) {
      if (interface->port == port && interface->vlan == vlan) return interface.get();
    }
    return nullptr;
  }
  InsideHost* Find(const IpAddress& address, IpFamily family) const {
    return hosts_.Find(HashOf(address, family), [&](const InsideHost* host) {
      return host->address.family == family && host->address.address == address;
    });
  }
  void CountMiss() { misses_seen_.fetch_add(1, std::memory_order_relaxed); }
  // False: control does not keep up, and will hear of a later packet.
  bool Report(uint32_t worker, const Miss& miss) { return misses_[worker]->Push({&miss, 1}) == 1; }

  // --- Control thread ---
  // REQUIRES: no worker runs yet.
  InsideInterface* Add(std::string name, uint8_t device, Port* port, uint16_t vlan);
  void Put(std::unique_ptr<InsideHost> host);  // replaces an entry of the same address
  void Drop(const ParsedAddress& address);
  template <typename Fn>
  void ForEachHost(Fn fn) const {
    hosts_.ForEach(fn);
  }
  std::size_t hosts() const { return hosts_.size(); }
  // Calls fn(miss) for at most `most`. True: there are more.
  template <typename Fn>
  bool TakeMisses(uint32_t most, Fn fn) {
    Miss miss;
    bool more = false;
    for (auto& ring : misses_) {
      uint32_t left = most / static_cast<uint32_t>(misses_.size()) + 1;
      for (; left > 0 && ring->Pop({&miss, 1}) == 1; --left) fn(miss);
      more = more || !ring->Empty();
    }
    return more;
  }
  uint64_t misses() const { return misses_seen_.load(std::memory_order_relaxed); }
  const std::vector<std::unique_ptr<InsideInterface>>& interfaces() const { return interfaces_; }

 private:
  static constexpr std::size_t kMisses = 256;
  static uint64_t HashOf(const IpAddress& address, IpFamily family) {
    return std::hash<IpAddress>{}(address) ^ static_cast<uint64_t>(family);
  }
  struct Hash {
    uint64_t operator()(const InsideHost& host) const {
      return HashOf(host.address.address, host.address.family);
    }
  };

  std::vector<std::unique_ptr<InsideInterface>> interfaces_;  // fixed before the workers start
  std::vector<Port*> ports_;
  RcuHash<InsideHost, Hash> hosts_;
  std::vector<std::unique_ptr<SpscRing<Miss>>> misses_;  // one for each worker
  std::atomic<uint64_t> misses_seen_{0};
  Quiescence* const quiescence_;
};

// Adds the interface's tag to an untagged frame. REQUIRES: room for it.
void AddVlan(const InsideInterface& interface, Packet* packet);
// Takes the tag off a frame, and returns its VLAN; 0: it had none. `packet`: a whole Ethernet
// header.
uint16_t TakeVlan(Packet* packet);

// Makes the frame of a packet that leaves by the interface: its Ethernet header, and a hop limit
// lower by one. REQUIRES: IP without IPv4 options; hop limit > 1; room for the header.
void WriteInsideFrame(const InsideInterface& interface, const MacAddress& next_hop, Packet* packet);
// A hop limit lower by one. REQUIRES: it is not 0.
void LowerHopLimit(uint8_t* l3);
uint8_t HopLimit(const uint8_t* l3);

}  // namespace cygnet
