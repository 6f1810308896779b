// The secret of a cluster, which all its nodes have. Keys for its uses are derived from it.
#pragma once

#include <string>

#include "base/key_material.h"
#include "base/result.h"

namespace cygnet {

// Reads secret_file: 32 to 256 bytes, from a file that only this user or root can have written.
Result<KeyMaterial> ReadClusterSecret(const std::string& path);

}  // namespace cygnet
