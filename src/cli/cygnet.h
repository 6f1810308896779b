// The operator's command as a function, so that it can be tested.
#pragma once

#include <cstdio>

#include "cli/operator_client.h"

namespace cygnet {

inline constexpr int kExitUsage = 1;
inline constexpr int kExitFailed = 2;
inline constexpr int kExitNo = 3;  // the answer is no: offload explain, doctor

// Returns the exit status. `connect`: to the daemon; results go to `out`, complaints to `err`.
int RunCygnet(int argc, char** argv, const OperatorConnector& connect, FILE* out, FILE* err);

}  // namespace cygnet
