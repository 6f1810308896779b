// The keys of cygnetd.toml: one table of fields per table of the file.
#pragma once

#include <vector>

#include "daemon/config/config.h"
#include "settings/fields.h"

namespace cygnet {

const std::vector<Field<Config>>& DaemonFields();
const std::vector<Field<Config>>& PoolFields();
const std::vector<Field<LookAsideConfig>>& LookAsideFields();
const std::vector<Field<DeviceConfig>>& DeviceFields();
const std::vector<Field<TunnelSpec>>& TunnelFields();
const std::vector<Field<PlacementRuleConfig>>& PlacementFields();
const std::vector<Field<SchedulerParams>>& SchedulerFields();
const std::vector<Field<LedgerConfig>>& LedgerFields();
const std::vector<Field<NumbersConfig>>& NumbersFields();
const std::vector<Field<FipsConfig>>& FipsFields();
const std::vector<Field<AuditConfig>>& AuditFields();

}  // namespace cygnet
