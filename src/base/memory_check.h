// Whether this machine gives the memory that a configuration asks for, before it is taken piece by
// piece: what is made once at the start cannot do with less.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace cygnet {

// `what`: the settings that ask for it, for the message. Nothing is kept.
Status CheckMemory(uint64_t bytes, const std::string& what);

}  // namespace cygnet
