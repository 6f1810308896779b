#include "daemon/store/stored_state.h"

namespace cygnet {
namespace {

constexpr const char* kKept =
    "cygnetd restored the file from everything readable. Find out who did this: had cygnetd been "
    "killed in that second, the content would be lost";

}  // namespace

StoredReport StoredState::Report() const {
  StoredReport report;
  if (restart_log != nullptr) {
    report.restart_file = restart_log->path();
    report.restart_damage = restart_log->damage();
    report.restart_error = restart_log->error();
    report.restart_mishaps = restart_log->mishaps();
    report.lost_sas = restart_log->lost();
  }
  if (ledger_file != nullptr) {
    report.ledger_file = ledger_file->path();
    report.ledger_error = ledger_file->error();
    report.ledger_mishaps = ledger_file->mishaps();
    report.ledger_found = ledger_file->found();
    report.ledger_key = ledger_file->key();
    report.ledger_key_error = ledger_file->key_error();
    report.ledger_records = ledger_file->head().number;
    report.ledger_head = HexText(ledger_file->head().hash);
  }
  if (number_file != nullptr) {
    report.numbers_file = number_file->path();
    report.numbers_error = number_file->fault();
    report.numbers_loss = number_file->loss();
  }
  if (audit != nullptr) {
    report.audit_waiting = audit->waiting();
    report.audit_lost = audit->lost();
    report.audit_suppressed = audit->suppressed();
  }
  return report;
}

Status StoredState::Accept() {
  if (restart_log != nullptr) return restart_log->Accept();
  return MakeError(Errc::kNoEntry, "nothing to accept: no restart file is configured");
}

std::vector<DoctorRow> StoredState::Examine() const {
  const StoredReport now = Report();
  std::vector<DoctorRow> rows;
  const auto add = [&rows](const char* check, const std::string& fault, const char* well,
                           const char* advice) {
    const bool ok = fault.empty();
    rows.push_back({.check = check,
                    .ok = ok,
                    .text = ok ? well : fault,
                    .advice = ok ? std::string() : std::string(advice)});
  };
  if (!now.restart_file.empty()) {
    add("restart-file", now.restart_damage, "the restart file was complete",
        "traffic that no policy protects is blocked: flush the policies, set all defaults, or run "
        "\"cygnet stored accept\"");
    add("restart-file-written", now.restart_error, "the restart file can be written",
        "changes of policies and SAs are refused until it can be written: free disk space");
    add("restart-file-kept", now.restart_mishaps, "nobody else touched the restart file", kKept);
  }
  if (!now.ledger_file.empty()) {
    add("ledger-written", now.ledger_error, "the ledger can be written",
        "no device or engine gets a key until it can be written: free disk space");
    add("ledger-kept", now.ledger_mishaps, "nobody else touched the ledger", kKept);
    add("ledger-whole", now.ledger_found, "the ledger was whole at the start",
        "the ledger has a record of this; run \"cygnet ledger verify\", and find out who did it");
    add("ledger-signed", now.ledger_key_error, "the heads of the ledger are signed",
        "until they are, only the audit trail shows that nobody made the ledger anew");
  }
  if (!now.numbers_file.empty()) {
    add("number-store", now.numbers_error, "the number store gives numbers",
        "SAs stop when their numbers are used up, and new SAs are refused, until it works");
    add("number-store-kept", now.numbers_loss, "the number store was complete",
        "it began anew with other IV masks: rekey SAs that were set up by hand");
  }
  const std::string lost = now.audit_lost == 0
                               ? std::string()
                               : std::to_string(now.audit_lost) + " audit records were lost";
  add("audit", lost, "no audit record was lost",
      "the journal or the audit system does not accept records: see the log");
  return rows;
}

}  // namespace cygnet
