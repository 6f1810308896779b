#include "daemon/cluster/cluster_keys.h"

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace cygnet {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kGroup = "group/";
constexpr std::string_view kOwner = "/owner";
constexpr std::string_view kNode = "node/";

std::string Hex(Incarnation incarnation) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(incarnation));
  return text;
}

bool ParseHex(const std::string& text, Incarnation* value) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), *value, 16);
  return error == std::errc() && rest == text.data() + text.size();
}

std::optional<std::string> Text(const Json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end()) return std::string();
  if (!it->is_string()) return std::nullopt;
  return it->get<std::string>();
}

std::optional<uint64_t> Number(const Json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end()) return 0;
  if (!it->is_number_unsigned()) return std::nullopt;
  return it->get<uint64_t>();
}

bool IsName(const std::string& name) { return !name.empty() && name.size() <= kMaxClusterName; }

std::string Write(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::optional<ParsedOwner> TryParseOwner(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto node = Text(json, "node");
  const auto incarnation = Text(json, "incarnation");
  const auto epoch = Number(json, "epoch");
  const auto since = Number(json, "since");
  const auto heartbeat = Text(json, "heartbeat");
  if (!node || !incarnation || !epoch || !since || !heartbeat) return std::nullopt;
  Incarnation start = 0;
  if (!incarnation->empty() && !ParseHex(*incarnation, &start)) return std::nullopt;
  if (node->size() > kMaxClusterName) return std::nullopt;
  return ParsedOwner{.owner = {.node = *node,
                               .incarnation = start,
                               .epoch = *epoch,
                               .revision = 0,
                               .since_unix_ns = *since},
                     .heartbeat = *heartbeat};
}

}  // namespace

std::string OwnerKey(const std::string& group) {
  return std::string(kGroup) + group + std::string(kOwner);
}
std::string NodeKey(const std::string& node) { return std::string(kNode) + node; }

std::string HistoryKey(const std::string& group, uint64_t epoch) {
  char digits[21];
  std::snprintf(digits, sizeof(digits), "%020llu", static_cast<unsigned long long>(epoch));
  return "history/" + group + "/" + digits;
}

std::optional<std::string> GroupOfOwnerKey(std::string_view key) {
  if (!key.starts_with(kGroup) || !key.ends_with(kOwner) ||
      key.size() <= kGroup.size() + kOwner.size()) {
    return std::nullopt;
  }
  return std::string(key.substr(kGroup.size(), key.size() - kGroup.size() - kOwner.size()));
}

std::optional<std::string> NodeOfNodeKey(std::string_view key) {
  if (!key.starts_with(kNode)) return std::nullopt;
  std::string name(key.substr(kNode.size()));
  if (!IsName(name)) return std::nullopt;
  return name;
}

std::string OwnerJson(const GroupOwner& owner, const std::string& heartbeat) {
  return Write({{"node", owner.node},
                {"incarnation", Hex(owner.incarnation)},
                {"epoch", owner.epoch},
                {"since", owner.since_unix_ns},
                {"heartbeat", heartbeat}});
}

ParsedOwner ParseOwner(std::string_view json) {
  if (auto parsed = TryParseOwner(json)) return *std::move(parsed);
  ParsedOwner unreadable;
  unreadable.owner.node = "?";
  return unreadable;
}

std::string NodeJson(const ClusterPeers::Key& key, const std::string& version) {
  return Write({{"incarnation", Hex(key.incarnation)},
                {"heartbeat", key.address},
                {"version", version},
                {"groups", key.groups}});
}

std::optional<ClusterPeers::Key> ParseNode(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto incarnation = Text(json, "incarnation");
  const auto heartbeat = Text(json, "heartbeat");
  Incarnation start = 0;
  if (!incarnation || !ParseHex(*incarnation, &start) || start == 0) return std::nullopt;
  if (!heartbeat) return std::nullopt;
  ClusterPeers::Key key{.incarnation = start, .address = *heartbeat};
  const auto groups = json.find("groups");
  if (groups == json.end() || !groups->is_array()) return key;
  for (const Json& group : *groups) {
    if (group.is_string()) key.groups.push_back(group.get<std::string>());
  }
  return key;
}

std::string HistoryJson(const GroupOwner& owner, uint64_t until_unix_ns) {
  Json json = {{"node", owner.node},
               {"incarnation", Hex(owner.incarnation)},
               {"epoch", owner.epoch},
               {"from", owner.since_unix_ns}};
  if (until_unix_ns != 0) json["until"] = until_unix_ns;
  return Write(json);
}

}  // namespace cygnet
