// `cygnet monitor`: events of the daemon, one in each line, until it is ended. It outlives the
// daemon.
#pragma once

#include <cstdio>

#include "cli/arguments.h"
#include "client/operator_client.h"

namespace cygnet {

// Returns the exit status: 0 when nobody reads `out` any more.
int RunMonitor(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err);

// "2026-11-29 20:14:03.123 placement  outbound SA to …", in local time.
std::string EventText(const Json& event);

}  // namespace cygnet
