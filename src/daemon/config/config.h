// Config: the contents of cygnetd.toml (etc/cygnetd.toml.example describes every key). Strict: an
// unknown key is an error, and every error names file, line and key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "control/placement/settings.h"
#include "control/tunnel_control.h"
#include "crypto/engine_set.h"
#include "daemon/config/cluster_config.h"
#include "daemon/store/ledger_file.h"
#include "datapath/placement_request.h"
#include "device/driver.h"
#include "settings/fields.h"

namespace cygnet {

// The kind of wire fence.
enum class FenceMode : uint8_t { kNone, kNft };

// A [[device]] table.
struct DeviceConfig {
  std::string name;  // host-side interface, created by the daemon
  std::string wire;  // interface to own; empty: the driver uses none
  std::string driver = "sim_nic";
  PlacementMode offload = PlacementMode::kCrypto;
  uint32_t mtu = 0;  // 0 = the wire's
  FenceMode wire_fence = FenceMode::kNft;
  bool persist = false;  // the host-side interface outlives the daemon
  bool trusted = true;
  std::vector<std::string> allow = {"crypto", "packet"};  // offload modes
  std::optional<uint32_t> rekey_reserve{};                // slots of each direction
  DeviceLoss loss = DeviceLoss::kKeep;
  uint32_t verify = 0;                   // the CPU computes one of so many packets again; 0: none
  std::vector<std::string> inside = {};  // interfaces whose protected packets skip the host
  // The driver's own keys, checked by it and completed with its defaults.
  Options options = {};
  bool owns_interface = true;  // set by the driver; false for capture files
  bool operator==(const DeviceConfig&) const = default;
};

// The name of an engine by others in the configuration.
inline constexpr std::string_view kPluginEngine = "plugin";

// The [look_aside] table: an engine besides the CPU's, with threads or a device of its own.
struct LookAsideConfig {
  std::string engine;    // empty: none; "plugin": `plugin`
  std::string plugin{};  // shared library of an engine by others
  std::vector<std::string> plugin_options{};
  bool isolate = false;  // the plug-in runs in a process of its own
  std::string isolate_user = "nobody";
  LookAsideMode mode = LookAsideMode::kNo;
  uint32_t threads = 1;
  uint32_t queue_depth = 256;  // jobs in flight per queue
  uint32_t session_limit = 0;  // 0 = none
  bool operator==(const LookAsideConfig&) const = default;
};

// A [[placement]] table.
struct PlacementRuleConfig {
  std::string name;
  std::optional<uint32_t> reqid;
  std::optional<AddressPrefix> peer, src, dst;
  std::optional<std::string> direction;  // "in", "out"
  PlacementMode mode = PlacementMode::kAuto;
  std::string device;  // empty: as the client requested, else any
  bool pin = false;
  bool operator==(const PlacementRuleConfig&) const = default;
};

// The [ledger] table.
struct LedgerConfig {
  std::string file;  // empty: kept in memory only
  uint32_t max_mib = 16;
  uint32_t keep = 4;
  LedgerSync sync = LedgerSync::kSecond;
  bool operator==(const LedgerConfig&) const = default;
};

// Where the numbers of SAs are kept beyond the process.
enum class NumbersKept : uint8_t { kNone, kFile };

// The [numbers] table.
struct NumbersConfig {
  NumbersKept store = NumbersKept::kNone;
  std::string file;  // empty: in STATE_DIRECTORY
  bool operator==(const NumbersConfig&) const = default;
};

// The [fips] table.
struct FipsConfig {
  std::string mode = "off";  // "auto", "on", "off"
  std::string boundary;      // file
  bool operator==(const FipsConfig&) const = default;
};

// The [audit] table.
struct AuditConfig {
  bool journal = true;
  bool linux_audit = true;
  bool operator==(const AuditConfig&) const = default;
};

struct Config {
  // [daemon]
  uint32_t workers = 1;
  LogLevel log_level = LogLevel::kInfo;
  bool ike_bypass = false;
  std::vector<uint16_t> pass_ether_types{};  // besides IP and ARP
  uint32_t busy_poll_us = 50;
  std::string engine;                           // of the CPU; empty = the best available
  std::optional<uint32_t> replay_window_min{};  // unset: depends on the workers
  uint32_t flow_cache = 16384;  // entries of each cache of a worker; rounded to a power of two
  std::string restart_file;     // empty = in RUNTIME_DIRECTORY if set, else none
  // [pools]: packets
  uint32_t small_packets = 16384;
  std::optional<uint32_t> large_packets{};  // unset: as many as the MTUs need (LargePackets)
  uint32_t jumbo_packets = 256;

  LookAsideConfig look_aside;
  std::vector<DeviceConfig> devices;  // at least one
  std::vector<TunnelSpec> tunnels{};  // [[tunnel]]
  std::vector<PlacementRuleConfig> placement{};
  SchedulerParams scheduler{};
  LedgerConfig ledger{};
  NumbersConfig numbers{};
  ClusterConfig cluster{};
  FipsConfig fips{};
  AuditConfig audit{};
  uint32_t ReplayWindowMin() const;
  bool operator==(const Config&) const = default;
};

// Reads the file. Errors start with `path`.
Result<Config> LoadConfig(const std::string& path);

// Reads the same from text; `source` is the file's name in errors.
Result<Config> ParseConfig(std::string_view text, const std::string& source);

// The configuration without a file: one software NIC, nic0, on `wire`.
Config DefaultConfig(const std::string& wire);

// The configuration as a file; LoadConfig reads it back unchanged.
std::string DescribeConfig(const Config& config);

// A table of the file with its keys, including those of all drivers.
struct ConfigSection {
  std::string_view name;
  std::vector<FieldInfo> fields;
};
std::vector<ConfigSection> ConfigSections();
// The keys as text for operators: `cygnetd --keys`.
std::string DescribeKeys();

// The configuration as tables, in the order of ConfigSections.
std::vector<TomlTable> ShowConfig(const Config& config);

// 1 to 15 bytes that Linux accepts as an interface name.
bool IsInterfaceName(std::string_view name);

}  // namespace cygnet
