#include "cli/json_text.h"

namespace cygnet {

std::string JsonText(const Json& json, bool pretty, int depth) {
  constexpr int kIndent = 4;  // as ip -p
  if (!pretty) return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string indent(static_cast<std::size_t>(depth * kIndent), ' ');
  std::string text = indent;
  for (const char c : json.dump(kIndent, ' ', false, Json::error_handler_t::replace)) {
    text += c;
    if (c == '\n') text += indent;
  }
  return text;
}

std::string JsonArrayText(const std::vector<Json>& items, bool pretty) {
  if (items.empty()) return "[]\n";
  std::string text;
  for (const Json& item : items) text += (text.empty() ? "[\n" : ",\n") + JsonText(item, pretty, 1);
  return text + "\n]\n";
}

}  // namespace cygnet
