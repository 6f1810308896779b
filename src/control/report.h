// What the operator is shown: values copied out of the control plane, ready to print.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/daemon_report.h"
#include "control/fence_status.h"
#include "control/mtu_report.h"
#include "control/placement/report.h"
#include "crypto/crypto_engine.h"
#include "device/capture.h"
#include "device/device_extras.h"
#include "device/egress_guard.h"
#include "device/offload_device.h"
#include "device/port.h"
#include "policy/policy.h"
#include "sa/sa.h"

namespace cygnet {

// Where one half of an SA runs.
struct PlacementReport {
  bool inbound = false;
  std::string requested;   // "no", "crypto", "packet", "auto" (the device's mode asked), "required"
  std::string effective;   // "software", "look-aside", "crypto", "blocked"
  std::string device;      // empty in software
  bool simulated = false;  // the device is a program
  std::string engine;      // of the CPU: does the work in software, the fallback otherwise
  std::string reason;      // stable code: "requested", "table-full", "no-capability:esn" …
  std::string explanation;     // a sentence
  uint64_t since = 0;          // wall-clock seconds
  std::string requested_by{};  // "client", "rule", "operator", "device"; empty: nobody asked
  bool pinned = false;         // the scheduler leaves it alone
  std::vector<PlacementEntry> history{};  // before this one, oldest first, bounded
};

struct SaReport {
  std::shared_ptr<const Sa> sa;  // for the spec; keys inside, printed only on demand
  SaState state = SaState::kLarval;
  LifetimeUsage usage;
  SaStats stats;
  ReplayState replay;
  uint64_t last_used = 0;
  uint32_t path_mtu = 0;                                // learnt from ICMP; 0 = none
  std::optional<LatenessHistogram> lateness;            // of the inbound half
  std::vector<PlacementReport> placements;              // none for a larval state
  std::vector<std::pair<std::string, uint64_t>> drops;  // reason name, packets; only non-zero
};

struct PolicyReport {
  PolicySpec spec;
  LifetimeUsage usage;
};

struct DeviceReport {
  std::string name;  // the host-side interface
  std::string wire;  // the wire-side interface
  std::string driver;
  int32_t ifindex = 0;
  uint32_t mtu = 0;
  MacAddress mac{};
  bool offload_capable = false;
  bool offload_up = false;
  std::string offload_mode;  // "no", "crypto", "packet", "auto", "required"
  DeviceIdentity identity;
  std::string state;   // "up", "link-down" … (DeviceState)
  std::string link{};  // of the wire: "up", "no-carrier" … (LinkStatus)
  std::string link_explanation{};
  bool trusted = true;
  std::vector<std::string> allow_modes;  // "crypto", "packet"
  bool disabled = false;                 // by `cygnet offload disable`
  std::string denied;                    // reason code: no key is given to it at all; empty: may be
  std::string denied_explanation;
  std::string loss;                  // "keep" or "kernel": what becomes of SAs when it goes
  uint32_t rekey_reserve = 0;        // SA slots of each direction kept for rekeying
  std::vector<KeyLogEntry> key_log;  // the device's own
  EgressGuardStats guard{};          // of its wire
  FenceStatus fence{};               // around its wire
  OffloadCaps caps;
  OffloadStats offload;
  std::vector<SaId> held;  // SAs whose keys the device holds now
  PortStats host;          // rx = from the host
  PortStats wire_stats;    // rx = from the wire
};

// An engine that is built in, whether it is used or not.
struct EngineReport {
  std::string name;
  std::string help;
  std::string kind;     // "cpu", "look-aside"
  std::string version;  // of the library or device behind it; empty when it does not run here
  int priority = 0;     // 0 = does not run here
  uint32_t order = 0;   // its place in the order in which engines are asked, from 1; 0 = not in use
  std::vector<std::string> algorithms;  // that it can do; empty when it is not in use
  uint64_t sa_halves = 0;               // whose work it does now
  std::string module{};  // what a boundary list calls it: "OpenSSL FIPS Provider 3.0.9"
  std::string denied{};  // reason code: it is given no key; empty: it may be
  EngineStats stats{};
};

struct StatReport {
  std::vector<std::pair<std::string, uint64_t>> xfrm;   // all 32 names of /proc/net/xfrm_stat
  std::vector<std::pair<std::string, uint64_t>> drops;  // our finer reasons, all of them
  uint64_t acquires_refused = 0;  // as many larval states as may be were there
  uint64_t uptime_seconds = 0;
  uint32_t workers = 0;
  std::string engine;
};

// What the daemon keeps in files.
struct StoredReport {
  std::string restart_file{};     // empty: there is none
  std::string restart_damage{};   // what was wrong with it, as long as nobody spoke; empty: whole
  std::string restart_error{};    // why it cannot be written now: changes are refused
  std::string restart_mishaps{};  // what others did to it or its lock since the start
  uint64_t lost_sas = 0;          // of daemons before, of which nobody was told
  std::string ledger_file{};      // empty: in memory only
  std::string ledger_error{};     // why it cannot be written now: no key is given
  std::string ledger_mishaps{};   // as restart_mishaps
  uint64_t audit_waiting = 0;     // records that the journal has not taken yet
  uint64_t audit_lost = 0;        // that found no room to wait
  uint64_t audit_suppressed = 0;  // that the limit of their kind held back
};

// The part of the control plane that the operator's command needs.
class OperatorControl {
 public:
  virtual ~OperatorControl() = default;
  virtual std::vector<SaReport> ReportSas() const = 0;           // newest first
  virtual std::vector<PolicyReport> ReportPolicies() const = 0;  // newest first
  virtual std::vector<DeviceReport> ReportDevices() const = 0;
  virtual std::vector<EngineReport> ReportEngines() const = 0;  // in use first, in their order
  virtual StatReport ReportStats() const = 0;
  virtual Result<MtuReport> ExplainMtu(const MtuQuery& query) const = 0;
  virtual LedgerReport ReportLedger(const LedgerQuery& query) const = 0;
  virtual Result<ExplainReport> ExplainOffload(const ExplainQuery& query) const = 0;
  virtual FipsReport ReportFips() const = 0;
  // Errc::kNoDevice: no such device.
  virtual Result<MoveReport> SetOffloadEnabled(const std::string& device, bool enabled) = 0;
  virtual Result<MoveReport> SetPlacement(const PlacementCommand& command) = 0;
  // Mode "auto", "on", "off"; nullopt: it stays, and the boundary list is read again.
  virtual Result<MoveReport> SetFips(std::optional<std::string> mode) = 0;
  virtual Status InjectFault(const std::string& device, const std::string& fault) = 0;
  // Where one half of the SA runs, shortly: "crypto nic0 (requested)"; empty: no such half.
  virtual std::string PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family,
                                  Half half) const = 0;
  // nullptr: no such device.
  virtual CapturePoints* FindCapture(const std::string& device) = 0;
  // The configuration is read again; an error has changed nothing.
  virtual Result<ReloadReport> Reload() = 0;
  virtual std::vector<DoctorRow> ReportDoctor() const = 0;
  virtual StoredReport ReportStored() const = 0;
  // Errc::kNoEntry: there is nothing to accept.
  virtual Status AcceptStored() = 0;
};

}  // namespace cygnet
