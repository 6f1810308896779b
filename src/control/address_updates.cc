#include "control/address_updates.h"

namespace cygnet {

void AddressUpdates::ReadNow() {
  constexpr uint64_t kEveryNs = 50'000'000;
  if (!changed_) return;
  changed_ = false;
  next_at_ns_ = clock_.MonotonicNs() + kEveryNs;
  path_.SetHostAddresses(read_());
}

void AddressUpdates::ReadIfDue() {
  if (clock_.MonotonicNs() >= next_at_ns_) ReadNow();
}

}  // namespace cygnet
