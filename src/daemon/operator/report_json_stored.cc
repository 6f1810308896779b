// The files that the daemon keeps.
#include "daemon/operator/report_words.h"

namespace cygnet {

Json ToJson(const StoredReport& report) {
  return {{"restart_file", report.restart_file},
          {"restart_damage", report.restart_damage},
          {"restart_error", report.restart_error},
          {"lost_sas", report.lost_sas},
          {"ledger_file", report.ledger_file},
          {"ledger_error", report.ledger_error},
          {"restart_mishaps", report.restart_mishaps},
          {"ledger_mishaps", report.ledger_mishaps},
          {"numbers_file", report.numbers_file},
          {"numbers_error", report.numbers_error},
          {"numbers_loss", report.numbers_loss},
          {"audit_waiting", report.audit_waiting},
          {"audit_lost", report.audit_lost},
          {"audit_suppressed", report.audit_suppressed},
          {"ledger_found", report.ledger_found},
          {"ledger_key", report.ledger_key},
          {"ledger_key_error", report.ledger_key_error},
          {"ledger_records", report.ledger_records},
          {"ledger_head", report.ledger_head}};
}

}  // namespace cygnet
