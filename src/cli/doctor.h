// `cygnet doctor`: what is wrong, or will be, and what to do about it. The daemon reports its own
// checks; this command examines the daemon's other reports and the host (doctor_check.h).
#pragma once

#include <cstdio>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "client/operator_client.h"

namespace cygnet {

// Prints a row for each finding: check, ok, level, text, advice. `*status`: 0, or kExitNo if one is
// a warning or worse.
Status RunDoctor(const Arguments& arguments, const OperatorConnector& connect, FILE* out,
                 int* status);

}  // namespace cygnet
