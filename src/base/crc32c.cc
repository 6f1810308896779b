#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace cygnet {
namespace {

// tables[n][byte]: the checksum of the byte with n zero bytes behind it.
constexpr std::size_t kAtOnce = 8;
using Tables = std::array<std::array<uint32_t, 256>, kAtOnce>;

constexpr Tables MakeTables() {
  constexpr uint32_t kReflected = 0x82f63b78;
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kReflected : 0);
    tables[0][byte] = value;
  }
  for (std::size_t n = 1; n < kAtOnce; ++n) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[n - 1][byte];
      tables[n][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

#if defined(__x86_64__)
// A restart checks a kilobyte for each SA several times.
__attribute__((target("sse4.2"))) uint32_t ByInstruction(std::span<const uint8_t> data,
                                                         uint32_t before) {
  uint64_t value = static_cast<uint32_t>(~before);
  for (; data.size() >= sizeof(uint64_t); data = data.subspan(sizeof(uint64_t))) {
    uint64_t word = 0;
    std::memcpy(&word, data.data(), sizeof(word));
    value = __builtin_ia32_crc32di(value, word);
  }
  auto last = static_cast<uint32_t>(value);
  for (const uint8_t byte : data) last = __builtin_ia32_crc32qi(last, byte);
  return ~last;
}
#endif

}  // namespace

uint32_t Crc32c(std::span<const uint8_t> data, uint32_t before) {
#if defined(__x86_64__)
  static const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
  if (kHasInstruction) return ByInstruction(data, before);
#endif
  return Crc32cByTables(data, before);
}

uint32_t Crc32cByTables(std::span<const uint8_t> data, uint32_t before) {
  uint32_t value = ~before;
  for (; data.size() >= kAtOnce; data = data.subspan(kAtOnce)) {
    uint32_t next = 0;
    for (std::size_t i = 0; i < kAtOnce; ++i) {
      const uint32_t mixed = i < sizeof(value) ? value >> (8 * i) : 0;
      next ^= kTables[kAtOnce - 1 - i][(mixed ^ data[i]) & 0xff];
    }
    value = next;
  }
  for (const uint8_t byte : data) value = (value >> 8) ^ kTables[0][(value ^ byte) & 0xff];
  return ~value;
}

}  // namespace cygnet
