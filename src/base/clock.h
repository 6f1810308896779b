// Time for the stack: wall-clock seconds for lifetimes (as XFRM shows them), milliseconds for
// records, monotonic nanoseconds for intervals. An interface, so that tests can set it.
#pragma once

#include <cstdint>
#include <ctime>

namespace cygnet {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t WallSeconds() const = 0;
  virtual uint64_t WallMs() const { return WallSeconds() * 1000; }
  virtual uint64_t MonotonicNs() const = 0;
};

class SystemClock final : public Clock {
 public:
  uint64_t WallSeconds() const override { return static_cast<uint64_t>(::time(nullptr)); }
  uint64_t WallMs() const override {
    timespec ts{};
    clock_gettime(CLOCK_REALTIME, &ts);
    return static_cast<uint64_t>(ts.tv_sec) * 1000 + static_cast<uint64_t>(ts.tv_nsec) / 1'000'000;
  }
  uint64_t MonotonicNs() const override {
    timespec ts{};
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<uint64_t>(ts.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(ts.tv_nsec);
  }
};

}  // namespace cygnet
