// Compares what a configuration needs with what this machine has.
#include "daemon/cygnetd/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/text_file.h"
#include "daemon/config/config_inside.h"
#include "daemon/config/written_files.h"
#include "daemon/cygnetd/runtime.h"
#include "daemon/cygnetd/settings.h"
#include "daemon/fence/interface_name.h"
#include "device/driver.h"
#include "plugin/engine_plugin.h"

namespace cygnet {
namespace {

const EngineInfo* FindLookAside(const std::string& name) {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->kind == EngineKind::kLookAside && info->name == name) return info;
  }
  return nullptr;
}

uint64_t Now() { return SystemClock().WallSeconds(); }

Result<std::unique_ptr<FipsSwitch>> MakeFips(const FipsConfig& config) {
  auto fips = FipsSwitch::Create({.mode = *ParseFipsMode(config.mode),
                                  .boundary_file = config.boundary,
                                  .kernel_fips = [] { return ReadKernelFips(); }});
  if (!fips) return MakeError(fips.error().code, "fips: " + fips.error().message);
  return fips;
}

EngineOptions OptionsOf(const LookAsideConfig& look_aside, bool fips) {
  return {.threads = look_aside.threads,
          .queue_depth = look_aside.queue_depth,
          .session_limit = look_aside.session_limit,
          .fips = fips};
}

Status AddPlugin(const Config& config, bool fips, EngineSet* engines) {
  const LookAsideConfig& look_aside = config.look_aside;
  const IsolationSettings isolation{.user = look_aside.isolate_user};
  auto plugin = OpenEngine(look_aside.plugin, PluginTrust::kNobodyElse,
                           {.engine = OptionsOf(look_aside, fips),
                            .queues = config.workers,
                            .options = look_aside.plugin_options},
                           look_aside.isolate ? &isolation : nullptr);
  if (!plugin) return In("look_aside.plugin", plugin.error());
  const EngineInfo* info = &(*plugin)->info();
  engines->Add(info, *std::move(plugin));
  return {};
}

Status AddLookAside(const Config& config, bool fips, EngineSet* engines) {
  const LookAsideConfig& look_aside = config.look_aside;
  const EngineInfo* info = FindLookAside(look_aside.engine);
  const bool plugin = look_aside.engine == kPluginEngine;
  if ((!plugin && (info == nullptr || info->probe() == 0)) ||
      engines->size() == EngineSet::kMaxEngines) {
    return MakeError(Errc::kNoEntry,
                     "look_aside.engine: engine '" + look_aside.engine + "' does not run here");
  }
  if (plugin) return AddPlugin(config, fips, engines);
  engines->Add(info, info->create(OptionsOf(look_aside, fips)));
  return {};
}

// The CPU's engines in their order, then the look-aside engine if SAs may use one.
Result<EngineSet> MakeEngines(const Config& config, bool fips) {
  auto engines = EngineSet::ForCpu(config.engine, {.fips = fips});
  if (!engines) return MakeError(engines.error().code, "daemon.engine: " + engines.error().message);
  if (engines->size() == 0) return MakeError(Errc::kNoEntry, "no crypto engine runs on this CPU");
  if (config.look_aside.mode == LookAsideMode::kNo) return engines;
  CYGNET_RETURN_IF_ERROR(AddLookAside(config, fips, &*engines));
  return engines;
}

// If addresses and routes outlived the daemon and policies did not, protected traffic would leave
// in clear.
Status CheckPersist(const Config& config) {
  const auto device = std::find_if(config.devices.begin(), config.devices.end(),
                                   [](const DeviceConfig& d) { return d.persist; });
  if (device == config.devices.end() || !RestartPath(config).empty()) return {};
  return MakeError(Errc::kInvalid,
                   fmt::format("device {}: persist = true needs daemon.restart_file (or systemd's "
                               "RuntimeDirectory=), because policies must outlive the daemon, too",
                               device->name));
}

