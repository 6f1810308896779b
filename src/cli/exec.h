// `cygnet exec -- COMMAND ARGUMENTS`: runs an unmodified XFRM client with the preload shim, so that
// it talks to cygnetd. Refuses programs on which the preload would silently have no effect: they
// would talk to the kernel instead.
#pragma once

#include <optional>
#include <string>

namespace cygnet {

// argv: the command and its arguments. Returns only if the command does not run: an exit status as
// in env(1), 125 no daemon or shim, 126 refused, 127 not found. Prints the cause to stderr.
int RunExec(int argc, char** argv);

// The file that execvp() would run; nullopt if not found.
std::optional<std::string> FindCommand(const std::string& command);

// Why LD_PRELOAD has no effect on the program; nullopt if it has an effect. For a script its
// interpreter counts.
std::optional<std::string> WhyPreloadFails(const std::string& path);

// $CYGNET_SHIM, else the shim that is installed or built with this program.
std::optional<std::string> FindShim();

}  // namespace cygnet
