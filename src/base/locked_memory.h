// Whether the memory that keys live in (KeyMaterial) could be locked.
#pragma once

#include <cstddef>

namespace cygnet {

// What of it could not and may reach swap space. 0: all is locked.
std::size_t UnlockedKeyBytes();

}  // namespace cygnet
