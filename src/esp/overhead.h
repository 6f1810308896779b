// ESP overhead at the path MTU, part by part, for people (`cygnet mtu explain`).
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

// The parts in wire order. Their sum plus InnerMtu(sa, path_mtu, inner_header) equals `path_mtu`.
// "rounding" is the space left over because payload and trailer come in whole blocks. BEET: "outer
// IP header" is its length minus that of the inner header it replaces, so it is negative for
// 6-in-4; "options pseudo-header" is reserved for IPv4 inside, used or not. Empty parts are
// omitted; the result is empty if not even an empty packet fits. TFC padding does not count: it
// only fills space that an inner packet leaves free. Control thread.
std::vector<OverheadPart> ExplainOverhead(const OutboundSa& sa, uint32_t path_mtu,
                                          uint32_t inner_header);

}  // namespace cygnet::esp
