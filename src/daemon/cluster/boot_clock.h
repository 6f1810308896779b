// CLOCK_BOOTTIME: it goes on while the host sleeps, and nobody can set it.
#pragma once

#include <cstdint>
#include <ctime>

namespace cygnet {

inline uint64_t BootNs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace cygnet
