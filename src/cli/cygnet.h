// The operator's command as a function, for tests.
#pragma once

#include <cstdio>

#include "client/operator_client.h"

namespace cygnet {

inline constexpr int kExitUsage = 1;
inline constexpr int kExitFailed = 2;
inline constexpr int kExitNo = 3;  // the answer is no: offload explain, doctor, stored

// Of the JSON output and its schemas (doc/schema). New fields and new values of an enumeration do
// not raise it; a field that goes, or that means something else, does.
inline constexpr int kJsonVersion = 1;

// Returns the exit status. `connect` connects to the daemon. Results go to `out`, errors to `err`.
int RunCygnet(int argc, char** argv, const OperatorConnector& connect, FILE* out, FILE* err);

}  // namespace cygnet
