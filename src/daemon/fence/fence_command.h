// What shuts wires and opens them without a running daemon: `cygnetd --fence`, which the unit for
// early boot runs, and `cygnetd --release NAME`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/config/config.h"

namespace cygnet {

// The wires that a text would name if it were a configuration: for one that cannot be read, whose
// wires are shut all the same. Every `wire = "NAME"`, in a table of its own line or among others,
// but in a line that is a comment.
std::vector<std::string> WiresNamedIn(const std::string& text);

// Shuts every wire that `config` names, there already or not. Tries all of them; the first error.
Status ShutWires(const std::vector<std::string>& wires);
// With a fence.
std::vector<std::string> FencedWires(const Config& config);

// Takes the fence of a wire away: an operator's word, recorded as such. `name`: of the wire, or of
// a device of `config` (nullptr: there is none). kBusy: a cygnetd runs. Returns the wire.
Result<std::string> ReleaseWire(const std::string& name, const Config* config);

}  // namespace cygnet
