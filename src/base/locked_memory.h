// Whether the memory of keys (KeyMaterial) could be locked.
#pragma once

#include <cstddef>

namespace cygnet {

// Bytes of key memory that could not be locked and may reach swap space. 0: all are locked.
std::size_t UnlockedKeyBytes();

}  // namespace cygnet
