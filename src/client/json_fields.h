// Reads fields that another version of the daemon may not send.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace cygnet {

using Json = nlohmann::ordered_json;

inline std::string Text(const Json& json, const char* field) {
  return json.value(field, std::string());
}

inline uint64_t Number(const Json& json, const char* field) {
  return json.value(field, uint64_t{0});
}

// An object or array inside `json`, or an empty object. Unlike the result of value() it outlives
// the expression, so that a loop can use its items().
inline const Json& Child(const Json& json, const char* field) {
  static const Json kNone = Json::object();
  const auto found = json.is_object() ? json.find(field) : json.end();
  return found == json.end() || found->is_null() ? kNone : *found;
}

// For the output of other programs. Empty unless the field is a string: the same name may have
// another type elsewhere.
inline std::string Word(const Json& node, const char* field) {
  if (!node.is_object()) return {};
  const auto found = node.find(field);
  return found != node.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace cygnet
