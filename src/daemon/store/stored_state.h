// What the operator is told of the files that the daemon keeps, and may say about them.
#pragma once

#include "control/control_plane.h"
#include "daemon/audit/audit.h"
#include "daemon/store/ledger_file.h"
#include "daemon/store/restart_log.h"

namespace cygnet {

// Control thread. What is nullptr is not kept.
struct StoredState final : public StoredControl {
  StoredReport Report() const override;
  Status Accept() override;
  // For the doctor.
  std::vector<DoctorRow> Examine() const;

  RestartLog* restart_log = nullptr;
  const LedgerFile* ledger_file = nullptr;
  const Audit* audit = nullptr;
};

}  // namespace cygnet
