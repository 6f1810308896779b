#include "base/endian.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace cygnet {
namespace {

TEST(BigEndianTest, BytesAreInWireOrder) {
  const be16 a(0x0102);
  const be32 b(0x01020304);
  const be64 c(0x0102030405060708);
  for (const std::span<const uint8_t> bytes : {AsBytes(a), AsBytes(b), AsBytes(c)}) {
    for (std::size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], i + 1);
  }
}

TEST(BigEndianTest, ValueAndRawRoundTrip) {
  for (const uint32_t v : {0u, 1u, 0x80000000u, 0xffffffffu, 0x12345678u}) {
    EXPECT_EQ(be32(v).value(), v);
    EXPECT_EQ(be32::FromRaw(be32(v).raw()), be32(v));
  }
}

TEST(BigEndianTest, LoadsAndStoresAtAnyAddress) {
  uint8_t buffer[12] = {};
  for (std::size_t at = 0; at < 4; ++at) {
    StoreBe16(buffer + at, 0xa1b2);
    EXPECT_EQ(LoadBe16(buffer + at), 0xa1b2);
    StoreBe32(buffer + at, 0xa1b2c3d4);
    EXPECT_EQ(LoadBe32(buffer + at), 0xa1b2c3d4u);
    StoreBe64(buffer + at, 0x0102030405060708);
    EXPECT_EQ(LoadBe32(buffer + at + 4), 0x05060708u);
  }
}

TEST(ReadAtTest, NeverReadsPastTheEnd) {
  const uint8_t bytes[] = {1, 2, 3, 4, 5};
  EXPECT_EQ(ReadAt<be32>(bytes, 1)->value(), 0x02030405u);
  EXPECT_FALSE(ReadAt<be32>(bytes, 2).has_value());
  EXPECT_FALSE(ReadAt<be32>(bytes, 6).has_value());
  EXPECT_FALSE(ReadAt<be32>(bytes, ~std::size_t{0}).has_value());
  EXPECT_FALSE(ReadAt<uint8_t>({}, 0).has_value());
}

}  // namespace
}  // namespace cygnet
