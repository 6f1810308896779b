// Files that are read whole.
#pragma once

#include <string>

#include "base/result.h"

namespace cygnet {

// Errors begin with `path`; Errc::kNoEntry: there is no such file.
Result<std::string> ReadTextFile(const std::string& path);

}  // namespace cygnet
