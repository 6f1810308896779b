#include "daemon/config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "base/text_file.h"
#include "crypto/crypto_engine.h"
#include "daemon/config/config_ether_types.h"
#include "daemon/config/config_reader.h"
#include "device/driver.h"
#include "sa/replay_window.h"

namespace cygnet {
namespace {

constexpr std::array<NamedValue<PlacementMode>, 5> kOffloadModes = {{
    {"no", PlacementMode::kNo},
    {"crypto", PlacementMode::kCrypto},
    {"packet", PlacementMode::kPacket},
    {"auto", PlacementMode::kAuto},
    {"required", PlacementMode::kRequired},
}};
constexpr std::array<NamedValue<DeviceLoss>, 2> kLosses = {{
    {"keep", DeviceLoss::kKeep},
    {"kernel", DeviceLoss::kKernel},
}};
constexpr std::array<NamedValue<WireGuard>, 2> kWireGuards = {{
    {"nft", WireGuard::kNft},
    {"none", WireGuard::kNone},
}};
constexpr std::array<NamedValue<WireDriver>, 4> kWireDrivers = {{
    {"auto", WireDriver::kAuto},
    {"af_packet", WireDriver::kAfPacket},
    {"af_xdp", WireDriver::kAfXdp},
    {"pcap", WireDriver::kPcap},
}};
constexpr std::array<NamedValue<bool>, 2> kPcapSpeeds = {{{"fast", false}, {"recorded", true}}};
constexpr std::array<NamedValue<LookAsideMode>, 2> kLookAsideModes = {{
    {"no", LookAsideMode::kNo},
    {"auto", LookAsideMode::kAuto},
}};
constexpr std::array<NamedValue<LogLevel>, 4> kLogLevels = {{
    {"debug", LogLevel::kDebug},
    {"info", LogLevel::kInfo},
    {"warning", LogLevel::kWarning},
    {"error", LogLevel::kError},
}};

template <typename Table, typename T>
std::string_view NameIn(const Table& table, T value) {
  for (const auto& [name, candidate] : table) {
    if (candidate == value) return name;
  }
  return "?";
}

constexpr Range kWorkers = {1, kMaxWorkers};
constexpr Range kBusyPoll = {0, 1'000'000};
constexpr Range kFlowCache = {64, 1u << 22};
constexpr Range kSmallPackets = {1024, 1u << 20};
constexpr Range kJumboPackets = {16, 1u << 14};
constexpr Range kSaLimit = {1, 100'000};
constexpr Range kAddressLimit = {0, 100'000};
constexpr Range kFaultSeed = {0, 0xffff'ffff};
constexpr Range kReplayWindow = {0, kMaxReplayWindow};
constexpr Range kThreads = {1, kMaxCryptoQueues};
constexpr Range kQueueDepth = {1, 65'536};
constexpr Range kSessionLimit = {0, 1'000'000};
// IPv6 needs the lower bound (RFC 8200 section 5); a small packet buffer sets the upper one.
constexpr Range kMtu = {1280, 2048};

template <typename Infos>
std::vector<std::string_view> NamesOf(const Infos& infos) {
  std::vector<std::string_view> names;
  for (const auto* info : infos) names.push_back(info->name);
  return names;
}

const toml::table* FindTable(const toml::table& root, std::string_view key,
                             const TableReader& reader) {
  const toml::node* node = root.get(key);
  if (node == nullptr) return nullptr;
  if (!node->is_table()) {
    reader.Fail(key, fmt::format("must be a table: [{}], is {}", key, TypeName(*node)));
  }
  return node->as_table();
}

std::vector<std::string_view> EngineNames(EngineKind kind) {
  std::vector<std::string_view> names;
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->kind == kind) names.push_back(info->name);
  }
  return names;
}

// Empty is allowed: it stands for none, or for any.
void ReadEngine(const TableReader& reader, EngineKind kind, std::string* out) {
  reader.Read("engine", out);
  if (!out->empty()) reader.CheckIsOneOf("engine", *out, EngineNames(kind));
}

void ReadDaemon(const TableReader& reader, Config* config) {
  reader.AllowOnly({"workers", "log_level", "ike_bypass", "pass_ether_types", "busy_poll_us",
                    "engine", "replay_window_min", "flow_cache", "restart_file"});
  reader.Read("workers", kWorkers, &config->workers);
  reader.Read("log_level", kLogLevels, &config->log_level);
  reader.Read("ike_bypass", &config->ike_bypass);
  ReadEtherTypes(reader, "pass_ether_types", &config->pass_ether_types);
  reader.Read("busy_poll_us", kBusyPoll, &config->busy_poll_us);
  ReadEngine(reader, EngineKind::kCpu, &config->engine);
  reader.Read("replay_window_min", kReplayWindow, &config->replay_window_min);
  reader.Read("flow_cache", kFlowCache, &config->flow_cache);
  reader.Read("restart_file", &config->restart_file);
}

void ReadLookAside(const TableReader& reader, LookAsideConfig* config) {
  reader.AllowOnly({"engine", "mode", "threads", "queue_depth", "session_limit"});
  ReadEngine(reader, EngineKind::kLookAside, &config->engine);
  reader.Read("mode", kLookAsideModes, &config->mode);
  reader.Read("threads", kThreads, &config->threads);
  reader.Read("queue_depth", kQueueDepth, &config->queue_depth);
  reader.Read("session_limit", kSessionLimit, &config->session_limit);
  if (config->mode != LookAsideMode::kNo && config->engine.empty()) {
    reader.Fail("engine", "missing, and mode is not \"no\"");
  }
}

void ReadPools(const TableReader& reader, Config* config) {
  reader.AllowOnly({"small", "jumbo"});
  reader.Read("small", kSmallPackets, &config->small_packets);
  reader.Read("jumbo", kJumboPackets, &config->jumbo_packets);
}

// Hexadecimal, six pairs with colons between.
std::optional<MacAddress> ParseMac(const std::string& text) {
  MacAddress mac{};
  unsigned byte[6];
  int end = 0;
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
                  &byte[4], &byte[5], &end) != 6 ||
      end != 17 || text.size() != 17) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(byte[i]);
  return mac;
}

void ReadWire(const TableReader& reader, DeviceConfig* device) {
  reader.Read("wire_driver", kWireDrivers, &device->wire_driver);
  if (device->wire_driver != WireDriver::kAuto && device->driver != "sim_nic") {
    reader.Fail("wire_driver", fmt::format("is for driver \"sim_nic\"; this one is \"{}\" itself",
                                           device->driver));
  }
  reader.Read("pcap_read", &device->pcap.read);
  reader.Read("pcap_write", &device->pcap.write);
  reader.Read("pcap_speed", kPcapSpeeds, &device->pcap.recorded_speed);
  std::string mac;
  reader.Read("pcap_mac", &mac);
  if (!mac.empty()) {
    const auto parsed = ParseMac(mac);
    if (!parsed || ((*parsed)[0] & 1) != 0) {
      reader.Fail("pcap_mac", fmt::format("\"{}\" is no unicast MAC address", mac));
    }
    device->pcap.mac = *parsed;
  }
  if (device->IsPcap()) {
    reader.Read("wire", &device->wire);
    if (!device->wire.empty()) reader.Fail("wire", "there is none where capture files are");
  } else {
    reader.ReadInterface("wire", &device->wire);
  }
}

DeviceConfig ReadDevice(const TableReader& reader) {
  DeviceConfig device;
  reader.AllowOnly({"name",          "wire",         "driver",      "offload",   "sa_limit",
                    "address_limit", "fault_script", "fault_seed",  "model",     "serial",
                    "firmware",      "mtu",          "wire_driver", "pcap_read", "pcap_write",
                    "pcap_speed",    "pcap_mac",     "wire_guard",  "trusted",   "allow",
                    "rekey_reserve", "loss",         "persist"});
  reader.ReadInterface("name", &device.name);
  reader.Read("driver", &device.driver);
  reader.CheckIsOneOf("driver", device.driver, NamesOf(BuiltinDrivers()));
  ReadWire(reader, &device);
  reader.Read("offload", kOffloadModes, &device.offload);
  reader.Read("sa_limit", kSaLimit, &device.sa_limit);
  reader.Read("address_limit", kAddressLimit, &device.address_limit);
  reader.Read("fault_script", &device.fault_script);
  reader.Read("fault_seed", kFaultSeed, &device.fault_seed);
  reader.Read("model", &device.model);
  reader.Read("serial", &device.serial);
  reader.Read("firmware", &device.firmware);
  reader.ReadOrZero("mtu", kMtu, &device.mtu);
  reader.Read("wire_guard", kWireGuards, &device.wire_guard);
  reader.Read("persist", &device.persist);
  reader.Read("trusted", &device.trusted);
  reader.ReadSubset("allow", {"crypto", "packet"}, &device.allow);
  reader.Read("rekey_reserve", {0, device.sa_limit}, &device.rekey_reserve);
  reader.Read("loss", kLosses, &device.loss);
  return device;
}

void ReadDevices(const toml::table& root, const TableReader& root_reader, const std::string& source,
                 Config* config) {
  const toml::node* node = root.get("device");
  if (node == nullptr) throw ConfigError{source + ": device: needs at least one [[device]] table"};
  if (!node->is_array_of_tables()) {
    root_reader.Fail("device",
                     fmt::format("must be an array of tables: [[device]], is {}", TypeName(*node)));
  }
  std::set<std::string> taken;  // an interface has one part to play
  for (const toml::node& entry : *node->as_array()) {
    const TableReader reader(*entry.as_table(), "device", source);
    DeviceConfig device = ReadDevice(reader);
    for (const auto& [key, value] : {std::pair("name", device.name), {"wire", device.wire}}) {
      if (value.empty() || taken.insert(value).second) continue;
      reader.Fail(key, fmt::format("\"{}\" is named twice in this file", value));
    }
    config->devices.push_back(std::move(device));
  }
}

void ReadPrefix(const TableReader& reader, std::string_view key,
                std::optional<AddressPrefix>* out) {
  std::string text;
  reader.Read(key, &text);
  if (text.empty()) return;
  *out = ParsePrefix(text);
  if (!out->has_value()) {
    reader.Fail(key, fmt::format("\"{}\" is no prefix such as \"10.1.0.0/16\"", text));
  }
}

PlacementRuleConfig ReadRule(const TableReader& reader, const Config& config) {
  PlacementRuleConfig rule;
  reader.AllowOnly(
      {"name", "reqid", "peer", "src", "dst", "direction", "offload", "device", "pin"});
  reader.Read("name", &rule.name);
  reader.Read("reqid", {0, ~uint32_t{0}}, &rule.reqid);
  ReadPrefix(reader, "peer", &rule.peer);
  ReadPrefix(reader, "src", &rule.src);
  ReadPrefix(reader, "dst", &rule.dst);
  std::string direction;
  reader.Read("direction", &direction);
  if (!direction.empty()) {
    reader.CheckIsOneOf("direction", direction, {"in", "out"});
    rule.direction = direction;
  }
  reader.Read("offload", kOffloadModes, &rule.offload);
  reader.Read("device", &rule.device);
  if (!rule.device.empty()) {
    std::vector<std::string_view> names;
    for (const DeviceConfig& device : config.devices) names.push_back(device.name);
    reader.CheckIsOneOf("device", rule.device, names);
  }
  reader.Read("pin", &rule.pin);
  return rule;
}

void ReadRules(const toml::table& root, const TableReader& root_reader, const std::string& source,
               Config* config) {
  const toml::node* node = root.get("placement");
  if (node == nullptr) return;
  if (!node->is_array_of_tables()) {
    root_reader.Fail("placement", fmt::format("must be an array of tables: [[placement]], is {}",
                                              TypeName(*node)));
  }
  for (const toml::node& entry : *node->as_array()) {
    config->placement.push_back(
        ReadRule(TableReader(*entry.as_table(), "placement", source), *config));
  }
}

void ReadScheduler(const TableReader& reader, SchedulerParams* scheduler) {
  reader.AllowOnly({"enabled", "interval", "hysteresis", "min_residence", "max_moves"});
  reader.Read("enabled", &scheduler->enabled);
  reader.Read("interval", {1, 3600}, &scheduler->interval_seconds);
  reader.Read("hysteresis", {100, 10'000}, &scheduler->hysteresis_percent);
  reader.Read("min_residence", {0, 86'400}, &scheduler->min_residence_seconds);
  reader.Read("max_moves", {1, 10'000}, &scheduler->max_moves);
}

constexpr std::array<NamedValue<LedgerSync>, 2> kLedgerSyncs = {{
    {"second", LedgerSync::kSecond},
    {"key", LedgerSync::kKey},
}};

void ReadLedger(const TableReader& reader, LedgerConfig* ledger) {
  reader.AllowOnly({"file", "max_mib", "keep", "sync"});
  reader.Read("file", &ledger->file);
  reader.Read("max_mib", {1, 4096}, &ledger->max_mib);
  reader.Read("keep", {0, 100}, &ledger->keep);
  reader.Read("sync", kLedgerSyncs, &ledger->sync);
}

void ReadFips(const TableReader& reader, FipsConfig* fips) {
  reader.AllowOnly({"mode", "boundary"});
  reader.Read("mode", &fips->mode);
  reader.CheckIsOneOf("mode", fips->mode, {"auto", "on", "off"});
  reader.Read("boundary", &fips->boundary);
}

void ReadAudit(const TableReader& reader, AuditConfig* audit) {
  reader.AllowOnly({"journal", "linux_audit"});
  reader.Read("journal", &audit->journal);
  reader.Read("linux_audit", &audit->linux_audit);
}

Config ReadConfig(const toml::table& root, const std::string& source) {
  Config config;
  const TableReader reader(root, "", source);
  reader.AllowOnly({"daemon", "pools", "look_aside", "device", "placement", "scheduler", "ledger",
                    "fips", "audit"});
  if (const toml::table* table = FindTable(root, "daemon", reader)) {
    ReadDaemon(TableReader(*table, "daemon", source), &config);
  }
  if (const toml::table* table = FindTable(root, "pools", reader)) {
    ReadPools(TableReader(*table, "pools", source), &config);
  }
  if (const toml::table* table = FindTable(root, "look_aside", reader)) {
    ReadLookAside(TableReader(*table, "look_aside", source), &config.look_aside);
  }
  if (const toml::table* table = FindTable(root, "scheduler", reader)) {
    ReadScheduler(TableReader(*table, "scheduler", source), &config.scheduler);
  }
  if (const toml::table* table = FindTable(root, "ledger", reader)) {
    ReadLedger(TableReader(*table, "ledger", source), &config.ledger);
  }
  if (const toml::table* table = FindTable(root, "fips", reader)) {
    ReadFips(TableReader(*table, "fips", source), &config.fips);
  }
  if (const toml::table* table = FindTable(root, "audit", reader)) {
    ReadAudit(TableReader(*table, "audit", source), &config.audit);
  }
  ReadDevices(root, reader, source, &config);
  ReadRules(root, reader, source, &config);
  return config;
}

std::string Quote(std::string_view text) {
  std::ostringstream out;
  out << toml::value<std::string>(std::string(text));
  return out.str();
}

std::string DescribeRule(const PlacementRuleConfig& rule) {
  std::string text = fmt::format("\n[[placement]]\nname = {}\n", Quote(rule.name));
  if (rule.reqid) text += fmt::format("reqid = {}\n", *rule.reqid);
  if (rule.peer) text += fmt::format("peer = {}\n", Quote(ToString(*rule.peer)));
  if (rule.src) text += fmt::format("src = {}\n", Quote(ToString(*rule.src)));
  if (rule.dst) text += fmt::format("dst = {}\n", Quote(ToString(*rule.dst)));
  if (rule.direction) text += fmt::format("direction = {}\n", Quote(*rule.direction));
  return text + fmt::format("offload = {}\ndevice = {}\npin = {}\n", Quote(Name(rule.offload)),
                            Quote(rule.device), rule.pin);
}

std::string DescribeWire(const DeviceConfig& device) {
  const PcapFiles& pcap = device.pcap;
  const MacAddress& m = pcap.mac;
  return fmt::format(
      "wire_driver = {}\npcap_read = {}\npcap_write = {}\npcap_speed = {}\n"
      "pcap_mac = \"{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}\"\n",
      Quote(Name(device.wire_driver)), Quote(pcap.read), Quote(pcap.write),
      Quote(NameIn(kPcapSpeeds, pcap.recorded_speed)), m[0], m[1], m[2], m[3], m[4], m[5]);
}

std::string DescribePlacement(const Config& config) {
  std::string text;
  for (const PlacementRuleConfig& rule : config.placement) text += DescribeRule(rule);
  const SchedulerParams& s = config.scheduler;
  text += fmt::format(
      "\n[scheduler]\nenabled = {}\ninterval = {}\nhysteresis = {}\nmin_residence = {}\n"
      "max_moves = {}\n",
      s.enabled, s.interval_seconds, s.hysteresis_percent, s.min_residence_seconds, s.max_moves);
  text += fmt::format("\n[ledger]\nfile = {}\nmax_mib = {}\nkeep = {}\nsync = {}\n",
                      Quote(config.ledger.file), config.ledger.max_mib, config.ledger.keep,
                      Quote(config.ledger.sync == LedgerSync::kKey ? "key" : "second"));
  text += fmt::format("\n[fips]\nmode = {}\nboundary = {}\n", Quote(config.fips.mode),
                      Quote(config.fips.boundary));
  return text + fmt::format("\n[audit]\njournal = {}\nlinux_audit = {}\n", config.audit.journal,
                            config.audit.linux_audit);
}

}  // namespace

bool IsInterfaceName(std::string_view name) {
  if (name.empty() || name.size() > 15 || name == "." || name == "..") return false;
  // '%' is taken by the kernel as a pattern to number by, not as a name.
  return std::none_of(name.begin(), name.end(), [](char c) {
    return std::strchr("/:% \t\n\v\f\r", c) != nullptr;  // NUL included
  });
}

std::string_view Name(DeviceLoss loss) { return NameIn(kLosses, loss); }
std::string_view Name(WireGuard guard) { return NameIn(kWireGuards, guard); }
std::string_view Name(WireDriver driver) { return NameIn(kWireDrivers, driver); }
std::string_view Name(LookAsideMode mode) { return NameIn(kLookAsideModes, mode); }
std::string_view Name(LogLevel level) { return NameIn(kLogLevels, level); }

Result<Config> ParseConfig(std::string_view text, const std::string& source) {
  try {
    return ReadConfig(toml::parse(text, std::string_view(source)), source);
  } catch (const toml::parse_error& error) {
    return MakeError(Errc::kInvalid, fmt::format("{}:{}: {}", source, error.source().begin.line,
                                                 error.description()));
  } catch (const ConfigError& error) {
    return MakeError(Errc::kInvalid, error.text);
  }
}

Result<Config> LoadConfig(const std::string& path) {
  const auto text = ReadTextFile(path);
  if (!text) return text.error();
  return ParseConfig(*text, path);
}

// Workers that open packets of one SA finish in any order: a window of 32 would drop some.
uint32_t Config::ReplayWindowMin() const {
  constexpr uint32_t kSharedWindow = 1024;
  return replay_window_min.value_or(workers > 1 ? kSharedWindow : 0);
}

Config DefaultConfig(const std::string& wire) {
  Config config;
  config.devices.push_back({.name = "nic0", .wire = wire});
  return config;
}

std::string DescribeConfig(const Config& config) {
  std::string text = fmt::format(
      "[daemon]\nworkers = {}\nlog_level = {}\nike_bypass = {}\npass_ether_types = {}\n"
      "busy_poll_us = {}\nengine = {}\n"
      "{}replay_window_min = {}\nflow_cache = {}\nrestart_file = {}\n\n[pools]\nsmall = {}\njumbo "
      "= "
      "{}\n",
      config.workers, Quote(Name(config.log_level)), config.ike_bypass,
      DescribeEtherTypes(config.pass_ether_types), config.busy_poll_us, Quote(config.engine),
      // What follows from another key is shown, and is no key that was set.
      config.replay_window_min ? "" : "# ", config.ReplayWindowMin(), config.flow_cache,
      Quote(config.restart_file), config.small_packets, config.jumbo_packets);
  const LookAsideConfig& look_aside = config.look_aside;
  text += fmt::format(
      "\n[look_aside]\nengine = {}\nmode = {}\nthreads = {}\nqueue_depth = {}\n"
      "session_limit = {}\n",
      Quote(look_aside.engine), Quote(Name(look_aside.mode)), look_aside.threads,
      look_aside.queue_depth, look_aside.session_limit);
  for (const DeviceConfig& device : config.devices) {
    text += fmt::format(
        "\n[[device]]\nname = {}\nwire = {}\ndriver = {}\noffload = {}\nsa_limit = {}\n"
        "address_limit = {}\nfault_script = {}\nfault_seed = {}\nmodel = {}\nserial = {}\n"
        "firmware = {}\nmtu = {}\nwire_guard = {}\npersist = {}\n",
        Quote(device.name), Quote(device.wire), Quote(device.driver), Quote(Name(device.offload)),
        device.sa_limit, device.address_limit, Quote(device.fault_script), device.fault_seed,
        Quote(device.model), Quote(device.serial), Quote(device.firmware), device.mtu,
        Quote(Name(device.wire_guard)), device.persist);
    text += DescribeWire(device);
    text += fmt::format("trusted = {}\nallow = [{}]\nloss = {}\n", device.trusted,
                        Join(device.allow), Quote(Name(device.loss)));
    if (device.rekey_reserve) text += fmt::format("rekey_reserve = {}\n", *device.rekey_reserve);
  }
  text += DescribePlacement(config);
  return text;
}

}  // namespace cygnet
