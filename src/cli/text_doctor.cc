// The outcome of a reload, and the findings of the doctor.
#include <fmt/format.h>

#include <algorithm>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

std::string KeysLine(std::string_view title, const Json& keys) {
  std::string text;
  for (const Json& key : keys) text += " " + key.get<std::string>();
  return text.empty() ? text : fmt::format("{}:{}\n", title, text);
}

}  // namespace

std::string ReloadText(const Json& reload) {
  std::string text = KeysLine("applied", Child(reload, "applied"));
  if (text.empty()) text = "applied: nothing; no key that can change at run time has changed\n";
  text += KeysLine("needs a restart of cygnetd", Child(reload, "needs_restart"));
  if (Number(reload, "moved") + Number(reload, "blocked") != 0) text += MoveText(reload);
  return text;
}

std::string DoctorText(const Json& row) {
  const std::string advice = Text(row, "advice");
  // A daemon's row has no level.
  std::string level = Text(row, "level");
  if (level.empty()) level = row.value("ok", false) ? "ok" : "warning";
  if (level != "ok" && level != "note") {
    std::transform(level.begin(), level.end(), level.begin(), [](char c) { return c - 'a' + 'A'; });
  }
  return fmt::format("{:<9}{}: {}\n{}", level, Text(row, "check"), Text(row, "text"),
                     advice.empty() ? advice : fmt::format("         {}\n", advice));
}

}  // namespace cygnet
