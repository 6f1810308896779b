#include "daemon/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "crypto/crypto_engine.h"
#include "daemon/config_reader.h"
#include "daemon/text_file.h"
#include "device/driver.h"
#include "sa/replay_window.h"

namespace cygnet {
namespace {

constexpr std::array<NamedValue<DeviceOffloadMode>, 3> kOffloadModes = {{
    {"no", DeviceOffloadMode::kNo},
    {"crypto", DeviceOffloadMode::kCrypto},
    {"auto", DeviceOffloadMode::kAuto},
}};
constexpr std::array<NamedValue<WireGuard>, 2> kWireGuards = {{
    {"nft", WireGuard::kNft},
    {"none", WireGuard::kNone},
}};
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
constexpr Range kSmallPackets = {1024, 1u << 20};
constexpr Range kJumboPackets = {16, 1u << 14};
constexpr Range kSaLimit = {1, 100'000};
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
  reader.AllowOnly({"workers", "log_level", "ike_bypass", "engine", "replay_window_min"});
  reader.Read("workers", kWorkers, &config->workers);
  reader.Read("log_level", kLogLevels, &config->log_level);
  reader.Read("ike_bypass", &config->ike_bypass);
  ReadEngine(reader, EngineKind::kCpu, &config->engine);
  reader.Read("replay_window_min", kReplayWindow, &config->replay_window_min);
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

DeviceConfig ReadDevice(const TableReader& reader) {
  DeviceConfig device;
  reader.AllowOnly({"name", "wire", "driver", "offload", "sa_limit", "mtu", "wire_guard"});
  reader.ReadInterface("name", &device.name);
  reader.ReadInterface("wire", &device.wire);
  reader.Read("driver", &device.driver);
  reader.CheckIsOneOf("driver", device.driver, NamesOf(BuiltinDrivers()));
  reader.Read("offload", kOffloadModes, &device.offload);
  reader.Read("sa_limit", kSaLimit, &device.sa_limit);
  reader.ReadOrZero("mtu", kMtu, &device.mtu);
  reader.Read("wire_guard", kWireGuards, &device.wire_guard);
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
      if (taken.insert(value).second) continue;
      reader.Fail(key, fmt::format("\"{}\" is named twice in this file", value));
    }
    config->devices.push_back(std::move(device));
  }
}

Config ReadConfig(const toml::table& root, const std::string& source) {
  Config config;
  const TableReader reader(root, "", source);
  reader.AllowOnly({"daemon", "pools", "look_aside", "device"});
  if (const toml::table* table = FindTable(root, "daemon", reader)) {
    ReadDaemon(TableReader(*table, "daemon", source), &config);
  }
  if (const toml::table* table = FindTable(root, "pools", reader)) {
    ReadPools(TableReader(*table, "pools", source), &config);
  }
  if (const toml::table* table = FindTable(root, "look_aside", reader)) {
    ReadLookAside(TableReader(*table, "look_aside", source), &config.look_aside);
  }
  ReadDevices(root, reader, source, &config);
  return config;
}

std::string Quote(std::string_view text) {
  std::ostringstream out;
  out << toml::value<std::string>(std::string(text));
  return out.str();
}

}  // namespace

bool IsInterfaceName(std::string_view name) {
  if (name.empty() || name.size() > 15 || name == "." || name == "..") return false;
  // '%' is taken by the kernel as a pattern to number by, not as a name.
  return std::none_of(name.begin(), name.end(), [](char c) {
    return std::strchr("/:% \t\n\v\f\r", c) != nullptr;  // NUL included
  });
}

std::string_view Name(DeviceOffloadMode mode) { return NameIn(kOffloadModes, mode); }
std::string_view Name(WireGuard guard) { return NameIn(kWireGuards, guard); }
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

Config DefaultConfig(const std::string& wire) {
  Config config;
  config.devices.push_back({.name = "nic0", .wire = wire});
  return config;
}

std::string DescribeConfig(const Config& config) {
  std::string text = fmt::format(
      "[daemon]\nworkers = {}\nlog_level = {}\nike_bypass = {}\nengine = {}\n"
      "replay_window_min = {}\n\n[pools]\nsmall = {}\njumbo = {}\n",
      config.workers, Quote(Name(config.log_level)), config.ike_bypass, Quote(config.engine),
      config.replay_window_min, config.small_packets, config.jumbo_packets);
  const LookAsideConfig& look_aside = config.look_aside;
  text += fmt::format(
      "\n[look_aside]\nengine = {}\nmode = {}\nthreads = {}\nqueue_depth = {}\n"
      "session_limit = {}\n",
      Quote(look_aside.engine), Quote(Name(look_aside.mode)), look_aside.threads,
      look_aside.queue_depth, look_aside.session_limit);
  for (const DeviceConfig& device : config.devices) {
    text += fmt::format(
        "\n[[device]]\nname = {}\nwire = {}\ndriver = {}\noffload = {}\nsa_limit = {}\nmtu = {}\n"
        "wire_guard = {}\n",
        Quote(device.name), Quote(device.wire), Quote(device.driver), Quote(Name(device.offload)),
        device.sa_limit, device.mtu, Quote(Name(device.wire_guard)));
  }
  return text;
}

}  // namespace cygnet
