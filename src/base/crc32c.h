// CRC-32C (Castagnoli), as in iSCSI and ext4. It detects every error burst of up to 32 bits, and
// all but one in 2^32 of other errors. It protects against accidents, not against forgery.
#pragma once

#include <cstdint>
#include <span>

namespace cygnet {

// CRC of `data`, continuing from `before`: Crc32c(b, Crc32c(a)) is the CRC of a followed by b.
uint32_t Crc32c(std::span<const uint8_t> data, uint32_t before = 0);

// The same without the CPU's instruction for it.
uint32_t Crc32cByTables(std::span<const uint8_t> data, uint32_t before = 0);

}  // namespace cygnet
