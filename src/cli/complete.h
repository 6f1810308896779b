// `cygnet complete -- WORD …`: what the last word may become. For shells; etc/completion has one.
#pragma once

#include <cstdio>
#include <span>

#include "client/operator_client.h"

namespace cygnet {

// Ends this process in less than a second: a daemon that is busy must not stop the user from
// typing.
void EndSoon();

// One word a line. "/" alone: a file; "!" and a number: a command line begins at that word. Asks
// the daemon for names, and is silent if there is none.
void PrintCompletions(std::span<const char* const> words, const OperatorConnector& connect,
                      FILE* out);

}  // namespace cygnet
