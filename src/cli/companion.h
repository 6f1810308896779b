// Words of `cygnet` that are programs of their own: conformance and web.
#pragma once

#include <string_view>

namespace cygnet {

// True: `word` is one of them. It cannot be shortened.
bool IsCompanion(std::string_view word);

// Becomes the program; argv[0] is its word. Returns the exit status if it cannot.
// REQUIRES: IsCompanion(argv[0]).
int RunCompanion(char** argv);

}  // namespace cygnet
