// The software NIC's log of the keys that it was offered, without the keys. Tests and operators use
// it to check that no key went to a device that must not have it.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "device/device_extras.h"
#include "device/offload_device.h"

namespace cygnet {

// The last kEntries offers. Not thread-safe.
class SimNicKeyLog {
 public:
  static constexpr std::size_t kEntries = 4096;

  // Returns the offer's number, for MarkErased.
  uint64_t Offer(const OffloadSa& sa, bool taken, uint64_t now) {
    if (entries_.size() == kEntries) {
      entries_.pop_front();
      ++first_;
    }
    const SaSpec& spec = sa.spec;
    entries_.push_back(
        {.time = now,
         .id = {.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family},
         .half = sa.half,
         .taken = taken});
    return first_ + entries_.size() - 1;
  }
  void MarkErased(uint64_t number) {
    if (number >= first_) entries_[number - first_].erased = true;
  }
  std::vector<KeyLogEntry> All() const { return {entries_.begin(), entries_.end()}; }

 private:
  std::deque<KeyLogEntry> entries_;
  uint64_t first_ = 0;  // number of the oldest offer still stored
};

}  // namespace cygnet
