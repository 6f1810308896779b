// `cygnet offload explain`: the obstacles of an SA, without installing anything. Pure.
#pragma once

#include "base/result.h"
#include "control/placement/report.h"
#include "control/placement/settings.h"
#include "crypto/engine_set.h"
#include "datapath/placement_check.h"

namespace cygnet {

struct ExplainContext {
  PlacementDevice device;
  const EngineSet* engines = nullptr;
  EngineDenials engine_denied = {};
  LookAsideMode look_aside = LookAsideMode::kNo;
  const PlacementGate* gate = nullptr;  // nullptr: every algorithm is allowed
};

Result<ExplainReport> ExplainPlacement(const ExplainQuery& query, const ExplainContext& context);

}  // namespace cygnet
