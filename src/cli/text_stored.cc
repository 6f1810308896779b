// The files that the daemon keeps, and their condition.
#include <fmt/format.h>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

std::string FileText(const char* what, const std::string& file, const char* none) {
  return fmt::format("{} {}\n", what, file.empty() ? none : file);
}

}  // namespace

std::string StoredText(const Json& stored) {
  std::string text = FileText("restart file", Text(stored, "restart_file"), "none");
  if (const std::string damage = Text(stored, "restart_damage"); !damage.empty()) {
    text += fmt::format(
        "\tINCOMPLETE: {}\n\twhat no policy selects is blocked; flush the policies, set all "
        "defaults, or run \"cygnet stored accept\"\n",
        damage);
  }
  if (const std::string error = Text(stored, "restart_error"); !error.empty()) {
    text += fmt::format("\tcannot be written, changes are refused: {}\n", error);
  }
  if (const std::string mishaps = Text(stored, "restart_mishaps"); !mishaps.empty()) {
    text += fmt::format("\tCHANGED BY OTHERS: {}\n", mishaps);
  }
  if (const uint64_t lost = Number(stored, "lost_sas"); lost != 0) {
    text += fmt::format(
        "\t{} SAs were lost with an earlier daemon; no client has been notified yet\n", lost);
  }
  text += FileText("ledger", Text(stored, "ledger_file"), "in memory only");
  if (const std::string error = Text(stored, "ledger_error"); !error.empty()) {
    text +=
        fmt::format("\tcannot be written, no new key is given to a device or engine: {}\n", error);
  }
  if (const std::string mishaps = Text(stored, "ledger_mishaps"); !mishaps.empty()) {
    text += fmt::format("\tCHANGED BY OTHERS: {}\n", mishaps);
  }
  if (const std::string found = Text(stored, "ledger_found"); !found.empty()) {
    text += fmt::format("\tNOT WHOLE at this start: {}\n", found);
  }
  if (const std::string error = Text(stored, "ledger_key_error"); !error.empty()) {
    text += fmt::format("\tits heads are not signed: {}\n", error);
  }
  text += FileText("number store", Text(stored, "numbers_file"), "none");
  if (const std::string error = Text(stored, "numbers_error"); !error.empty()) {
    text += fmt::format("\tgives no numbers, SAs stop when theirs are used up: {}\n", error);
  }
  if (const std::string loss = Text(stored, "numbers_loss"); !loss.empty()) {
    text +=
        fmt::format("\tBEGAN ANEW at this start: {}; rekey SAs that were set up by hand\n", loss);
  }
  return text + fmt::format("audit {} records waiting, {} lost, {} suppressed by the limit\n",
                            Number(stored, "audit_waiting"), Number(stored, "audit_lost"),
                            Number(stored, "audit_suppressed"));
}

bool StoredIsWell(const Json& stored) {
  for (const char* field :
       {"restart_damage", "restart_error", "restart_mishaps", "ledger_error", "ledger_mishaps",
        "ledger_found", "ledger_key_error", "numbers_error", "numbers_loss"}) {
    if (!Text(stored, field).empty()) return false;
  }
  return Number(stored, "audit_lost") == 0;
}

}  // namespace cygnet
