// Migrations: MIGRATE, which moves SAs, and the templates of a policy, to other outer addresses
// (kernel: xfrm_migrate), and MIGRATE_STATE, which moves one SA (kernel: xfrm_do_migrate_state).
//
// Workers find an SA by its addresses, so a new object replaces the old one. Both have the same
// key, so no sequence number may come from both: the old counter is closed before the new SA can be
// found, and the new one continues from its value.
#pragma once

#include <memory>
#include <vector>

#include "control/announcer.h"
#include "control/sas.h"
#include "control/sas_by_ends.h"
#include "datapath/data_path.h"
#include "requests/xfrm_control.h"

namespace cygnet {

// Control thread.
class Migrations {
 public:
  Migrations(DataPath* path, const Announcer* announcer, DevicePolicies* device_policies, Sas* sas)
      : path_(*path),
        announcer_(*announcer),
        device_policies_(*device_policies),
        sas_(*sas),
        by_ends_(path) {}

  // All of it or, on an error, nothing.
  Status Run(const Migration& migration);
  // The same for one SA.
  Status RunOne(const SaMigration& migration, const RequestOrigin& origin);
  // About once a second: frees what only a series of requests needs.
  void Tick() { by_ends_.Tick(); }

 private:
  struct MovingSa {
    SaPtr from;
    SaPtr to;
  };
  Result<std::shared_ptr<Policy>> FindMigrated(const Migration& migration) const;
  SaPtr FindMoving(const MigrateEntry& entry, uint32_t if_id);
  Status PrepareMoves(const Migration& migration, std::vector<MovingSa>* moves);
  Status PrepareMove(const SaPtr& sa, const MigrateEntry& entry, const Migration& migration,
                     std::vector<MovingSa>* moves);
  void UndoMoves(const std::vector<MovingSa>& moves);

  DataPath& path_;
  const Announcer& announcer_;
  DevicePolicies& device_policies_;
  Sas& sas_;
  SasByEnds by_ends_;
};

}  // namespace cygnet