// What is beside them: see RecordFile, LedgerFile, NumberFile and ReplaceFile.
std::vector<NamedFile> FilesOf(const Config& config) {
  NamedFile ledger{"ledger.file", LedgerPath(config.ledger), {".lock", ".key", ".key.new", ".new"}};
  for (uint32_t n = 1; n <= config.ledger.keep; ++n) ledger.beside.push_back(fmt::format(".{}", n));
  std::vector<NamedFile> files = {
      {"daemon.restart_file", RestartPath(config), {".lock", ".new"}},
      std::move(ledger),
      {"numbers.file", NumbersPath(config.numbers), {".lock", "-wal", "-shm", "-journal"}},
      {"cluster.state_file", ClusterStatePath(config.cluster), {".lock", ".new"}}};
  for (const DeviceConfig& device : config.devices) {
    const TomlEntry* write = device.driver == "pcap" ? device.options.Find("write") : nullptr;
    const auto* path = write != nullptr ? write->value.As<std::string>() : nullptr;
    if (path != nullptr) files.push_back({"device " + device.name + ": write", *path});
  }
  const auto read = [&files](const char* key, const std::string& path) {
    files.push_back({.key = key, .path = path, .written = false});
  };
  read("fips.boundary", config.fips.boundary);
  read("cluster.secret_file", config.cluster.secret_file);
  read("cluster.ca_file", config.cluster.ca_file);
  read("cluster.certificate", config.cluster.certificate);
  read("cluster.private_key", config.cluster.private_key);
  for (const std::string& key : config.cluster.wrapping_keys) read("cluster.wrapping_keys", key);
  return files;
}

// Checks that the files which the daemon writes are different ones, and writable.
Status CheckFiles(const Config& config) {
  CYGNET_RETURN_IF_ERROR(CheckPersist(config));
  if (config.numbers.store == NumbersKept::kFile && NumbersPath(config.numbers).empty()) {
    return MakeError(Errc::kInvalid,
                     "numbers.store = \"file\" needs numbers.file (or systemd's StateDirectory=)");
  }
  if (const std::string same = WhatIsTheSameFile(FilesOf(config)); !same.empty()) {
    return MakeError(Errc::kInvalid, same);
  }
  CYGNET_RETURN_IF_ERROR(CheckClusterFiles(config.cluster));
  for (const auto& [key, path] :
       {std::pair("daemon.restart_file", RestartPath(config)),
        std::pair("ledger.file", LedgerPath(config.ledger)),
        std::pair("numbers.file", NumbersPath(config.numbers)),
        std::pair("cluster.state_file", ClusterStatePath(config.cluster))}) {
    if (path.empty()) continue;
    if (const Status writable = CheckWritable(path); !writable) return In(key, writable.error());
  }
  return {};
}

// What their XDP program needs of this machine; the interfaces may come later.
Status CheckInside(const Config& config) {
  const bool any = std::any_of(config.devices.begin(), config.devices.end(),
                               [](const DeviceConfig& d) { return !d.inside.empty(); });
  if (!any) return {};
  const auto tables = InsideTables::Create();
  return tables ? Status() : In("inside", tables.error());
}

// Cygnet and the kernel must mean the same interface by a name, whatever looks for it.
Status CheckNames(const Config& config) {
  for (const DeviceConfig& device : config.devices) {
    const std::string where = "device " + device.name + ": ";
    if (const Status fit = CheckInterfaceName(device.name); !fit) {
      return In(where + "name", fit.error());
    }
    const Status wire = device.owns_interface ? CheckInterfaceName(device.wire) : Status();
    if (!wire) return In(where + "wire", wire.error());
    for (const std::string& inside : device.inside) {
      Status fit = CheckInterfaceName(inside);
      if (fit) fit = CheckInterfaceName(LowerOfInside(inside));
      if (!fit) return In(where + "inside", fit.error());
    }
  }
  for (const TunnelSpec& tunnel : config.tunnels) {
    const Status fit = CheckInterfaceName(tunnel.name);
    if (!fit) return In("tunnel " + tunnel.name + ": name", fit.error());
  }
  return {};
}

