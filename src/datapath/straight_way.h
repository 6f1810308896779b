// Which batches are offered to the straight ways (outbound_straight.h, inbound_straight.h).
#pragma once

#include <atomic>
#include <cstdint>

#include "datapath/data_path.h"

namespace cygnet {

// While a capture shows both sides of a link, the general way has more to do.
inline bool MayGoStraight(const DataPath& path, uint32_t packets) {
  return packets >= path.straight_from && path.inner_readers.load(std::memory_order_relaxed) == 0;
}

}  // namespace cygnet
