// --watch: the same report again and again, until SIGINT or SIGTERM.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

#include "cli/arguments.h"
#include "cli/report.h"

namespace cygnet {

// Goes on while the daemon is away, and says when it goes and comes back. Returns an error if the
// output cannot be written, or if the daemon refuses us for good. `title`: the command line.
Status Watch(const Arguments& arguments, const OperatorConnector& connect, const std::string& title,
             FILE* out, FILE* err);

// As many lines as fit a terminal, so that the top stays on the screen, as with watch(1).
std::string FirstRows(std::string_view text, std::size_t rows, std::size_t columns);

}  // namespace cygnet
