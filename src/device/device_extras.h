// What a device may offer besides the contract (device/offload_device.h), for operators and tests.
// A driver of a card needs none of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"
#include "sa/half.h"
#include "sa/sa_spec.h"

namespace cygnet {

struct OffloadSa;

// A key that was offered to a device, as the device logs it. Contains no key material.
struct KeyLogEntry {
  uint64_t time = 0;  // wall-clock seconds
  SaId id;
  Half half = Half::kOutbound;
  bool taken = false;   // false: refused, nothing kept
  bool erased = false;  // was taken, and has been erased
};

// A counter of the card under the name that its driver gives it, which `ethtool -S` shows.
struct DeviceStatistic {
  std::string name;  // at most 31 characters, without quotes and backslashes
  uint64_t value = 0;
};

// The device's own records of the keys that it holds and was offered. Control thread.
class DeviceRecords {
 public:
  virtual ~DeviceRecords() = default;
  // SAs in its table now.
  virtual std::vector<SaId> HeldSas() const = 0;
  // The last keys offered, oldest first, bounded.
  virtual std::vector<KeyLogEntry> KeyLog() const = 0;
  // The SAs as the driver of the card itself shows them, without keys; empty: it shows nothing.
  virtual std::string DriverView() const { return {}; }
  // In the driver's order. Number and names are constant; empty: its driver has none.
  virtual std::vector<DeviceStatistic> Statistics() const { return {}; }
};

// How an SA runs on a device in truth, where the device claims more.
enum class ClaimGap : uint8_t {
  kNotUsed,        // it took the SA, and the CPU does the work
  kNotHeld,        // it said that it took the SA, and has nothing
  kNoReplayCheck,  // it opens packets, but does not check replay
};
// "not-used", "not-held", "no-replay-check".
std::string_view Name(ClaimGap gap);

struct SaFinding {
  OffloadHandle handle;
  ClaimGap gap = ClaimGap::kNotUsed;
  std::string text;  // for operators
};

// A device that knows, or learns after InstallSa, that it does less with an SA than it claimed.
class SaFindings {
 public:
  virtual ~SaFindings() = default;
  // The findings since the last call. The device rings its bell for kNotHeld, because that half
  // must move. Control thread.
  virtual std::vector<SaFinding> TakeFindings() = 0;
};

// A device that can work on packets that never touch the wire, so that its cryptography can be
// compared with known answers before it gets the key of a client. Control thread.
class Loopback {
 public:
  virtual ~Loopback() = default;
  // Does with each packet, in the order given, what the device does with packets of `sa`: seals
  // (kSealRequested) or protects (kProtectRequested) outbound ones as if a policy admitted them,
  // opens or decapsulates arriving frames of an inbound SA. The result is in place, with the status
  // that the workers would see. `drops`, as long as `packets`: why the device drops a packet that
  // the caller keeps; kNone: it would pass. The SA is known during the call only: it takes no slot,
  // no counter or key log shows it, and its key is erased on return. No packet leaves by the wire
  // or is handed up. Packets that wait for numbers have the status that they would have after
  // StopSa. Errc::kNetworkDown: the device is not kUp. Errc::kNotSupported: it does not take such
  // an SA, as InstallSa would say; the packets are unchanged.
  virtual Status Loop(const OffloadSa& sa, std::span<Packet* const> packets,
                      std::span<DropReason> drops) = 0;
};

// A device that can simulate faults ("reset", "link-down" …). Any thread.
class FaultInjection {
 public:
  virtual ~FaultInjection() = default;
  virtual Status InjectFault(std::string_view fault) = 0;
};

}  // namespace cygnet
