#include "daemon/config/config_changes.h"

#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <set>
#include <string_view>

namespace cygnet {
namespace {

struct Key {
  std::string table;
  std::string name;  // empty: the whole table
  auto operator<=>(const Key&) const = default;
  std::string Text() const { return name.empty() ? table : table + "." + name; }
  std::string_view section() const { return std::string_view(table).substr(0, table.find(' ')); }
};

// A whole table is live if each of its keys is.
bool IsLive(const Key& key) {
  for (const ConfigSection& section : ConfigSections()) {
    if (section.name != key.section()) continue;
    return std::all_of(section.fields.begin(), section.fields.end(), [&key](const FieldInfo& f) {
      return f.kind == KeyKind::kLive || (!key.name.empty() && f.key != key.name);
    });
  }
  return false;
}

using Values = std::map<Key, std::string>;

// Compares everything that ShowConfig knows, so that no key is forgotten.
Values Keys(const Config& config) {
  Values keys;
  for (const TomlTable& table : ShowConfig(config)) {
    std::string name = table.section;
    if (name == "placement") {
      keys[{name, ""}] += "\n" + PrintEntries(table);
      continue;
    }
    if (name == "device" || name == "tunnel" || name == "cluster_group") {
      name += " " + *table.Find("name")->value.As<std::string>();
      keys[{name, ""}] = "present";
    }
    for (const TomlEntry& entry : table.entries) keys[{name, entry.key}] = entry.value.Text();
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
    // A device, tunnel or group that was added or removed is reported by its name alone.
    const Key thing{key.table, ""};
    const bool named = key.table.starts_with("device ") || key.table.starts_with("tunnel ") ||
                       key.table.starts_with("cluster_group ");
    const bool whole = named && !key.name.empty() &&
                       (old_values.count(thing) == 0 || new_values.count(thing) == 0);
    if (!whole) (IsLive(key) ? changes.live : changes.restart).push_back(key.Text());
  }
  return changes;
}

}  // namespace cygnet
