// Socket mark of frames that Cygnet itself sends: the fence of a wire lets nothing else out.
// Random, made once for the process: somebody in another network namespace with a macvlan on the
// wire may set a mark as well (CAP_NET_RAW), and must not know this one.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace cygnet {

inline uint32_t WireMark() {
  static const uint32_t mark = [] {
    uint32_t word = 0;  // the mark of sockets that set none
    while (word == 0) word = static_cast<uint32_t>(RandomWord());
    return word;
  }();
  return mark;
}

}  // namespace cygnet
