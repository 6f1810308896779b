// How the number store's file has its values. For number_file.cc and number_file_open.cc.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/crc32c.h"
#include "base/endian.h"

namespace cygnet {

// SQLite has signed integers.
inline int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }
inline uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(value); }

// SQLite finds damaged pages, but not a number in one that has become another number.
inline int64_t SumOf(std::span<const uint8_t> id, int64_t kind, uint64_t value) {
  std::array<uint8_t, 9> rest{static_cast<uint8_t>(kind)};
  StoreBe64(rest.data() + 1, value);
  return Crc32c(rest, Crc32c(id));
}

}  // namespace cygnet
