// CameBy: identifies the way by which a fragment arrived, for Reassembler::Add.
#pragma once

#include <cstdint>
#include <span>

#include "sa/sa.h"

namespace cygnet {

// Never 0. `secpath`: the SAs that opened the fragment, outermost first; empty if it came in clear.
inline uint64_t CameBy(uint8_t interface, std::span<const Sa* const> secpath) {
  uint64_t name = interface + uint64_t{1};
  for (const Sa* sa : secpath) name = name * 0x9e3779b97f4a7c15u + sa->number;
  return name;
}

}  // namespace cygnet
