// Latencies in buckets of equal relative width (1/64), so that recording a latency takes a few
// instructions and no allocation.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace cygnet::bench {

class LatencyHistogram {
 public:
  void Add(uint64_t nanoseconds) {
    ++buckets_[Index(nanoseconds)];
    ++count_;
    if (nanoseconds > max_) max_ = nanoseconds;
  }
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }

  // The value that a fraction `q` of the entries does not exceed; at most 1/64 too large.
  uint64_t Quantile(double q) const {
    const auto wanted = static_cast<uint64_t>(q * static_cast<double>(count_));
    uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > wanted) return std::min(UpperEnd(i), max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned kBits = 6;
  static constexpr uint64_t kLinear = uint64_t{1} << kBits;  // one value per bucket below it

  static std::size_t Index(uint64_t value) {
    if (value < kLinear) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    return (std::size_t{shift} << kBits) + (value >> shift);
  }
  static uint64_t UpperEnd(std::size_t index) {
    if (index < 2 * kLinear) return index;
    const auto shift = static_cast<unsigned>(index >> kBits) - 1;
    return (((index & (kLinear - 1)) + kLinear + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kBits + 1) << kBits> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace cygnet::bench
