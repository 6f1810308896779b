// Socket mark of the frames that Cygnet sends: the wire fence lets only these out. Random per
// process: a program in another network namespace with a macvlan on the wire can set a mark, too
// (CAP_NET_RAW), and must not know this one.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace cygnet {

inline uint32_t WireMark() {
  static const uint32_t mark = [] {
    uint32_t word = 0;  // the mark of sockets without one
    while (word == 0) word = static_cast<uint32_t>(RandomWord());
    return word;
  }();
  return mark;
}

}  // namespace cygnet
