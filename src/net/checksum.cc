#include "net/checksum.h"

#include <cstring>

#include "base/endian.h"

namespace cygnet {

uint64_t ChecksumAdd(std::span<const uint8_t> bytes, uint64_t sum) {
  // Adds in native order with end-around carry and swaps the folded result once: the sum is
  // independent of byte order (RFC 1071, section 2B).
  uint64_t native = 0;
  const uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  while (n >= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    native += word;
    native += native < word ? 1 : 0;
    p += 8;
    n -= 8;
  }
  uint64_t tail = 0;
  if (n > 0) {
    std::memcpy(&tail, p, n);
    native += tail;
    native += native < tail ? 1 : 0;
  }
  return sum + ByteSwap(static_cast<uint16_t>(~ChecksumFinish(native)));
}

uint64_t PseudoHeaderSum(const IpAddress& saddr, const IpAddress& daddr, IpFamily family,
                         uint8_t proto, uint32_t upper_length) {
  const std::size_t n = AddressBits(family) / 8;
  uint64_t sum = ChecksumAdd({saddr.bytes.data(), n});
  sum = ChecksumAdd({daddr.bytes.data(), n}, sum);
  return sum + proto + (upper_length >> 16) + (upper_length & 0xffff);
}

void WriteIpv4HeaderChecksum(uint8_t* header) {
  // Without options, read words of the width that they were written in: wider loads would stall on
  // those stores.
  if (header[0] == 0x45) {
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2) sum += i == 10 ? 0u : LoadBe16(header + i);
    StoreBe16(header + 10, ChecksumFinish(sum));
    return;
  }
  const std::size_t length = static_cast<std::size_t>(header[0] & 0x0f) * 4;
  StoreBe16(header + 10, 0);
  StoreBe16(header + 10, Checksum({header, length}));
}

}  // namespace cygnet
