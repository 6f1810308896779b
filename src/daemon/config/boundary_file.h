// The boundary list of FIPS mode as a file (etc/boundary.toml.example, cygnet-fips(7)). Strict like
// the configuration: anything unknown is an error, never an entry.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "control/boundary.h"

namespace cygnet {

// Reads the file. Errors start with `path`; Errc::kNoEntry: the file does not exist.
Result<Boundary> LoadBoundary(const std::string& path);

// Reads the same from text; `source` is the file's name in errors.
Result<Boundary> ParseBoundary(std::string_view text, const std::string& source);

}  // namespace cygnet
