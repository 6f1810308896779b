// The boundary list of FIPS mode as a file (etc/boundary.toml.example, cygnet-fips(7)). Strict, as
// the configuration: what cannot be understood is an error, never an entry.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "control/boundary.h"

namespace cygnet {

// Reads the file. Error messages begin with `path`; Errc::kNoEntry: there is no such file.
Result<Boundary> LoadBoundary(const std::string& path);

// The same of text; `source` stands for the file's name.
Result<Boundary> ParseBoundary(std::string_view text, const std::string& source);

}  // namespace cygnet
