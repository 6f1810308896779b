#include "plugin/isolation/watchdog.h"

#include <algorithm>
#include <utility>

namespace cygnet::isolation {

void Watchdog::Add(const std::atomic<uint32_t>* beat, std::string what,
                   const std::atomic<bool>* excused) {
  const std::lock_guard lock(lock_);
  rows_.push_back(
      {.beat = beat, .what = std::move(what), .excused = excused, .last = beat->load()});
}

void Watchdog::Remove(const std::atomic<uint32_t>* beat) {
  const std::lock_guard lock(lock_);
  rows_.erase(std::remove_if(rows_.begin(), rows_.end(),
                             [beat](const Row& row) { return row.beat == beat; }),
              rows_.end());
}

std::optional<std::string> Watchdog::Look() {
  const std::lock_guard lock(lock_);
  for (Row& row : rows_) {
    const uint32_t now = row.beat->load(std::memory_order_relaxed);
    const bool moved = std::exchange(row.last, now) != now;
    if (moved || (row.excused != nullptr && row.excused->load())) {
      row.silent = 0;
    } else if (++row.silent >= kLooks) {
      return row.what;
    }
  }
  return std::nullopt;
}

}  // namespace cygnet::isolation
