// The name of the way that a fragment came, for Reassembler::Add.
#pragma once

#include <cstdint>
#include <span>

#include "sa/sa.h"

namespace cygnet {

// Never 0. `secpath`: the SAs that opened it, outermost first; none: in clear.
inline uint64_t CameBy(uint8_t interface, std::span<const Sa* const> secpath) {
  uint64_t name = interface + uint64_t{1};
  for (const Sa* sa : secpath) name = name * 0x9e3779b97f4a7c15u + sa->number;
  return name;
}

}  // namespace cygnet
