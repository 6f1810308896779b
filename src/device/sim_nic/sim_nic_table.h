// The software NIC's SA tables and key store: its own key copies and sessions, and as on a card a
// fixed number of slots per direction and of receive addresses.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/key_material.h"
#include "crypto/crypto_engine.h"
#include "device/offload_device.h"
#include "device/sim_nic/card_request.h"
#include "device/sim_nic/sim_nic_key_log.h"
#include "device/sim_nic/sim_nic_packet.h"
#include "esp/crypto_jobs.h"
#include "sa/sa_spec.h"

namespace cygnet {

// Not thread-safe: protected by SimNic's lock.
class SimNicTable {
 public:
  struct Slot {
    bool used = false;
    bool stopped = false;
    Half half = Half::kOutbound;
    uint32_t generation = 0;
    SaId id;
    KeyMaterial key;
    KeyMaterial auth_key;
    std::unique_ptr<CryptoSession> session;
    esp::JobParams params;
    uint32_t window = 0;
    uint64_t highest = 0;  // inbound ESN: highest authenticated number
    uint64_t log_number = 0;
    std::optional<uint32_t> wiped;           // the last generation that a wipe removed
    CardRequest request = {};                // what its card was asked
    bool held = true;                        // false: the card said so, and has nothing
    bool matches = true;                     // inbound: false: the card never opens its packets
    std::unique_ptr<SimNicPacketSa> packet;  // packet offload only
    bool in_loop = false;                    // it is the slot of AddForLoop
  };

  // `limit`: slots of each direction. `address_limit`: distinct destinations of inbound SAs; 0 =
  // unlimited.
  // `faults`: of SAs in packet offload; nullptr: none. Outlives this.
  explicit SimNicTable(uint32_t limit, uint32_t address_limit = 0, PendingFaults* faults = nullptr);

  // nullopt: success, `handle` is set. `now`: for the key log.
  std::optional<DeviceRefusal> Add(const OffloadSa& sa, uint64_t now, OffloadHandle* handle);
  // An SA outside the table's slots, of which at most one exists at a time: no limit, counter or
  // log knows it. It matches arriving packets at once, before any SA of the same identity. Until
  // EndLoop it is found by `handle`.
  std::optional<DeviceRefusal> AddForLoop(const OffloadSa& sa, OffloadHandle* handle);
  void EndLoop(OffloadHandle handle);

  // Logs an SA that was refused before the table was consulted.
  void NoteRefused(const OffloadSa& sa, uint64_t now) { (void)log_.Offer(sa, false, now); }
  // From now on the inbound slot matches arriving packets.
  void Start(OffloadHandle handle);
  void Stop(OffloadHandle handle);
  void Release(OffloadHandle handle);
  // Removes everything, as a reset does: all earlier handles become invalid.
  void Wipe();
  // True if a wipe removed the handle's SA, rather than a release.
  bool WasWiped(OffloadHandle handle) const;

  // The card has nothing of the SA. Its key stays with the driver until it is released.
  void Lose(OffloadHandle handle);
  // Each SA in the table, in the order of its slots.
  void ForEach(const std::function<void(OffloadHandle, uint32_t, const Slot&)>& visit) const;

  // The slot of a handle, stopped or not; nullptr: released.
  Slot* Find(OffloadHandle handle);
  const Slot* Find(OffloadHandle handle) const {
    return const_cast<SimNicTable*>(this)->Find(handle);
  }
  // The slot that matches an arriving packet and is not stopped.
  Slot* FindInbound(uint32_t spi, const IpAddress& daddr, IpFamily family, OffloadHandle* handle);

  // For a fault: a session that makes the ICV of the slot's packets from bytes that are sealed.
  // That of an AEAD also changes the text, as sealing does. nullptr: there is none.
  std::unique_ptr<CryptoSession> MakeIcvSession(const Slot& slot);

  bool HasSlot(Half half) const { return !free_[IndexOf(half)].empty(); }
  // False: an inbound SA to this address needs an address entry, and none is free.
  bool HasAddress(const SaSpec& spec, Half half) const;
  // UDP ports that carry ESP to SAs in packet offload, ascending.
  std::span<const uint16_t> encap_ports() const { return encap_ports_; }
  // Of packet offload, since the last call.
  std::vector<PacketOffloadEvent> TakeEvents() { return std::exchange(events_, {}); }
  bool HasEvents() const { return !events_.empty(); }
  // Calls fn(handle, slot) for each SA in packet offload.
  template <typename Fn>
  void ForEachPacketSa(Fn fn) {
    for (uint32_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].used && slots_[i].packet != nullptr) fn(HandleOf(i), slots_[i]);
    }
  }

  uint32_t used() const { return used_[0] + used_[1]; }
  uint32_t used(Half half) const { return used_[IndexOf(half)]; }
  uint32_t high_water() const { return high_water_; }
  uint32_t limit() const { return static_cast<uint32_t>(slots_.size() / 2); }
  uint32_t addresses_used() const { return static_cast<uint32_t>(addresses_.size()); }
  uint32_t addresses_high_water() const { return addresses_high_water_; }
  uint32_t addresses_limit() const { return address_limit_; }
  std::vector<SaId> Held() const;
  std::vector<KeyLogEntry> KeyLog() const { return log_.All(); }
  // Handles released since the last call.
  std::vector<OffloadHandle> TakeErased() { return std::exchange(erased_, {}); }

 private:
  struct InboundKey {
    IpAddress daddr;
    uint32_t spi;
    IpFamily family;
    bool operator==(const InboundKey&) const = default;
  };
  struct InboundKeyHash {
    std::size_t operator()(const InboundKey& k) const {
      return SeededHash(std::hash<IpAddress>{}(k.daddr), k.spi);
    }
  };

  struct Destination {
    IpAddress daddr;
    IpFamily family;
    bool operator==(const Destination&) const = default;
  };
  struct DestinationHash {
    std::size_t operator()(const Destination& d) const { return std::hash<IpAddress>{}(d.daddr); }
  };

  std::optional<DeviceRefusal> CheckRoom(const OffloadSa& sa) const;
  std::optional<DeviceRefusal> LoadKey(const OffloadSa& sa, Slot* slot);
  void Fill(const OffloadSa& sa, OffloadHandle handle, Slot* slot);
  void Clear(Slot* slot);
  void Unmatch(const Slot& slot);
  OffloadHandle HandleOf(uint32_t index) const;
  void CountEncapPort(uint16_t port, int delta);
  void CountAdded(const Slot& slot);
  void CountReleased(const Slot& slot);

  std::unique_ptr<CryptoEngine> engine_;
  const uint32_t address_limit_;
  PendingFaults* const faults_;
  std::vector<Slot> slots_;         // of both directions, and the one of AddForLoop
  std::optional<uint32_t> beside_;  // slot that the one of AddForLoop keeps from matching
  std::array<std::vector<uint32_t>, 2> free_;  // outbound, inbound
  std::unordered_map<InboundKey, uint32_t, InboundKeyHash> inbound_;
  std::unordered_map<Destination, uint32_t, DestinationHash> addresses_;  // and the number of SAs
  std::vector<OffloadHandle> erased_;
  SimNicKeyLog log_;
  std::vector<PacketOffloadEvent> events_;
  std::map<uint16_t, int> encap_port_uses_;
  std::vector<uint16_t> encap_ports_;
  std::array<uint32_t, 2> used_{};
  uint32_t high_water_ = 0;
  uint32_t addresses_high_water_ = 0;
};

}  // namespace cygnet
