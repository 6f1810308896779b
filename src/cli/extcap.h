// `cygnet extcap`: lists the devices for Wireshark and captures for it, by the protocol of
// extcap(4).
#pragma once

#include <cstdio>

#include "base/result.h"
#include "cli/arguments.h"
#include "client/operator_client.h"

namespace cygnet {

// REQUIRES: not ExtcapAction::kCapture, which is RunCapture. Without a daemon the list is empty:
// Wireshark asks on every start.
Status RunExtcap(const Arguments& arguments, const OperatorConnector& connect, FILE* out);

}  // namespace cygnet
