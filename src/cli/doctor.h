// `cygnet doctor`: what of this host works against Cygnet. The daemon says what it sees, and this
// command looks at what the daemon need not be let near: the host's packet filter.
#pragma once

#include <cstdio>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/operator_client.h"

namespace cygnet {

// Rows as the daemon's: check, ok, text, advice. `*status`: 0, or kExitNo when something was found.
Status RunDoctor(const Arguments& arguments, const OperatorConnector& connect, FILE* out,
                 int* status);

}  // namespace cygnet
