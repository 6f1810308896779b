// OffloadDevice: the contract of a device that does ESP cryptography (doc/offload_contract.md). The
// stack builds ESP packets and keeps sequence, replay and lifetimes; the device seals them on the
// way out and opens them on the way in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/doorbell.h"
#include "base/ids.h"
#include "base/result.h"
#include "device/placement_reason.h"
#include "packet/packet.h"
#include "sa/half.h"
#include "sa/sa_spec.h"

namespace cygnet {

// What a device can do. Data, so that placement can answer before anything is installed.
struct OffloadCaps {
  bool crypto_offload = false;
  bool packet_offload = false;
  bool inbound = false;
  bool outbound = false;
  bool transport = false;
  bool tunnel = false;
  bool beet = false;
  bool ipv4 = false;
  bool ipv6 = false;
  bool esn = false;
  bool udp_encap = false;
  // What ethtool calls esp-tx-csum-hw-offload and tx-esp-segmentation; the stack does both itself.
  bool inner_checksum = false;
  bool segmentation = false;
  std::array<std::string_view, 16> algorithms{};  // AlgorithmDescriptor names
  std::array<uint16_t, 8> key_bytes{};            // without salt; 0 = unused
  std::array<uint8_t, 8> icv_bytes{};
  uint32_t max_replay_window = 0;  // of inbound SAs; the device tracks the high word over this span
};

// One thing that an SA asks of a device. `missing`: what the device lacks ("esn", "icv-64" …).
struct CapabilityCheck {
  std::string_view name;
  std::optional<std::string> missing;
};
// In the order in which a refusal names the first. `mode`: what is asked for.
std::vector<CapabilityCheck> CheckCapabilities(const OffloadCaps& caps, const SaSpec& spec,
                                               Half half, OffloadMode mode);

// Who a device is, as an operator's boundary list names it (cygnet-fips(7)). Empty: it cannot say.
struct DeviceIdentity {
  std::string model;
  std::string serial;
  std::string firmware;
  bool simulated = false;  // a program that plays a device: keys stay in this host's memory
  bool operator==(const DeviceIdentity&) const = default;
};

enum class DeviceState : uint8_t {
  kUp,
  kDown,      // the offload unit is stopped; frames pass
  kLinkDown,  // no carrier: frames do not pass either
  kResetting,
  kRemoved,
  kFailed,  // the driver or firmware has crashed, or was caught lying
};
std::string_view Name(DeviceState state);

// One half of an SA, as a device is asked to take it.
struct OffloadSa {
  const SaSpec& spec;
  Half half = Half::kOutbound;
  uint64_t highest = 0;  // inbound: highest authenticated sequence number, with its high word
};

enum class AddSaError : uint8_t { kTableFull, kAddressTableFull, kDeviceDown, kRefused };

struct DeviceRefusal {
  AddSaError kind = AddSaError::kRefused;
  Errc code = Errc::kNotSupported;  // EOPNOTSUPP: "do it in software", honoured for crypto offload
  std::string text;
};

struct OffloadStats {
  uint32_t slots_used = 0;  // of both directions
  uint32_t slots_high_water = 0;
  uint32_t slots_limit = 0;
  uint32_t outbound_used = 0;
  uint32_t inbound_used = 0;
  uint32_t direction_limit = 0;  // cards have a table per direction; this is the size of each
  uint32_t addresses_used = 0;   // receive addresses: distinct destinations of inbound SAs
  uint32_t addresses_high_water = 0;
  uint32_t addresses_limit = 0;  // 0 = none
  uint64_t sealed = 0;           // packets
  uint64_t opened = 0;
  uint64_t auth_failed = 0;
  uint64_t passed_unknown = 0;  // inbound ESP of no SA in the table: handed up as it came
  uint64_t refusals = 0;        // SA adds refused
  uint64_t dropped_stale = 0;   // outbound packets whose SA was gone: never sent
  uint64_t returned = 0;        // outbound packets handed back unsealed: the stack seals them
  uint64_t resets = 0;          // times the device lost its tables
};

// A key that a device was offered. What a device logs of itself; no key material.
struct KeyLogEntry {
  uint64_t time = 0;  // wall-clock seconds
  SaId id;
  bool inbound = false;
  bool taken = false;   // false: refused, nothing kept
  bool erased = false;  // taken, and gone since
};

// Control calls from the control thread, data calls from workers. The life of one half of an SA:
// AddSa → StartSa → … → StopSa → ReleaseSa; the key is erased some time after ReleaseSa, or by a
// reset of the device, and TakeErased tells.
class OffloadDevice {
 public:
  virtual ~OffloadDevice() = default;

  virtual std::string_view device_name() const = 0;
  virtual DeviceIdentity identity() const = 0;
  virtual const OffloadCaps& caps() const = 0;
  // Any thread. Whoever is not kUp takes no SAs, seals and opens nothing.
  virtual DeviceState state() const = 0;
  bool offload_up() const { return state() == DeviceState::kUp; }
  // Rises each time the device loses its tables. Handles given before mean nothing after.
  virtual uint32_t resets() const = 0;
  // Rung when state(), resets() or what TakeErased() returns has changed. nullptr: nobody listens.
  virtual void SetBell(Doorbell* bell) = 0;

  // --- Control thread ---
  // Takes a copy of the key into the device's own store. An inbound half matches no packet before
  // StartSa: workers must know the handle first.
  virtual std::optional<DeviceRefusal> AddSa(const OffloadSa& sa, OffloadHandle* handle) = 0;
  virtual void StartSa(OffloadHandle handle) = 0;
  // No new packets will name the handle; the device stops matching arriving ones.
  virtual void StopSa(OffloadHandle handle) = 0;
  // After the last packet is back: the slot is free, its key wiped.
  virtual void ReleaseSa(OffloadHandle handle) = 0;
  // Handles whose keys were erased since the last call, each once.
  virtual std::vector<OffloadHandle> TakeErased() = 0;
  virtual OffloadStats offload_stats() const = 0;
  // SAs the table holds now, for the operator.
  virtual std::vector<SaId> HeldSas() const = 0;
  // The last keys that were offered, oldest first, bounded; empty: the device keeps no log.
  virtual std::vector<KeyLogEntry> KeyLog() const { return {}; }
  // Makes a device that can play faults do so ("reset", "link-down" …).
  virtual Status InjectFault(std::string_view fault) {
    (void)fault;
    return MakeError(Errc::kNotSupported, "this device plays no faults");
  }

  // --- Workers ---
  // The highest authenticated number of an ESN SA moved.
  virtual void AdvanceEsn(OffloadHandle handle, uint64_t highest) = 0;
  // Outbound: which of the packets (already encapsulated, offload meta filled in) the device can
  // seal. The others are sealed in software.
  virtual void FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) = 0;
};

}  // namespace cygnet
