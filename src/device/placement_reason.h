// Why an SA's cryptography runs where it runs: one vocabulary for CLI, JSON, log and extended ACK.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cygnet {

enum class ReasonCode : uint8_t {
  // It runs where it was asked to, or nobody asked.
  kRequested,
  kNotRequested,
  kPromoted,  // the scheduler gave a busy SA a slot
  kReturned,  // back on its device after it was away
  // Not on a device: what was asked for, or the device's state.
  kDeviceUnknown,     // no Cygnet device has that interface index
  kDeviceOff,         // the device's configuration says offload = no
  kModeNotAllowed,    // the device's configuration allows other modes only
  kDeviceDown,        // the offload unit is down
  kLinkDown,          // no carrier
  kDeviceReset,       // lost its tables and is not back yet
  kDeviceRemoved,     // gone from the machine
  kDeviceFailed,      // the driver or firmware crashed, or was caught sending unsealed packets
  kOperatorDisabled,  // `cygnet offload disable`
  kOperatorRule,      // a [[placement]] rule or `cygnet placement set` says no
  // Capacity.
  kTableFull,         // no SA slot left
  kAddressTableFull,  // no receive-address slot left
  kRekeyReserve,      // the slots left are kept for rekeying
  kDemoted,           // the scheduler gave its slot to a busier SA
  // Capability.
  kNoCapability,   // the device cannot do it; the detail names what: "no-capability:esn"
  kDeviceRefused,  // the device said no for a reason of its own; the detail has its text
  kEngineRefused,  // the look-aside engine did; the detail has its text
  kNotRecorded,    // the ledger cannot record that it has the key; the detail says why
  // Trust.
  kNotTrusted,     // trusted = no
  kFipsUnlisted,   // FIPS mode: the boundary list does not name it
  kFipsMismatch,   // … names another firmware, serial number or version; the detail says what
  kFipsExpired,    // … the entry's date is over
  kFipsSelfTest,   // … its known-answer test failed
  kFipsAlgorithm,  // … the algorithm is not approved
  kCount
};

struct PlacementReason {
  ReasonCode code = ReasonCode::kNotRequested;
  std::string detail;

  // Stable: "table-full", "no-capability:icv-64". The vocabulary is documented in
  // cygnet-placement(7) and used everywhere: CLI, JSON, log, extended ACK, ledger, metrics,
  // captures.
  std::string Text() const;
  // A sentence for people.
  std::string Explanation() const;
  // Both, for an extended ACK: "table-full: the device's SA table is full".
  std::string FullText() const { return Text() + ": " + Explanation(); }
  bool operator==(const PlacementReason&) const = default;
};

std::string_view Name(ReasonCode code);
// What the code means, for people, without the detail.
std::string_view Meaning(ReasonCode code);

}  // namespace cygnet
