// Reports the files that the daemon keeps, and accepts a damaged one, for the operator.
#pragma once

#include "control/control_plane.h"
#include "daemon/audit/audit.h"
#include "daemon/store/ledger_file.h"
#include "daemon/store/number_file.h"
#include "daemon/store/restart_log.h"

namespace cygnet {

// Control thread. nullptr: that file does not exist.
struct StoredState final : public StoredControl {
  StoredReport Report() const override;
  Status Accept() override;
  // For the doctor.
  std::vector<DoctorRow> Examine() const;

  RestartLog* restart_log = nullptr;
  const LedgerFile* ledger_file = nullptr;
  const NumberFile* number_file = nullptr;
  const Audit* audit = nullptr;
};

}  // namespace cygnet
