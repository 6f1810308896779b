// OffloadDevice: the contract of a device that does ESP cryptography (doc/offload_contract.md). The
// stack builds ESP packets and keeps sequence numbers, replay windows and lifetimes. The device
// seals packets on the way out and opens them on the way in. Packets pass through the device's Port
// (device/port.h) and are changed in place. Their headroom and tailroom belong to the stack, and
// their bytes have no alignment.
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
#include "sa/number_block.h"
#include "sa/sa_spec.h"

namespace cygnet {

// The capabilities of a device. Data, so that placement can decide before anything is installed.
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
  bool packet_udp_encap = false;  // with packet offload
  // Packet offload, inbound: it refuses packets that it has accepted before …
  bool replay_check = true;
  bool replay_check_without_esn = true;  // … also of SAs without ESN; false: a finding says so
  // Shown as ethtool's esp-tx-csum-hw-offload and tx-esp-segmentation. The stack does both itself.
  bool inner_checksum = false;
  bool segmentation = false;
  std::string_view driver = {};  // shown as ethtool's driver; empty: that of the host's interface
  std::vector<std::string_view> algorithms = {};  // AlgorithmDescriptor names
  std::vector<uint16_t> key_bytes = {};  // without salt; required for algorithms with a key
  std::vector<uint8_t> icv_bytes = {};   // required for algorithms with an ICV
  // Of inbound SAs. The device infers the ESN high word over this span.
  uint32_t max_replay_window = 0;
};

// One requirement of an SA. `missing`: what the device lacks ("esn", "icv-64" …).
struct CapabilityCheck {
  std::string_view name;
  std::optional<std::string> missing;
};
// In order: a refusal names the first one that is missing. `mode`: the requested mode.
std::vector<CapabilityCheck> CheckCapabilities(const OffloadCaps& caps, const SaSpec& spec,
                                               Half half, OffloadMode mode);

// The identity of a device, as a boundary list names it (cygnet-fips(7)). Empty: unknown.
struct DeviceIdentity {
  std::string model;
  std::string serial;
  std::string firmware;
  bool simulated = false;  // a software device: keys stay in this host's memory
  bool operator==(const DeviceIdentity&) const = default;
};

enum class DeviceState : uint8_t {
  kUp,
  kDown,      // the offload unit is stopped; frames pass
  kLinkDown,  // no carrier: frames do not pass
  kResetting,
  kRemoved,
  kFailed,  // the driver or firmware crashed, or the seal guard caught it
};
std::string_view Name(DeviceState state);

// One half of an SA to install. Valid during the call only: the device copies what it needs later,
// above all the key.
struct OffloadSa {
  const SaSpec& spec;
  Half half = Half::kOutbound;
  uint64_t highest = 0;  // inbound: highest authenticated sequence number, with its high word
  OffloadMode mode = OffloadMode::kCrypto;
  // kPacket: the numbers that the device may use or accept. An inbound packet below `numbers.first`
  // belongs to the stack's own window.
  NumberBlock numbers = {};
  uint32_t number = 0;  // kPacket: low 32 bits of Sa::number, for Packet::SetSaNumber
  // kPacket, outbound: the device's IV is the 64-bit number XOR this mask, as the stack's. Both use
  // the same key, so only the same form of IV keeps (key, nonce) unique.
  uint64_t iv_mask = 0;
};

enum class InstallError : uint8_t { kTableFull, kAddressTableFull, kDeviceDown, kRefused };

struct DeviceRefusal {
  InstallError kind = InstallError::kRefused;
  Errc code = Errc::kNotSupported;  // EOPNOTSUPP: "use software"; crypto offload falls back
  std::string text;
};

struct OffloadStats {
  uint32_t slots_used = 0;  // sum of both directions
  uint32_t slots_high_water = 0;
  uint32_t slots_limit = 0;
  uint32_t outbound_used = 0;
  uint32_t inbound_used = 0;
  uint32_t direction_limit = 0;  // size of each direction's table
  uint32_t addresses_used = 0;   // receive addresses: distinct destinations of inbound SAs
  uint32_t addresses_high_water = 0;
  uint32_t addresses_limit = 0;  // 0 = none
  uint64_t sealed = 0;           // packets
  uint64_t opened = 0;
  uint64_t auth_failed = 0;
  uint64_t passed_unknown = 0;  // inbound ESP without an SA in the table: passed up unchanged
  uint64_t refusals = 0;        // SA adds refused
  uint64_t dropped_stale = 0;   // outbound packets whose SA was removed: never sent
  uint64_t returned = 0;        // outbound packets returned unsealed: the stack seals them
  uint64_t resets = 0;          // times the device lost its tables
};