// Checks drivers, their files, and wires.
Status CheckDevices(const Config& config, CheckScope scope) {
  if (scope == CheckScope::kThisMachine) CYGNET_RETURN_IF_ERROR(CheckNames(config));
  for (const DeviceConfig& device : config.devices) {
    const DriverInfo& driver = *FindDriver(device.driver);
    if (driver.check_files != nullptr) {
      const Status files = driver.check_files(device.options);
      if (!files) return In("device " + device.name, files.error());
    }
    if (driver.try_open != nullptr && scope == CheckScope::kThisMachine) {
      const Status opened = driver.try_open({.name = device.name,
                                             .wire = device.wire,
                                             .queues = config.workers,
                                             .options = device.options});
      if (!opened) return In("device " + device.name, opened.error());
    }
    if (!device.owns_interface || scope == CheckScope::kNoInterfaces) continue;
    if (const std::string addresses = WireAddresses(device.wire); !addresses.empty()) {
      return MakeError(Errc::kBusy,
                       fmt::format("device {}: wire interface {} still has addresses ({}); the "
                                   "host must use {} in its place: move the addresses there (ip "
                                   "addr flush dev {}, and change the configuration that sets "
                                   "them at boot)",
                                   device.name, device.wire, addresses, device.name, device.wire));
    }
  }
  return {};
}

}  // namespace

std::string RestartPath(const Config& config) {
  if (!config.restart_file.empty()) return config.restart_file;
  const char* folder = std::getenv("RUNTIME_DIRECTORY");
  return folder != nullptr ? std::string(folder) + "/restart" : std::string();
}

std::string LedgerPath(const LedgerConfig& config) {
  if (!config.file.empty()) return config.file;
  const char* folder = std::getenv("STATE_DIRECTORY");
  return folder != nullptr ? std::string(folder) + "/ledger.jsonl" : std::string();
}

std::string NumbersPath(const NumbersConfig& config) {
  if (config.store == NumbersKept::kNone) return {};
  if (!config.file.empty()) return config.file;
  const char* folder = std::getenv("STATE_DIRECTORY");
  return folder != nullptr ? std::string(folder) + "/numbers" : std::string();
}

std::string EvidenceFolder(const LedgerConfig& config) {
  const std::string ledger = LedgerPath(config);
  const std::size_t slash = ledger.rfind('/');
  if (slash == std::string::npos) return ledger.empty() ? "" : ".";
  return slash == 0 ? "/" : ledger.substr(0, slash);
}

Error In(const std::string& where, const Error& error) {
  return MakeError(error.code, where + ": " + error.message);
}

Result<Cryptography> CheckAndMake(const Config& config, CheckScope scope) {
  CYGNET_RETURN_IF_ERROR(CheckFiles(config));
  Cryptography made;
  auto fips = MakeFips(config.fips);
  if (!fips) return fips.error();
  made.fips = *std::move(fips);
  auto engines = MakeEngines(config, made.fips->enforced());
  if (!engines) return engines.error();
  made.engines = *std::move(engines);
  if (made.fips->enforced()) {
    made.engines.RunSelfTests();
    CYGNET_RETURN_IF_ERROR(CheckSoftwareModule(made.fips->boundary(), made.engines, Now()));
  }
  CYGNET_RETURN_IF_ERROR(CheckMemoryOf(config));
  CYGNET_RETURN_IF_ERROR(CheckDevices(config, scope));
  if (scope == CheckScope::kThisMachine) CYGNET_RETURN_IF_ERROR(CheckInside(config));
  return made;
}

Status CheckConfig(const Config& config, CheckScope scope) {
  const auto made = CheckAndMake(config, scope);
  return made ? Status{} : Status(made.error());
}

}  // namespace cygnet
