// `cygnet doctor`: what on this host conflicts with Cygnet. The daemon reports its own checks; this
// command checks the host's packet filter, to which the daemon needs no access.
#pragma once

#include <cstdio>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "client/operator_client.h"

namespace cygnet {

// Prints rows like those of the daemon: check, ok, text, advice. `*status`: 0, or kExitNo if a
// check failed.
Status RunDoctor(const Arguments& arguments, const OperatorConnector& connect, FILE* out,
                 int* status);

}  // namespace cygnet
