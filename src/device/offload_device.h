// OffloadDevice: the contract of a device that does ESP cryptography (doc/offload_contract.md). The
// stack builds ESP packets and keeps sequence, replay and lifetimes; the device seals them on the
// way out and opens them on the way in. Packets come and go by the device's Port (device/port.h),
// in place: their headroom and tailroom are the stack's, their bytes are aligned to nothing.
#pragma once

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
  std::vector<std::string_view> algorithms = {};  // AlgorithmDescriptor names
  std::vector<uint16_t> key_bytes = {};           // without salt; needed by what has a key
  std::vector<uint8_t> icv_bytes = {};            // needed by what has an ICV
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

// One half of an SA, as a device is asked to take it. Lives for the call only: what the device
// needs later, the key above all, it copies.
struct OffloadSa {
  const SaSpec& spec;
  Half half = Half::kOutbound;
  uint64_t highest = 0;  // inbound: highest authenticated sequence number, with its high word
};

enum class InstallError : uint8_t { kTableFull, kAddressTableFull, kDeviceDown, kRefused };

struct DeviceRefusal {
  InstallError kind = InstallError::kRefused;
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

class DeviceRecords;
class FaultInjection;

// The life of one half of an SA: InstallSa → StartSa → … → StopSa → ReleaseSa; the key is erased
// some time after ReleaseSa, or by a reset of the device, and TakeErased tells.
//
// Threads: one control thread, and workers, one for each queue of the port. "Any thread" is any of
// them, at the same time as any other call. No call may throw, and none may wait for a packet. A
// device lives from its driver's `create` until the data path has stopped.
class OffloadDevice {
 public:
  virtual ~OffloadDevice() = default;

  // --- Any thread ---
  // What operators call it. Constant.
  virtual std::string_view device_name() const = 0;
  // Constant.
  virtual DeviceIdentity identity() const = 0;
  // Constant once the first SA is installed; lives as long as the device.
  virtual const OffloadCaps& caps() const = 0;
  // A device that is not kUp takes no SAs, seals and opens nothing.
  virtual DeviceState state() const = 0;
  bool offload_up() const { return state() == DeviceState::kUp; }
  // Rises each time the device loses its tables. Handles given before mean nothing after.
  virtual uint32_t resets() const = 0;

  // --- Control thread ---
  // Rung when state(), resets() or what TakeErased() returns has changed; once SetBell has
  // returned, the old bell is not rung again. nullptr: nobody listens.
  virtual void SetBell(Doorbell* bell) = 0;
  // Copies the key into the device's own store; nothing of `sa` is kept. An inbound half matches no
  // packet before StartSa. On refusal the device holds nothing of the SA, and `handle` stays as it
  // was; want of memory is a refusal, too (kRefused, Errc::kNoMemory). Thousands of calls may come
  // at once, as from an IKE daemon that starts.
  virtual std::optional<DeviceRefusal> InstallSa(const OffloadSa& sa, OffloadHandle* handle) = 0;
  // The workers know the handle: all that they were told before the call they see when a packet
  // that the device opened for the SA comes. Cannot fail; a handle from before a reset means
  // nothing.
  virtual void StartSa(OffloadHandle handle) = 0;
  // The device stops matching arriving packets. No new outbound packet is given to it for the
  // handle, but what FilterEligible has let pass may still be on its way.
  virtual void StopSa(OffloadHandle handle) = 0;
  // No worker will hand over a packet for it. What the device has taken still leaves sealed; then
  // the slot is free and its key wiped.
  virtual void ReleaseSa(OffloadHandle handle) = 0;
  // Handles whose keys were erased since the last call, by a release or a reset; each once.
  virtual std::vector<OffloadHandle> TakeErased() = 0;
  // A copy; figures may be of different moments.
  virtual OffloadStats offload_stats() const = 0;

  // --- Workers ---
  // The highest authenticated number of an ESN SA moved: at most once for each 2^31 packets of the
  // SA. A stale handle is ignored.
  virtual void AdvanceEsn(OffloadHandle handle, uint64_t highest) = 0;
  // Outbound, for each run of one SA: which of the packets (already encapsulated, offload meta
  // filled in) the device can seal. The others are sealed in software. `eligible` is as long as
  // `packets`. A worker may call it until its next quiescent state after StopSa, never after
  // ReleaseSa. Takes no lock that a control call holds for long.
  virtual void FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) = 0;

  // --- What a device may offer besides (device/device_extras.h); nullptr: it does not ---
  virtual const DeviceRecords* records() const { return nullptr; }
  virtual FaultInjection* faults() { return nullptr; }
};

}  // namespace cygnet
