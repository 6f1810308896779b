// `cygnet top`: a live view in the terminal, or one view as text (`--once`).
#pragma once

#include <cstdio>

#include "cli/arguments.h"
#include "client/operator_client.h"

namespace cygnet {

// Returns the exit status. Without `--once` it uses the terminal of the process.
int RunTop(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err);

}  // namespace cygnet
