#include "daemon/config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/text_file.h"
#include "daemon/config/config_cluster.h"
#include "daemon/config/config_fields.h"
#include "daemon/config/config_inside.h"

namespace cygnet {
namespace {

// A [table] that occurs once, and its conversion from and to a Config.
struct SingleTable {
  std::string_view name;
  std::vector<FieldInfo> fields;
  std::function<Status(const TomlTable&, Config*)> read;
  std::function<void(const Config&, TomlTable*)> show;
};

SingleTable TableOf(std::string_view name, const std::vector<Field<Config>>& fields) {
  return {name, InfoOf(fields),
          [&fields](const TomlTable& table, Config* out) { return ReadFields(table, fields, out); },
          [&fields](const Config& from, TomlTable* table) { ShowFields(fields, from, table); }};
}

template <typename T>
SingleTable TableOf(std::string_view name, const std::vector<Field<T>>& fields, T Config::*member) {
  return {name, InfoOf(fields),
          [&fields, member](const TomlTable& table, Config* out) {
            return ReadFields(table, fields, &(out->*member));
          },
          [&fields, member](const Config& from, TomlTable* table) {
            ShowFields(fields, from.*member, table);
          }};
}

const std::vector<SingleTable>& SingleTables() {
  static const std::vector<SingleTable> kTables = {
      TableOf("daemon", DaemonFields()),
      TableOf("pools", PoolFields()),
      TableOf("look_aside", LookAsideFields(), &Config::look_aside),
      TableOf("scheduler", SchedulerFields(), &Config::scheduler),
      TableOf("ledger", LedgerFields(), &Config::ledger),
      TableOf("numbers", NumbersFields(), &Config::numbers),
      TableOf("cluster", ClusterFields(), &Config::cluster),
      TableOf("fips", FipsFields(), &Config::fips),
      TableOf("audit", AuditFields(), &Config::audit),
  };
  return kTables;
}

std::vector<FieldInfo> KeysOf(const DriverInfo& driver) {
  return driver.keys != nullptr ? driver.keys() : std::vector<FieldInfo>{};
}

bool Holds(const std::vector<FieldInfo>& fields, std::string_view key) {
  return std::any_of(fields.begin(), fields.end(),
                     [key](const FieldInfo& field) { return field.key == key; });
}

// The keys of every device and those of every driver, each once.
std::vector<FieldInfo> AllDeviceKeys() {
  std::vector<FieldInfo> keys = InfoOf(DeviceFields());
  for (const DriverInfo* driver : BuiltinDrivers()) {
    for (FieldInfo& field : KeysOf(*driver)) {
      if (!Holds(keys, field.key)) keys.push_back(std::move(field));
    }
  }
  return keys;
}

// The keys that the driver reads. A key of another driver is an error.
Result<Options> OptionsIn(const TomlTable& table, const DriverInfo& driver) {
  const std::vector<FieldInfo> common = InfoOf(DeviceFields());
  const std::vector<FieldInfo> own = KeysOf(driver);
  Options options(table.source, table.section, table.line);
  for (const TomlEntry& entry : table.entries) {
    if (Holds(common, entry.key)) continue;
    if (!Holds(own, entry.key)) {
      return table.Wrong(entry.key,
                         fmt::format("driver \"{}\" does not have this key", driver.name));
    }
    options.entries.push_back(entry);
  }
  return options;
}

// Checks that involve more than one key, or the driver.
Result<DeviceConfig> ReadDevice(const TomlTable& table) {
  CYGNET_RETURN_IF_ERROR(CheckKeys(table, AllDeviceKeys()));
  DeviceConfig device;
  CYGNET_RETURN_IF_ERROR(ReadFields(table, DeviceFields(), &device));
  const DriverInfo& driver = *FindDriver(device.driver);
  const auto options = OptionsIn(table, driver);
  if (!options) return options.error();
  auto checked = driver.check(*options);
  if (!checked) return checked.error();
  device.options = std::move(checked->options);
  device.owns_interface = checked->owns_interface;
  if (!device.owns_interface && !device.wire.empty()) {
    return table.Wrong("wire", "not allowed with capture files");
  }
  if (device.owns_interface && device.wire.empty()) {
    return table.Wrong("wire", table.Find("wire") == nullptr ? "missing" : "must not be empty");
  }
  if (checked->sa_slots && device.rekey_reserve.value_or(0) > *checked->sa_slots) {
    return table.Wrong("rekey_reserve", fmt::format("must be between 0 and {}, is {}",
                                                    *checked->sa_slots, *device.rekey_reserve));
  }
  return device;
}

// nullptr: the table is missing.
Result<const TomlValue::Tables*> FindTables(const TomlTable& root, std::string_view key) {
  const TomlEntry* entry = root.Find(key);
  if (entry == nullptr) return nullptr;
  if (const auto* tables = entry->value.As<TomlValue::Tables>()) return tables;
  return root.Wrong(
      key, fmt::format("must be an array of tables: [[{}]], is {}", key, entry->value.TypeName()));
}

Status ReadDevices(const TomlTable& root, Config* config) {
  const auto tables = FindTables(root, "device");
  if (!tables) return tables.error();
  if (*tables == nullptr) {
    return MakeError(Errc::kInvalid, root.source + ": device: needs at least one [[device]] table");
  }
  std::set<std::string> taken;  // an interface may be used only once
  for (const TomlTable& table : **tables) {
    auto device = ReadDevice(table);
    if (!device) return device.error();
    std::vector<std::pair<const char*, std::string>> used = {{"name", device->name},
                                                             {"wire", device->wire}};
    for (const std::string& inside : device->inside) used.emplace_back("inside", inside);
    for (const auto& [key, value] : used) {
      if (value.empty() || taken.insert(value).second) continue;
      return table.Wrong(key, fmt::format("\"{}\" is used twice in this file", value));
    }
    config->devices.push_back(*std::move(device));
  }
  return {};
}

// Once all devices and tunnels are known.
Status CheckInside(const TomlTable& root, const Config& config) {
  const auto tables = FindTables(root, "device");
  for (std::size_t i = 0; i < config.devices.size(); ++i) {
    const std::string wrong = WrongInside(config, config.devices[i]);
    if (!wrong.empty() && !config.devices[i].inside.empty())
      return (**tables)[i].Wrong("inside", wrong);
  }
  return {};
}

Status ReadRules(const TomlTable& root, Config* config) {
  const auto tables = FindTables(root, "placement");
  if (!tables) return tables.error();
  if (*tables == nullptr) return {};
  std::vector<std::string_view> devices;
  for (const DeviceConfig& device : config->devices) devices.push_back(device.name);
  for (const TomlTable& table : **tables) {
    CYGNET_RETURN_IF_ERROR(CheckKeys(table, InfoOf(PlacementFields())));
    PlacementRuleConfig rule;
    CYGNET_RETURN_IF_ERROR(ReadFields(table, PlacementFields(), &rule));
    const std::string wrong = rule.device.empty() ? "" : WrongWord(rule.device, devices);
    if (!wrong.empty()) return table.Wrong("device", wrong);
    config->placement.push_back(std::move(rule));
  }
  return {};
}

// Numbers of one SA cannot be in two stores.
Status ReadGroups(const TomlTable& root, Config* config) {
  const auto tables = FindTables(root, "cluster_group");
  if (!tables) return tables.error();
  if (*tables != nullptr) {
    for (const TomlTable& table : **tables) {
      CYGNET_RETURN_IF_ERROR(ReadClusterGroup(table, &config->cluster));
    }
  }
  if (config->cluster.name.empty()) return {};
  if (config->cluster.groups.empty()) {
    return root.Wrong("cluster", "needs at least one [[cluster_group]] table");
  }
  if (config->numbers.store == NumbersKept::kNone) return {};
  return root.Wrong("numbers", "store must be \"none\" in a cluster, whose store has the numbers");
}

// Checks that involve more than one key.
Status CheckTunnel(const TomlTable& table, const Config& config, const TunnelSpec& tunnel) {
  if ((tunnel.if_id == 0) == (tunnel.mark == 0)) {
    return table.Wrong(tunnel.if_id == 0 ? "if_id" : "mark",
                       tunnel.if_id == 0 ? "a tunnel needs an if_id or a mark that is not 0"
                                         : "a tunnel has either an if_id or a mark");
  }
  if (tunnel.mark_in != 0 && tunnel.mark == 0) {
    return table.Wrong("mark_in", "allowed with a mark only");
  }
  if (tunnel.local.has_value() != tunnel.remote.has_value()) {
    return table.Wrong(tunnel.local ? "remote" : "local", "missing: local and remote go together");
  }
  if (tunnel.local.has_value() && tunnel.mark == 0) {
    return table.Wrong("local", "allowed with a mark only");
  }
  std::vector<std::string_view> devices;
  for (const DeviceConfig& device : config.devices) devices.push_back(device.name);
  const std::string wrong = tunnel.device.empty() ? "" : WrongWord(tunnel.device, devices);
  return wrong.empty() ? Status{} : table.Wrong("device", wrong);
}

Status CheckUnused(const TomlTable& table, const Config& config, const TunnelSpec& tunnel) {
  for (const DeviceConfig& device : config.devices) {
    if (device.name != tunnel.name && device.wire != tunnel.name) continue;
    return table.Wrong("name", fmt::format("\"{}\" is used twice in this file", tunnel.name));
  }
  for (const TunnelSpec& other : config.tunnels) {
    if (other.name == tunnel.name) {
      return table.Wrong("name", fmt::format("\"{}\" is used twice in this file", tunnel.name));
    }
    if (other.ClashesWith(tunnel)) {
      return table.Wrong(tunnel.if_id != 0 ? "if_id" : "mark",
                         fmt::format("tunnel \"{}\" has it already", other.name));
    }
  }
  return {};
}

Status ReadTunnels(const TomlTable& root, Config* config) {
  const auto tables = FindTables(root, "tunnel");
  if (!tables) return tables.error();
  if (*tables == nullptr) return {};
  for (const TomlTable& table : **tables) {
    CYGNET_RETURN_IF_ERROR(CheckKeys(table, InfoOf(TunnelFields())));
    TunnelSpec tunnel;
    CYGNET_RETURN_IF_ERROR(ReadFields(table, TunnelFields(), &tunnel));
    CYGNET_RETURN_IF_ERROR(CheckTunnel(table, *config, tunnel));
    CYGNET_RETURN_IF_ERROR(CheckUnused(table, *config, tunnel));
    config->tunnels.push_back(std::move(tunnel));
  }
  return {};
}

Status CheckLookAside(const TomlTable& table, const LookAsideConfig& look_aside) {
  if (look_aside.mode != LookAsideMode::kNo && look_aside.engine.empty()) {
    return table.Wrong("engine", "missing, but required unless mode is \"no\"");
  }
  const bool by_others = look_aside.engine == kPluginEngine;
  if (by_others && look_aside.plugin.empty()) {
    return table.Wrong("plugin", "missing, but required with engine = \"plugin\"");
  }
  if (!by_others && !look_aside.plugin.empty()) {
    return table.Wrong("plugin", "allowed with engine = \"plugin\" only");
  }
  if (!by_others && look_aside.isolate) {
    return table.Wrong("isolate", "allowed with engine = \"plugin\" only");
  }
  return {};
}

Status ReadSingle(const TomlTable& root, const SingleTable& single, Config* config) {
  const TomlEntry* entry = root.Find(single.name);
  if (entry == nullptr) return {};
  const auto* table = entry->value.As<TomlTable>();
  if (table == nullptr) {
    return root.Wrong(single.name, fmt::format("must be a table: [{}], is {}", single.name,
                                               entry->value.TypeName()));
  }
  CYGNET_RETURN_IF_ERROR(CheckKeys(*table, single.fields));
  CYGNET_RETURN_IF_ERROR(single.read(*table, config));
  if (single.name == "look_aside") return CheckLookAside(*table, config->look_aside);
  if (single.name == "cluster") return CheckCluster(*table, config->cluster);
  return {};
}

std::string Heading(std::string_view section) {
  const bool repeats = section == "device" || section == "tunnel" || section == "placement" ||
                       section == "cluster_group";
  return repeats ? fmt::format("[[{}]]\n", section) : fmt::format("[{}]\n", section);
}

}  // namespace

bool IsInterfaceName(std::string_view name) {
  if (name.empty() || name.size() > 15 || name == "." || name == "..") return false;
  // The kernel treats '%' as a numbering pattern.
  return std::none_of(name.begin(), name.end(), [](char c) {
    return std::strchr("/:% \t\n\v\f\r", c) != nullptr;  // NUL included
  });
}

Result<Config> ParseConfig(std::string_view text, const std::string& source) {
  const auto root = ParseToml(text, source);
  if (!root) return root.error();
  std::vector<FieldInfo> tables;
  for (const ConfigSection& section : ConfigSections()) tables.push_back({section.name, "", ""});
  CYGNET_RETURN_IF_ERROR(CheckKeys(*root, tables));
  Config config;
  for (const SingleTable& single : SingleTables()) {
    CYGNET_RETURN_IF_ERROR(ReadSingle(*root, single, &config));
  }
  CYGNET_RETURN_IF_ERROR(ReadDevices(*root, &config));
  CYGNET_RETURN_IF_ERROR(ReadTunnels(*root, &config));
  CYGNET_RETURN_IF_ERROR(CheckInside(*root, config));
  CYGNET_RETURN_IF_ERROR(ReadRules(*root, &config));
  CYGNET_RETURN_IF_ERROR(ReadGroups(*root, &config));
  return config;
}

Result<Config> LoadConfig(const std::string& path) {
  const auto text = ReadTextFile(path);
  if (!text) return text.error();
  return ParseConfig(*text, path);
}

// Workers finish packets of one SA in any order: a window of 32 would drop some.
uint32_t Config::ReplayWindowMin() const {
  constexpr uint32_t kSharedWindow = 1024;
  return replay_window_min.value_or(workers > 1 ? kSharedWindow : 0);
}

Config DefaultConfig(const std::string& wire) {
  Config config;
  DeviceConfig device{.name = "nic0", .wire = wire};
  device.options = FindDriver(device.driver)->check({})->options;
  config.devices.push_back(std::move(device));
  return config;
}

std::vector<ConfigSection> ConfigSections() {
  std::vector<ConfigSection> sections;
  for (const SingleTable& single : SingleTables()) {
    sections.push_back({.name = single.name, .fields = single.fields});
  }
  sections.push_back({.name = "device", .fields = AllDeviceKeys()});
  sections.push_back({.name = "tunnel", .fields = InfoOf(TunnelFields())});
  sections.push_back({.name = "placement", .fields = InfoOf(PlacementFields())});
  sections.push_back({.name = "cluster_group", .fields = InfoOf(ClusterGroupFields())});
  return sections;
}

std::vector<TomlTable> ShowConfig(const Config& config) {
  std::vector<TomlTable> tables;
  for (const SingleTable& single : SingleTables()) {
    tables.emplace_back("", std::string(single.name), 0);
    single.show(config, &tables.back());
  }
  for (const DeviceConfig& device : config.devices) {
    tables.emplace_back("", "device", 0);
    ShowFields(DeviceFields(), device, &tables.back());
    for (const TomlEntry& option : device.options.entries) tables.back().entries.push_back(option);
  }
  for (const TunnelSpec& tunnel : config.tunnels) {
    tables.emplace_back("", "tunnel", 0);
    ShowFields(TunnelFields(), tunnel, &tables.back());
  }
  for (const PlacementRuleConfig& rule : config.placement) {
    tables.emplace_back("", "placement", 0);
    ShowFields(PlacementFields(), rule, &tables.back());
  }
  for (const ClusterGroupConfig& group : config.cluster.groups) {
    tables.emplace_back("", "cluster_group", 0);
    ShowFields(ClusterGroupFields(), group, &tables.back());
  }
  return tables;
}

std::string DescribeConfig(const Config& config) {
  std::string text;
  for (const TomlTable& table : ShowConfig(config)) {
    text += (text.empty() ? "" : "\n") + Heading(table.section) + PrintEntries(table);
    // Derived from another key: shown as a comment, because it was not set.
    if (table.section == "daemon" && !config.replay_window_min) {
      text += fmt::format("# replay_window_min = {}\n", config.ReplayWindowMin());
    }
  }
  return text;
}

std::string DescribeKeys() {
  std::string text;
  for (const ConfigSection& section : ConfigSections()) {
    text += (text.empty() ? "" : "\n") + Heading(section.name);
    for (const FieldInfo& field : section.fields) {
      text += fmt::format("{:<18} {} ({})\n", field.key, field.help, field.values);
    }
  }
  return text;
}

}  // namespace cygnet
