// FakeClock: time stands still until a test moves it.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace cygnet::test {

class FakeClock final : public Clock {
 public:
  uint64_t WallSeconds() const override { return wall_seconds.load(); }
  uint64_t MonotonicNs() const override { return monotonic_ns.load(); }

  std::atomic<uint64_t> wall_seconds{1'700'000'000};
  std::atomic<uint64_t> monotonic_ns{1'000'000'000};
};

}  // namespace cygnet::test
