// Checks that the machine can provide the memory that a configuration requires, before it is
// allocated piece by piece. Pools are made once at start and cannot shrink.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace cygnet {

// `what` names the settings that need the memory, for the error message. Nothing stays allocated.
Status CheckMemory(uint64_t bytes, const std::string& what);

}  // namespace cygnet
