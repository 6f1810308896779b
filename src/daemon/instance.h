// One cygnetd, and no other, has the interfaces of a network namespace.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// The namespace is the caller's until the descriptor closes. kBusy: a cygnetd already runs in it.
Result<UniqueFd> ClaimInstance();

}  // namespace cygnet
