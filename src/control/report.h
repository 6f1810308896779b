// What the operator sees: values copied out of the control plane, ready to print.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/cluster_report.h"
#include "control/daemon_report.h"
#include "control/fence_status.h"
#include "control/inside_report.h"
#include "control/mtu_report.h"
#include "control/placement/report.h"
#include "control/tunnel_control.h"
#include "control/why_report.h"
#include "crypto/crypto_engine.h"
#include "datapath/device_tester.h"
#include "datapath/shadow/device_shadow.h"
#include "device/capture.h"
#include "device/device_extras.h"
#include "device/offload_device.h"
#include "device/port.h"
#include "device/seal_guard.h"
#include "policy/policy.h"
#include "sa/sa.h"

namespace cygnet {

// Where one half of an SA runs.
struct PlacementReport {
  Half half = Half::kOutbound;
  std::string requested;       // "no", "crypto", "packet", "auto" (the device's mode), "required"
  std::string effective;       // "software", "look-aside", "crypto", "blocked"
  std::string device;          // empty in software
  bool simulated = false;      // the device is a program
  std::string engine;          // of the CPU: runs the work in software, otherwise the fallback
  std::string reason;          // stable code: "requested", "table-full", "no-capability:esn" …
  std::string explanation;     // a sentence
  uint64_t since = 0;          // wall-clock seconds
  std::string requested_by{};  // "client", "rule", "operator", "device"; empty: not requested
  bool pinned = false;         // the scheduler does not move it
  std::vector<PlacementEntry> history{};  // earlier places, oldest first, bounded
  std::string really{};  // what the device really does, if less than it claimed; "not-used: …"
  uint32_t verified_one_of = 0;  // the CPU computes one of so many of its packets again
  std::string not_verified{};    // why it does not, although the device's packets are verified
  // Packet offload: the counters are the device's, this many seconds old.
  std::optional<uint64_t> counters_age{};
};

struct SaReport {
  ConstSaPtr sa;  // for the spec; includes keys, printed only on demand
  SaState state = SaState::kLarval;
  LifetimeUsage usage;
  SaStats stats;
  ReplayState replay;
  uint64_t last_used = 0;
  uint32_t path_mtu = 0;                                // learnt from ICMP; 0 = none
  std::optional<LatenessHistogram> lateness;            // of the inbound half
  std::vector<PlacementReport> placements;              // none for a larval state
  std::vector<std::pair<std::string, uint64_t>> drops;  // reason name, packets; only non-zero
  std::string offload_device{};  // that its client requested; empty: none, or not one of Cygnet's
};

struct PolicyReport {
  PolicySpec spec;
  LifetimeUsage usage;
  std::string offload_device{};  // as of an SA
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
  std::string state;      // "up", "link-down" … (DeviceState)
  std::string failure{};  // why the state is "failed", if the device knows
  std::string link{};     // of the wire: "up", "no-carrier" … (LinkStatus)
  std::string link_explanation{};
  HostSideReport host_side{};
  bool trusted = true;
  std::vector<std::string> allow_modes;  // "crypto", "packet"
  bool disabled = false;                 // by `cygnet offload disable`
  std::string denied;                    // reason code why it gets no keys; empty: it may get keys
  std::string denied_explanation;
  std::string loss;            // "keep" or "kernel": what happens to SAs when the device disappears
  uint32_t rekey_reserve = 0;  // SA slots of each direction kept for rekeying
  std::vector<KeyLogEntry> key_log;  // the device's own
  SealGuardStats guard{};            // of its wire
  FenceStatus fence{};               // around its wire
  OffloadCaps caps;                  // what it claims less what its self-test withdrew
  DeviceSelfTest self_test{};        // the last one
  uint32_t verify = 0;               // the CPU computes one of so many packets again; 0: none
  ShadowStats shadow{};
  std::string caught{};    // why its SAs left it until an operator enables it; empty: not caught
  std::string evidence{};  // file with its wrong packets; empty: none
  OffloadStats offload;
  std::vector<SaId> held;       // SAs whose keys the device holds now
  bool held_by_ledger = false;  // the device has no records: keys that were not erased
  std::string driver_view{};    // its SAs as the card's driver shows them, lines
  std::vector<DeviceStatistic> statistics{};  // its counters as the card's driver names them
  PortStats host;                             // rx = from the host
  PortStats wire_stats;                       // rx = from the wire
  std::vector<InsideReport> inside{};
};

// A built-in engine, used or not.
struct EngineReport {
  std::string name;
  std::string help;
  std::string kind;       // "cpu", "look-aside"
  std::string version;    // of the library or device behind it; empty if it does not run here
  std::string failure{};  // why it does no jobs; empty: it works
  int priority = 0;       // 0 = does not run here
  uint32_t order = 0;     // its position in the order of engines, from 1; 0 = not in use
  std::vector<std::string> algorithms;  // that it supports; empty if not in use
  uint64_t sa_halves = 0;               // that it works for now
  std::string module{};  // its name in a boundary list: "OpenSSL FIPS Provider 3.0.9"
  std::string denied{};  // reason code why it gets no key; empty: it may get keys
  EngineStats stats{};
};

struct StatReport {
  std::vector<std::pair<std::string, uint64_t>> xfrm;   // all 32 names of /proc/net/xfrm_stat
  std::vector<std::pair<std::string, uint64_t>> drops;  // Cygnet's own drop reasons, all of them
  uint64_t acquires_refused = 0;  // because the limit of larval states was reached
  uint64_t uptime_seconds = 0;
  uint32_t workers = 0;
  std::string engine;
  std::string version{};  // of the daemon
};

// The files that the daemon keeps.
struct StoredReport {
  std::string restart_file{};      // empty: not configured
  std::string restart_damage{};    // what was wrong with it, until accepted; empty: intact
  std::string restart_error{};     // why it cannot be written: changes are refused
  std::string restart_mishaps{};   // interference by others with it or its lock since the start
  uint64_t lost_sas = 0;           // of earlier daemons, not yet reported to any client
  std::string ledger_file{};       // empty: in memory only
  std::string ledger_error{};      // why it cannot be written: no key is given
  std::string ledger_mishaps{};    // as restart_mishaps
  std::string ledger_found{};      // what was wrong with it at the start; empty: nothing
  std::string ledger_key{};        // the public key that signs its heads; empty: none
  std::string ledger_key_error{};  // why its heads are not signed
  uint64_t ledger_records = 0;     // number of its last record
  std::string ledger_head{};       // hash of the chain up to that record
  std::string numbers_file{};      // empty: the numbers of SAs end with the daemon
  std::string numbers_error{};     // why it gives no numbers now
  std::string numbers_loss{};      // why it began anew at this start; empty: it did not
  uint64_t audit_waiting = 0;      // records that the journal has not accepted yet
  uint64_t audit_lost = 0;         // records dropped because the queue was full
  uint64_t audit_suppressed = 0;   // records withheld by the rate limit of their kind
};

// The part of the control plane that the operator interface needs.
class OperatorControl {
 public:
  virtual ~OperatorControl() = default;
  virtual std::vector<SaReport> ReportSas() const = 0;           // newest first
  virtual std::vector<PolicyReport> ReportPolicies() const = 0;  // newest first
  virtual std::vector<DeviceReport> ReportDevices() const = 0;
  virtual std::vector<EngineReport> ReportEngines() const = 0;  // in use first, in their order
  virtual std::vector<TunnelReport> ReportTunnels() const = 0;
  virtual StatReport ReportStats() const = 0;
  virtual Result<MtuReport> ExplainMtu(const MtuQuery& query) const = 0;
  virtual Result<WhyReport> ExplainWhy(const WhyQuery& query) const = 0;
  virtual LedgerReport ReportLedger(const LedgerQuery& query) const = 0;
  virtual Result<ExplainReport> ExplainOffload(const ExplainQuery& query) const = 0;
  virtual FipsReport ReportFips() const = 0;
  // Errc::kNoDevice: no such device.
  virtual Result<MoveReport> SetOffloadEnabled(const std::string& device, bool enabled,
                                               const OrderMark& mark) = 0;
  virtual Result<MoveReport> SetPlacement(const PlacementCommand& command) = 0;
  // The operators' orders that are in force.
  virtual std::vector<OperatorOrder> ReportOrders() const = 0;
  // `mode`: "auto", "on", "off"; nullopt: keeps the mode. Reads the boundary list again in any
  // case.
  virtual Result<MoveReport> SetFips(std::optional<std::string> mode) = 0;
  virtual Status InjectFault(const std::string& device, const std::string& fault) = 0;
  // Where one half of the SA runs, in short: "crypto nic0 (requested)"; empty: no such half.
  virtual std::string PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family,
                                  Half half) const = 0;
  // nullptr: no such ESP SA.
  virtual ConstSaPtr FindSa(Spi spi, const IpAddress& daddr, IpFamily family) const = 0;
  // nullptr: no such device.
  virtual CapturePoints* FindCapture(const std::string& device) = 0;
  // Reads the configuration again. An error changes nothing.
  virtual Result<ReloadReport> Reload() = 0;
  virtual std::vector<DoctorRow> ReportDoctor() const = 0;
  virtual StoredReport ReportStored() const = 0;
  // Errc::kNoEntry: nothing needs to be accepted.
  virtual Status AcceptStored() = 0;
  // nullopt: this host is in no cluster.
  virtual std::optional<ClusterReport> ReportCluster() const = 0;
  virtual Status MoveGroup(const std::string& group, const std::string& node) = 0;
};

}  // namespace cygnet
