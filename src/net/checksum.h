// The Internet checksum (RFC 1071).
#pragma once

#include <cstdint>
#include <span>

#include "net/address.h"

namespace cygnet {

// Ones-complement sum of the bytes as 16-bit words in wire order, added to `sum`. The result is not
// folded to 16 bits.
uint64_t ChecksumAdd(std::span<const uint8_t> bytes, uint64_t sum = 0);
// Folds and complements a sum of ChecksumAdd. The result is in host order; store it big-endian.
inline uint16_t ChecksumFinish(uint64_t sum) {
  // Adds both halves of the sum to each other in its high half, where the carry of the low one
  // arrives: twice, to 32 and to 16 bits.
  const auto half = static_cast<uint32_t>((sum + (sum << 32 | sum >> 32)) >> 32);
  return static_cast<uint16_t>(~((half + (half << 16 | half >> 16)) >> 16));
}

inline uint16_t Checksum(std::span<const uint8_t> bytes) {
  return ChecksumFinish(ChecksumAdd(bytes));
}

// Sum of the TCP/UDP/ICMPv6 pseudo-header.
uint64_t PseudoHeaderSum(const IpAddress& saddr, const IpAddress& daddr, IpFamily family,
                         uint8_t proto, uint32_t upper_length);

// Rewrites the header checksum of the IPv4 header at `header`. REQUIRES: ihl·4 bytes are there.
void WriteIpv4HeaderChecksum(uint8_t* header);

}  // namespace cygnet
