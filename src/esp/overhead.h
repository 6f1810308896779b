// What ESP adds to a packet of the path MTU's size, part by part, for people (`cygnet mtu
// explain`).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "sa/sa.h"

namespace cygnet::esp {

struct OverheadPart {
  std::string_view name;  // static text
  int32_t bytes = 0;
};

// The parts in the order of the wire; their sum and InnerMtu(sa, path_mtu, inner_header) make
// `path_mtu`. "rounding" is what the path has left over because payload and trailer come in whole
// blocks. BEET: "outer IP header" is what it has more than the inner one that it replaces (4-in-6),
// or less (6-in-4);
// "options pseudo-header" is set aside for IPv4 inside, used or not. Parts of no bytes are left
// out; no part at all when not even an empty packet fits. TFC padding does not count: it fills what
// an inner packet leaves free. Control thread.
std::vector<OverheadPart> ExplainOverhead(const OutboundSa& sa, uint32_t path_mtu,
                                          uint32_t inner_header);

}  // namespace cygnet::esp
