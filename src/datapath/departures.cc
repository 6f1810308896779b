#include "datapath/departures.h"

#include <chrono>
#include <thread>

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

void Departures::Wait(const Row& row) {
  using Clock = std::chrono::steady_clock;
  constexpr int kSpins = 256;
  const auto until = Clock::now() + std::chrono::nanoseconds(kLongestWaitNs);
  for (int spins = 0; !row.counter->TurnOf(row.first); ++spins) {
    if (spins < kSpins) {
      __builtin_ia32_pause();
    } else if (Clock::now() > until) {
      return;
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace cygnet
