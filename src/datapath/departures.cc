#include "datapath/departures.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace cygnet {

// A run that directly follows a gathered run of this batch leaves together with it.
bool Departures::MayLeave(uint8_t index) const {
  const Row& row = rows_[index];
  if (row.counter->TurnOf(row.first)) return true;
  for (uint8_t i = index; i-- > left_;) {
    if (rows_[i].counter != row.counter) continue;
    return rows_[i].gathered && rows_[i].last + 1 == row.first;
  }
  return false;
}

void Departures::Leave(uint8_t before) {
  for (; left_ < before; ++left_) {
    const Row& row = rows_[left_];
    if (row.egress == egress_) row.counter->Depart(row.last);
  }
}

// Only time that this thread has seen pass counts. In a process that was stopped, or a machine that
// was paused, the other worker could not send either.
void Departures::Wait(const Row& row) {
  using Clock = std::chrono::steady_clock;
  constexpr int kSpins = 256;
  constexpr Clock::duration kLongestStep = std::chrono::milliseconds(10);
  Clock::duration left = std::chrono::nanoseconds(kLongestWaitNs);
  Clock::time_point last = Clock::now();
  for (int spins = 0; !row.counter->TurnOf(row.first); ++spins) {
    if (spins < kSpins) {
      __builtin_ia32_pause();
      continue;
    }
    const Clock::time_point now = Clock::now();
    left -= std::min(now - std::exchange(last, now), kLongestStep);
    if (left <= Clock::duration::zero()) return;
    std::this_thread::yield();
  }
}

}  // namespace cygnet
