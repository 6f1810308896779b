// CRC-32C (Castagnoli), as iSCSI and ext4 use it: finds every change of up to 32 bits in a row, and
// others but for one in 2^32. Against accidents; who means to forge computes it anew.
#pragma once

#include <cstdint>
#include <span>

namespace cygnet {

// Of `data`, going on from `before`: Crc32c(b, Crc32c(a)) is that of a and b in a row.
uint32_t Crc32c(std::span<const uint8_t> data, uint32_t before = 0);

}  // namespace cygnet
