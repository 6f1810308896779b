// The spec that an SA has after a MIGRATE_STATE request.
#pragma once

#include "base/result.h"
#include "requests/control_event.h"
#include "sa/sa_spec.h"

namespace cygnet {

// What the request does not name stays. Checks what depends on the SA, in the order and with the
// texts of the kernel (xfrm_do_migrate_state).
Result<SaSpec> MovedSpec(const SaSpec& before, const SaMigration& migration);

}  // namespace cygnet
