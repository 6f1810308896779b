// Sizes of the inner packets of a batch: all the same, or the simple IMIX, 7 : 4 : 1, mean 342.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace cygnet::bench {

inline constexpr uint32_t kImix = 0;

inline uint32_t SizeOf(uint32_t size, uint32_t index) {
  static constexpr std::array<uint16_t, 12> kSizes = {64,   570, 64,  64, 570, 64,
                                                      1400, 64,  570, 64, 570, 64};
  return size == kImix ? kSizes[index % kSizes.size()] : size;
}

inline uint32_t MeanSize(uint32_t size, uint32_t count) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < count; ++i) sum += SizeOf(size, i);
  return sum / count;
}

inline std::string NameOfSize(uint32_t size) {
  return size == kImix ? "imix" : std::to_string(size);
}

}  // namespace cygnet::bench
