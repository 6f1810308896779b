#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

namespace cygnet {
namespace {

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// RFC 3720, appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(Crc32c(Bytes("123456789")), 0xe3069283u);
  std::array<uint8_t, 32> bytes{};
  EXPECT_EQ(Crc32c(bytes), 0x8a9136aau);
  bytes.fill(0xff);
  EXPECT_EQ(Crc32c(bytes), 0x62a8ab43u);
  EXPECT_EQ(Crc32c({}), 0u);
}

// Eight bytes at once, and what is left of them.
TEST(Crc32c, OfEachLengthIsThatOfItsParts) {
  std::array<uint8_t, 40> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(37 * i + 5);
  uint32_t by_bytes = 0;
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_EQ(Crc32c(std::span(bytes).first(n)), by_bytes) << n;
    by_bytes = Crc32c(std::span(bytes).subspan(n, 1), by_bytes);
  }
}

// Of every length, and from every place in a word.
TEST(Crc32c, WithoutTheInstructionItIsTheSame) {
  std::array<uint8_t, 40> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(91 * i + 7);
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t n = 0; from + n <= bytes.size(); ++n) {
      const auto part = std::span(bytes).subspan(from, n);
      EXPECT_EQ(Crc32c(part, 0x12345678), Crc32cByTables(part, 0x12345678)) << from << " " << n;
    }
  }
}

TEST(Crc32c, GoesOn) { EXPECT_EQ(Crc32c(Bytes("6789"), Crc32c(Bytes("12345"))), 0xe3069283u); }

}  // namespace
}  // namespace cygnet
