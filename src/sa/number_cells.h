// NumberCells: the numbers of one SA in memory that outlives the process. Only this process writes
// them; the next start reads them. Both values only grow.
#pragma once

#include <atomic>
#include <cstdint>

namespace cygnet {

struct NumberCells {
  // Control thread, before workers may use the numbers: numbers up to here may have been used.
  std::atomic<uint64_t> out_given{0};
  // Workers, under the lock of the replay window and before the packets are delivered: the highest
  // number that may have been accepted.
  std::atomic<uint64_t> in_top{0};
};
static_assert(sizeof(NumberCells) == 16 && std::atomic<uint64_t>::is_always_lock_free);

}  // namespace cygnet
