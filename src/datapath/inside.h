// Inside: the inside interfaces of the host, as workers see them, and the hosts behind them. A
// packet from one is a packet of another host: policy is asked as for what the host forwards, by
// the device or into a tunnel interface, and it never leaves in clear. A packet that an SA opened
// for a known host leaves by its interface.
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

// What a packet is looked up by: where it comes from decides how the host's routing sees it.
struct InsideKey {
  uint32_t scope = 0;  // an InsideScope, or SourceScope()
  ParsedAddress address;
  bool operator==(const InsideKey& other) const {
    return scope == other.scope && address.family == other.address.family &&
           address.address == other.address.address;
  }
};

// Sources of packets that the host routes alike: those that came in by one interface, or by any
// interface of a VRF. Control gives the numbers.
using InsideScope = uint32_t;
inline constexpr InsideScope kNoInsideScope =
    ~InsideScope{0};  // nothing leaves by an inside interface
constexpr uint32_t SourceScope(uint8_t inside) { return 0x8000'0000u | inside; }

// Set by workers, taken back by control.
class InsideUse {
 public:
  void Touch() {
    if (!used_.load(std::memory_order_relaxed)) used_.store(true, std::memory_order_relaxed);
  }
  bool Take() { return used_.exchange(false, std::memory_order_relaxed); }

 private:
  std::atomic<bool> used_{false};
};

// Where packets for a host leave, if they come from `key.scope`. Changed by replacement.
struct InsideHost {
  InsideKey key;
  uint8_t inside = 0;     // InsideInterface::number
  MacAddress next_hop{};  // its own address, or of the router in front of it
  uint32_t mtu = 65'535;  // of the route; longer packets go by the host
  InsideUse use;
};

// Which way packets of a class of sources take by the host's routes: into which tunnel. A
// destination belongs to the last step whose address is not above it.
struct InsideStep {
  IpAddress first;
  bool taken = false;   // false: the host decides
  uint16_t tunnel = 0;  // 0: the device
};
class InsideRoutes {
 public:
  // REQUIRES: ascending, and the first step begins at the first address.
  explicit InsideRoutes(std::vector<InsideStep> steps) : steps_(std::move(steps)) {}
  const InsideStep& Find(const IpAddress& to) const;

 private:
  const std::vector<InsideStep> steps_;
};

struct InsideClass {
  // nullptr: what is taken is for the device.
  std::atomic<const InsideRoutes*> routes{nullptr};
  ~InsideClass() { delete routes.load(); }
};

// A host whose packets are accepted from the inside interface of `key.scope`.
struct InsideSource {
  InsideKey key;
  std::atomic<const InsideClass*> of_class{nullptr};
  InsideUse use;
};

struct InsideInterface {
  static constexpr uint32_t kMaxMtu = 65'535;

  uint8_t number = 0;  // Packet::inside
  std::string name;
  uint8_t device = 0;    // number of the interface that protects its packets of no tunnel
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
  static constexpr std::size_t kMax = 64;

  // A host that was not in the table when a packet of it came, or went to it.
  struct Miss {
    ParsedAddress host;
    IpAddress peer;       // the other end of the packet
    uint16_t tunnel = 0;  // that its other end is behind; 0: `device`
    uint8_t device = 0;
  };

  Inside(uint32_t workers, Quiescence* quiescence)
      : hosts_(quiescence), sources_(quiescence), quiescence_(quiescence) {
    for (uint32_t i = 0; i < workers; ++i) {
      misses_.push_back(std::make_unique<SpscRing<Miss>>(kMisses));
    }
  }
  ~Inside() {
    hosts_.ForEach([](InsideHost* host) { delete host; });
    sources_.ForEach([](InsideSource* source) { delete source; });
  }

  // --- Workers ---
  bool empty() const { return interfaces_.empty(); }
  // nullptr: none has this number.
  InsideInterface* at(uint32_t number) const {
    return number != 0 && number <= interfaces_.size() ? interfaces_[number - 1].get() : nullptr;
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
  InsideHost* FindHost(const InsideKey& key) const { return Find(hosts_, key); }
  InsideSource* FindSource(const InsideKey& key) const { return Find(sources_, key); }
  // Of what comes in by the device.
  InsideScope ScopeOf(uint8_t device) const {
    return device_scopes_[device].load(std::memory_order_relaxed);
  }
  void CountMiss() { misses_seen_.fetch_add(1, std::memory_order_relaxed); }
  // False: control does not keep up, and will hear of a later packet.
  bool Report(uint32_t worker, const Miss& miss) { return misses_[worker]->Push({&miss, 1}) == 1; }

  // --- Control thread ---
  // REQUIRES: no worker runs yet.
  InsideInterface* Add(std::string name, uint8_t device, Port* port, uint16_t vlan);
  void SetScope(uint8_t device, InsideScope scope) {
    device_scopes_[device].store(scope, std::memory_order_relaxed);
  }
  // Replace an entry of the same key.
  void Put(std::unique_ptr<InsideHost> host) { Replace(&hosts_, std::move(host)); }
  void Put(std::unique_ptr<InsideSource> source) { Replace(&sources_, std::move(source)); }
  void DropHost(const InsideKey& key) { Erase(&hosts_, FindHost(key)); }
  void DropSource(const InsideKey& key) { Erase(&sources_, FindSource(key)); }
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
  // The first interface that packets of the host are accepted from; nullptr: none.
  const InsideInterface* WhereFrom(const ParsedAddress& source) const {
    for (const auto& interface : interfaces_) {
      if (FindSource({SourceScope(interface->number), source}) != nullptr) return interface.get();
    }
    return nullptr;
  }

 private:
  static constexpr std::size_t kMisses = 256;
  static constexpr std::size_t kDevices = 256;  // Packet::interface
  struct Hash {
    uint64_t operator()(const InsideKey& key) const {
      return std::hash<IpAddress>{}(key.address.address) ^
             (static_cast<uint64_t>(key.address.family) + key.scope) * 0x9e37'79b9'7f4a'7c15u;
    }
    template <typename Entry>
    uint64_t operator()(const Entry& entry) const {
      return (*this)(entry.key);
    }
  };
  template <typename Entry>
  using Table = RcuHash<Entry, Hash>;

  template <typename Entry>
  static Entry* Find(const Table<Entry>& table, const InsideKey& key) {
    return table.Find(Hash{}(key), [&](const Entry* entry) { return entry->key == key; });
  }
  template <typename Entry>
  void Replace(Table<Entry>* table, std::unique_ptr<Entry> entry) {
    Entry* const before = Find(*table, entry->key);
    table->Insert(entry.release());  // found first
    Erase(table, before);
  }
  template <typename Entry>
  void Erase(Table<Entry>* table, Entry* entry) {
    if (entry == nullptr) return;
    table->Erase(entry);
    quiescence_->Retire([entry] { delete entry; });
  }

  std::vector<std::unique_ptr<InsideInterface>> interfaces_;  // fixed before the workers start
  std::vector<Port*> ports_;
  Table<InsideHost> hosts_;
  Table<InsideSource> sources_;
  std::array<std::atomic<InsideScope>, kDevices> device_scopes_{};
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
