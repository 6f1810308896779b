// `cygnet ledger verify`, `report` and `key`: the ledger as evidence. The first two read files and
// need no daemon.
#pragma once

#include <cstdio>

#include "base/result.h"
#include "cli/arguments.h"
#include "client/operator_client.h"

namespace cygnet {

// The exit status: kExitNo if a ledger is not whole.
Result<int> RunLedgerFiles(const Arguments& arguments, const OperatorConnector& connect, FILE* out);

}  // namespace cygnet
