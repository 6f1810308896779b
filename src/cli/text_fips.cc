// FIPS mode: its decisions, and the moves after a change.
#include <fmt/format.h>

#include <string_view>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

std::string RowText(const Json& row) {
  const std::string kind = Text(row, "kind");
  const std::string reason = Text(row, "reason");
  const bool inside = row.value("inside", false);
  std::string_view verdict = inside ? "inside" : "outside";
  if (kind == "algorithm") verdict = inside ? "approved" : "not approved";
  std::string text = fmt::format("\t{} {}: {}", kind, Text(row, "name"), verdict);
  if (!reason.empty()) text += fmt::format(" ({})", reason);
  for (const auto& [before, field] :
       {std::pair("", "identity"), {"certificate ", "certificate"}, {"expires ", "expires"}}) {
    if (const std::string value = Text(row, field); !value.empty()) {
      text += fmt::format(", {}{}", before, value);
    }
  }
  const std::string explanation = Text(row, "explanation");
  return text + (explanation.empty() ? "\n" : fmt::format("\n\t\t{}\n", explanation));
}

}  // namespace

std::string FipsText(const Json& fips) {
  if (fips.contains("moved")) {
    return fmt::format("{} halves of SAs moved, {} stayed, {} blocked, in {} us\n",
                       Number(fips, "moved"), Number(fips, "stayed"), Number(fips, "blocked"),
                       Number(fips, "took_us"));
  }
  const std::string list = Text(fips, "list_file");
  std::string text =
      fmt::format("FIPS mode {}, {}; {}\n", Text(fips, "mode"),
                  fips.value("enforced", false) ? "in force" : "not in force",
                  list.empty() ? std::string("no boundary list") : "boundary list " + list);
  for (const Json& row : Child(fips, "rows")) text += RowText(row);
  return text;
}

// Algorithms do not count: an unapproved one is not a fault of the configuration.
bool FipsDenies(const Json& fips) {
  if (!fips.value("enforced", false)) return false;
  for (const Json& row : Child(fips, "rows")) {
    if (!row.value("inside", false) && Text(row, "kind") != "algorithm") return true;
  }
  return false;
}

}  // namespace cygnet