class DeviceRecords;
class FaultInjection;
class Loopback;
class PacketOffload;
class SaFindings;

// The life of one half of an SA: InstallSa → StartSa → … → StopSa → ReleaseSa. The device erases
// the key some time after ReleaseSa, or in a reset, and reports that by TakeErased.
//
// Threads: one control thread, and one worker per queue of the port. "Any thread" is any of these,
// concurrently with any other call. A call must not throw and must not wait for a packet. A device
// exists from its driver's `create` until the data path has stopped.
class OffloadDevice {
 public:
  virtual ~OffloadDevice() = default;

  // --- Any thread ---
  // The device's name for operators. Constant.
  virtual std::string_view device_name() const = 0;
  // Constant.
  virtual DeviceIdentity identity() const = 0;
  // Constant once the first SA is installed. Valid as long as the device.
  virtual const OffloadCaps& caps() const = 0;
  // A device that is not kUp installs no SAs and neither seals nor opens packets.
  virtual DeviceState state() const = 0;
  bool offload_up() const { return state() == DeviceState::kUp; }
  // Increases each time the device loses its tables. All earlier handles become invalid.
  virtual uint32_t resets() const = 0;
  // Why it is kFailed, for operators; empty: it does not know, or has not failed.
  virtual std::string failure() const { return {}; }

  // --- Control thread ---
  // The device rings the bell when state(), resets() or the result of TakeErased() changes. Once
  // SetBell has returned, the old bell is not rung again. nullptr: no bell.
  virtual void SetBell(Doorbell* bell) = 0;
  // Copies the key into the device's own store and keeps no reference to `sa`. An inbound half
  // matches no packet before StartSa. On a refusal the device holds nothing of the SA, and `handle`
  // is unchanged. Lack of memory is a refusal, too (kRefused, Errc::kNoMemory). Expect thousands of
  // calls in a row, as when an IKE daemon starts.
  virtual std::optional<DeviceRefusal> InstallSa(const OffloadSa& sa, OffloadHandle* handle) = 0;
  // What the device's driver says to an SA that caps() rules out, as in the kernel: errno and text
  // for the client. The device gets no key and changes nothing. nullopt: it has no answer of its
  // own.
  virtual std::optional<DeviceRefusal> OwnRefusal(const SaSpec&, Half, OffloadMode) const {
    return std::nullopt;
  }
  // The workers know the handle. Their writes before this call are visible when a packet that the
  // device opened for the SA arrives. Cannot fail; ignores a handle from before a reset.
  virtual void StartSa(OffloadHandle handle) = 0;
  // Stops matching arriving packets. The device gets no new outbound packets for the handle, except
  // those that FilterEligible has already accepted.
  virtual void StopSa(OffloadHandle handle) = 0;
  // No worker will hand over a packet for the handle. Packets already in the device still leave
  // sealed; then the device frees the slot and wipes the key.
  virtual void ReleaseSa(OffloadHandle handle) = 0;
  // Handles whose keys were erased since the last call, by a release or a reset. Each appears once.
  virtual std::vector<OffloadHandle> TakeErased() = 0;
  // A copy; the values may be from different moments.
  virtual OffloadStats offload_stats() const = 0;
  // The operator wants a device that has failed back now. A device that tries by itself does not
  // wait for its time; others do nothing.
  virtual void TryAgain() {}

  // --- Workers ---
  // Updates the highest authenticated number of an ESN SA, at most once per 2^31 packets of the SA.
  // A stale handle is ignored.
  virtual void AdvanceEsn(OffloadHandle handle, uint64_t highest) = 0;
  // Outbound, per run of one SA: sets which packets the device can seal; software seals the others.
  // The packets are already encapsulated and have their offload metadata. `eligible` is as long as
  // `packets`. A worker may call it until its next quiescent state after StopSa, never after
  // ReleaseSa. Takes no lock that a control call holds for long.
  virtual void FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) = 0;

  // --- Optional parts; nullptr: not supported ---
  // Packet offload (device/packet_offload.h).
  virtual PacketOffload* packet_offload() { return nullptr; }
  // device/device_extras.h
  virtual const DeviceRecords* records() const { return nullptr; }
  virtual FaultInjection* faults() { return nullptr; }
  virtual SaFindings* findings() { return nullptr; }
  virtual Loopback* loopback() { return nullptr; }
};

}  // namespace cygnet
