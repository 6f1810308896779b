// Why an SA's cryptography runs where it runs. CLI, JSON, log and extended ACK use these codes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/rare_text.h"

namespace cygnet {

enum class ReasonCode : uint8_t {
  // It runs where requested, or nothing was requested.
  kRequested,
  kNotRequested,
  kPromoted,  // the scheduler gave a busy SA a slot
  kReturned,  // back on its device after it was away
  // Not on a device, because of the request or the device's state.
  kDeviceUnknown,     // no Cygnet device has that interface index
  kDeviceOff,         // offload = "no" in the device's configuration
  kModeNotAllowed,    // the device's configuration allows other modes only
  kDeviceDown,        // the offload unit is down
  kLinkDown,          // no carrier
  kDeviceReset,       // lost its tables and is not back yet
  kDeviceRemoved,     // removed from the machine
  kDeviceFailed,      // the driver or firmware crashed, or it sent unsealed packets
  kOperatorDisabled,  // `cygnet offload disable`
  kOperatorRule,      // a [[placement]] rule or `cygnet placement set`
  // Capacity.
  kTableFull,         // no free SA slot
  kAddressTableFull,  // no free receive-address slot
  kRekeyReserve,      // the free slots are reserved for rekeying
  kDemoted,           // the scheduler gave its slot to a busier SA
  // Capability.
  kNoCapability,   // the device lacks the capability in the detail: "no-capability:esn"
  kWithdrawn,      // the self-test of the capability in the detail failed: "withdrawn:esn"
  kUntested,       // the device's self-test has not run since it is up
  kDeviceRefused,  // the device refused; the detail is its message
  kEngineRefused,  // the look-aside engine refused; the detail is its message
  kNotRecorded,    // the ledger cannot record the key; the detail is the error
  kSharedNumbers,  // packet offload: the device would number packets that other nodes may number
  // Trust.
  kNotTrusted,     // trusted = no
  kFipsUnlisted,   // FIPS mode: the boundary list does not name it
  kFipsMismatch,   // … lists another firmware, serial number or version; the detail names it
  kFipsExpired,    // … its entry has expired
  kFipsSelfTest,   // … its known-answer test failed
  kFipsAlgorithm,  // … the algorithm is not approved
  kCount
};

struct PlacementReason {
  ReasonCode code = ReasonCode::kNotRequested;
  RareText detail;

  // Stable: "table-full", "no-capability:icv-64". cygnet-placement(7) documents the codes. CLI,
  // JSON, log, extended ACK, ledger, metrics and captures use them.
  std::string Text() const;
  // A sentence for people.
  std::string Explanation() const;
  // Both, for an extended ACK: "table-full: the device's SA table is full".
  std::string FullText() const { return Text() + ": " + Explanation(); }
  bool operator==(const PlacementReason&) const = default;
};

std::string_view Name(ReasonCode code);
// The meaning of the code in a sentence, without the detail.
std::string_view Meaning(ReasonCode code);

}  // namespace cygnet
