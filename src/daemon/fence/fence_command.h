// Shuts and releases wires without a running daemon: `cygnetd --fence`, which the unit for early
// boot runs, and `cygnetd --release NAME`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/config/config.h"

namespace cygnet {

// Finds the wires in the text of an invalid configuration, which are shut nevertheless: every
// `wire = "NAME"`, alone on its line or in an inline table. Skips lines that are comments.
std::vector<std::string> WiresNamedIn(const std::string& text);

// Shuts every wire of the list, whether its interface exists or not, but never the loopback
// interface. Tries all; returns the first error.
Status ShutWires(const std::vector<std::string>& wires);
// The wires of `config` that are to have a fence.
std::vector<std::string> FencedWires(const Config& config);

// Removes the fence of a wire and records that as an operator's command. `name`: the wire, or a
// device of `config` (nullptr: no configuration). kBusy: a cygnetd runs. Returns the wire.
Result<std::string> ReleaseWire(const std::string& name, const Config* config);

}  // namespace cygnet
