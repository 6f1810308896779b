#include "daemon/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "crypto/crypto_engine.h"
#include "device/driver.h"

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace cygnet {
namespace {

template <typename T>
using NamedValue = std::pair<std::string_view, T>;

constexpr std::array<NamedValue<DeviceOffloadMode>, 3> kOffloadModes = {{
    {"no", DeviceOffloadMode::kNo},
    {"crypto", DeviceOffloadMode::kCrypto},
    {"auto", DeviceOffloadMode::kAuto},
}};
constexpr std::array<NamedValue<WireGuard>, 2> kWireGuards = {{
    {"nft", WireGuard::kNft},
    {"none", WireGuard::kNone},
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

struct Range {
  uint32_t min;
  uint32_t max;
};
constexpr Range kWorkers = {1, kMaxWorkers};
constexpr Range kSmallPackets = {1024, 1u << 20};
constexpr Range kJumboPackets = {16, 1u << 14};
constexpr Range kSaLimit = {1, 100'000};
// IPv6 needs the lower bound (RFC 8200 section 5); a small packet buffer sets the upper one.
constexpr Range kMtu = {1280, 2048};

// Thrown and caught within this file.
struct ConfigError {
  std::string text;
};

// Letters to change, add or leave out to get from one word to the other (Levenshtein).
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t same = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, same});
    }
  }
  return row.back();
}

// "; did you mean …?", or nothing when no name is near.
template <typename Names>
std::string Hint(std::string_view word, const Names& names) {
  constexpr std::size_t kNear = 2;
  if (word.size() > 40) return {};
  for (const std::string_view name : names) {
    // Of short names everything is near.
    if (EditDistance(word, name) <= std::min(kNear, name.size() / 2)) {
      return fmt::format("; did you mean \"{}\"?", name);
    }
  }
  return {};
}

std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return node.as_array()->is_array_of_tables() ? "an array of tables" : "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

template <typename Names>
std::string Join(const Names& names) {
  std::string text;
  for (const std::string_view name : names) {
    text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", name);
  }
  return text;
}

// One table of the file, with what is needed to say where in it something is wrong.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string section, const std::string& source)
      : table_(table), section_(std::move(section)), source_(source) {}

  // REQUIRES: called once, before the values are read.
  void AllowOnly(std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, value] : table_) {
      const std::string_view name = key.str();
      if (std::find(keys.begin(), keys.end(), name) != keys.end()) continue;
      const bool is_table = value.is_table() || value.is_array_of_tables();
      Fail(key.source().begin.line, std::string(name),
           fmt::format("unknown {}{}", is_table ? "table" : "key", Hint(name, keys)));
    }
  }

  void Read(std::string_view key, Range range, uint32_t* out) const {
    const auto value = Get<int64_t>(key, "an integer");
    if (!value) return;
    if (*value < range.min || *value > range.max) {
      Fail(key, fmt::format("must be between {} and {}, is {}", range.min, range.max, *value));
    }
    *out = static_cast<uint32_t>(*value);
  }

  // As above, but 0 stands for something of its own.
  void ReadOrZero(std::string_view key, Range range, uint32_t* out) const {
    const auto value = Get<int64_t>(key, "an integer");
    if (!value) return;
    if (*value != 0 && (*value < range.min || *value > range.max)) {
      Fail(key, fmt::format("must be 0 or between {} and {}, is {}", range.min, range.max, *value));
    }
    *out = static_cast<uint32_t>(*value);
  }

  void Read(std::string_view key, bool* out) const {
    if (const auto value = Get<bool>(key, "true or false")) *out = *value;
  }

  void Read(std::string_view key, std::string* out) const {
    if (const auto value = Get<std::string>(key, "a string")) *out = *value;
  }

  template <typename T, std::size_t kSize>
  void Read(std::string_view key, const std::array<NamedValue<T>, kSize>& table, T* out) const {
    const auto value = Get<std::string>(key, "a string");
    if (!value) return;
    std::vector<std::string_view> names;
    for (const auto& [name, named_value] : table) {
      if (name == *value) *out = named_value;
      names.push_back(name);
    }
    CheckIsOneOf(key, *value, names);
  }

  void CheckIsOneOf(std::string_view key, const std::string& value,
                    const std::vector<std::string_view>& names) const {
    if (std::find(names.begin(), names.end(), value) != names.end()) return;
    Fail(key,
         fmt::format("must be one of {}, is \"{}\"{}", Join(names), value, Hint(value, names)));
  }

  // A name that must be there.
  void ReadInterface(std::string_view key, std::string* out) const {
    if (table_.get(key) == nullptr) Fail(key, "missing");
    Read(key, out);
    if (IsInterfaceName(*out)) return;
    Fail(key, fmt::format("\"{}\" is no interface name (1 to 15 bytes, no blank, '/', ':' or '%')",
                          *out));
  }

  [[noreturn]] void Fail(std::string_view key, const std::string& text) const {
    const toml::node* node = table_.get(key);
    Fail(node != nullptr ? node->source().begin.line : table_.source().begin.line, std::string(key),
         text);
  }

 private:
  [[noreturn]] void Fail(toml::source_index line, const std::string& key,
                         const std::string& text) const {
    const std::string path = section_.empty() ? key : section_ + "." + key;
    throw ConfigError{fmt::format("{}:{}: {}: {}", source_, line, path, text)};
  }

  template <typename T>
  std::optional<T> Get(std::string_view key, std::string_view wanted) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    auto value = node->value_exact<T>();
    if (!value) Fail(key, fmt::format("must be {}, is {}", wanted, TypeName(*node)));
    return value;
  }

  const toml::table& table_;
  const std::string section_;
  const std::string& source_;
};

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

void ReadDaemon(const TableReader& reader, Config* config) {
  reader.AllowOnly({"workers", "log_level", "ike_bypass", "engine"});
  reader.Read("workers", kWorkers, &config->workers);
  reader.Read("log_level", kLogLevels, &config->log_level);
  reader.Read("ike_bypass", &config->ike_bypass);
  reader.Read("engine", &config->engine);
  if (!config->engine.empty()) {
    reader.CheckIsOneOf("engine", config->engine, NamesOf(BuiltinEngines()));
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
  reader.AllowOnly({"daemon", "pools", "device"});
  if (const toml::table* table = FindTable(root, "daemon", reader)) {
    ReadDaemon(TableReader(*table, "daemon", source), &config);
  }
  if (const toml::table* table = FindTable(root, "pools", reader)) {
    ReadPools(TableReader(*table, "pools", source), &config);
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
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> part;
  while (file.read(part.data(), part.size()) || file.gcount() > 0) {
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  }
  // A folder opens well and fails when read.
  if (!file.is_open() || file.bad()) {
    const int error = errno != 0 ? errno : EIO;
    return MakeError(error == ENOENT ? Errc::kNoEntry : Errc::kIo,
                     path + ": " + std::strerror(error));
  }
  return ParseConfig(text, path);
}

Config DefaultConfig(const std::string& wire) {
  Config config;
  config.devices.push_back({.name = "nic0", .wire = wire});
  return config;
}

std::string DescribeConfig(const Config& config) {
  std::string text = fmt::format(
      "[daemon]\nworkers = {}\nlog_level = {}\nike_bypass = {}\nengine = {}\n\n"
      "[pools]\nsmall = {}\njumbo = {}\n",
      config.workers, Quote(Name(config.log_level)), config.ike_bypass, Quote(config.engine),
      config.small_packets, config.jumbo_packets);
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
