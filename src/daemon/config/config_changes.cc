#include "daemon/config/config_changes.h"

#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

namespace cygnet {
namespace {

// Of [[device]] the key alone counts, of the others the table as well.
constexpr std::string_view kLive[] = {"daemon.log_level",
                                      "daemon.ike_bypass",
                                      "daemon.pass_ether_types",
                                      "daemon.replay_window_min",
                                      "placement",
                                      "scheduler.enabled",
                                      "scheduler.interval",
                                      "scheduler.hysteresis",
                                      "scheduler.min_residence",
                                      "scheduler.max_moves",
                                      "fips.mode",
                                      "fips.boundary",
                                      "audit.journal",
                                      "audit.linux_audit"};
constexpr std::string_view kLiveOfDevice[] = {"offload", "trusted", "allow", "rekey_reserve",
                                              "loss"};

struct Key {
  std::string table;
  std::string name;  // empty: a table as a whole
  auto operator<=>(const Key&) const = default;
  std::string Text() const { return name.empty() ? table : table + "." + name; }
};

template <std::size_t kSize>
bool IsOneOf(std::string_view name, const std::string_view (&names)[kSize]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool IsLive(const Key& key) {
  return key.table.starts_with("device ") ? IsOneOf(key.name, kLiveOfDevice)
                                          : IsOneOf(key.Text(), kLive);
}

// Unquoted; DescribeConfig writes "name" as the first key of a device.
std::string NameIn(const std::string& value) {
  return value.size() < 2 ? value : value.substr(1, value.size() - 2);
}

using Values = std::map<Key, std::string>;

// What DescribeConfig writes, by key: what it knows of is compared, so that no key is forgotten.
Values Keys(const Config& config) {
  Values keys;
  std::istringstream text(DescribeConfig(config));
  std::string table;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("#")) continue;
    const std::size_t equals = line.find(" = ");
    if (line.starts_with("[")) {
      table = line.substr(line.find_first_not_of('['), line.find(']') - line.rfind('[') - 1);
      if (table == "placement") keys[{table, ""}] += line;
    } else if (table == "placement" && !line.empty()) {
      keys[{table, ""}] += line + '\n';
    } else if (equals != std::string::npos) {
      const std::string key = line.substr(0, equals);
      const std::string value = line.substr(equals + 3);
      if (table == "device" && key == "name") {
        table = "device " + NameIn(value);
        keys[{table, ""}] = value;
      } else {
        keys[{table, key}] = value;
      }
    }
  }
  return keys;
}

}  // namespace

ConfigChanges CompareConfigs(const Config& before, const Config& after) {
  const Values old_values = Keys(before);
  const Values new_values = Keys(after);
  std::set<Key> keys;
  for (const Values* values : {&old_values, &new_values}) {
    for (const auto& [key, value] : *values) keys.insert(key);
  }
  const auto value_in = [](const Values& values, const Key& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
  ConfigChanges changes;
  for (const Key& key : keys) {
    if (value_in(old_values, key) == value_in(new_values, key)) continue;
    // Of a device that came or went its name says all.
    const Key device{key.table, ""};
    const bool whole = key.table.starts_with("device ") && !key.name.empty() &&
                       (old_values.count(device) == 0 || new_values.count(device) == 0);
    if (!whole) (IsLive(key) ? changes.live : changes.restart).push_back(key.Text());
  }
  return changes;
}

}  // namespace cygnet
