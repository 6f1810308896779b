// `cygnet exec -- COMMAND ARGUMENTS`: runs an unmodified XFRM client with the preload shim, so that
// it talks to cygnetd. Refuses programs on which the preload would silently have no effect, since
// those would talk to the kernel instead.
#pragma once

#include <optional>
#include <string>

namespace cygnet {

// argv: the command and its arguments. Does not return if the command runs; else the exit status,
// as env(1) and others have it: 125 no daemon or no shim, 126 refused, 127 not found. The cause is
// on stderr.
int RunExec(int argc, char** argv);

// The file that execvp() would run, or nothing.
std::optional<std::string> FindCommand(const std::string& command);

// Why LD_PRELOAD has no effect on the program, or nothing if it has. Scripts are judged by their
// interpreter.
std::optional<std::string> WhyPreloadFails(const std::string& path);

// The shim: $CYGNET_SHIM, or the one installed or built with this program.
std::optional<std::string> FindShim();

}  // namespace cygnet
