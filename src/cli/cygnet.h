// The operator's command as a function, for tests.
#pragma once

#include <cstdio>

#include "client/operator_client.h"

namespace cygnet {

inline constexpr int kExitUsage = 1;
inline constexpr int kExitFailed = 2;
inline constexpr int kExitNo = 3;  // the answer is no: offload explain, doctor, stored

// Returns the exit status. `connect` connects to the daemon. Results go to `out`, errors to `err`.
int RunCygnet(int argc, char** argv, const OperatorConnector& connect, FILE* out, FILE* err);

}  // namespace cygnet
