// Asks the daemon what a command line says and prints its reply.
#pragma once

#include <cstdio>

#include "base/result.h"
#include "cli/arguments.h"
#include "client/operator_client.h"

namespace cygnet {

// Where results go. `terminal`: what colours depend on, if `out` is a buffer for it.
struct ReportTo {
  FILE* out;
  FILE* err;
  FILE* terminal;
};

// `*status`: the exit status if no error is returned.
Status Report(const Arguments& arguments, const OperatorConnector& connect, const ReportTo& to,
              int* status);

}  // namespace cygnet
