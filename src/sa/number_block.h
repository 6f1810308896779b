// NumberBlock: the sequence numbers of an SA that one holder may use (outbound) or accept
// (inbound). No number is in the blocks of two holders.
#pragma once

#include <cstdint>

namespace cygnet {

// 64 bits wide; both ends are included. An empty block has first > last.
struct NumberBlock {
  uint64_t first = 1;
  uint64_t last = 0;
  bool empty() const { return first > last; }
  bool contains(uint64_t number) const { return first <= number && number <= last; }
  bool operator==(const NumberBlock&) const = default;
};

}  // namespace cygnet
