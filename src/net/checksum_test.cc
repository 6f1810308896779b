#include "net/checksum.h"

#include <gtest/gtest.h>

#include <random>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::Bytes;

// Ones-complement zero has two representations of the same sum.
uint16_t Same(uint16_t sum) { return sum == 0xffff ? 0 : sum; }

TEST(ChecksumTest, AgreesWithTheNaiveSumForEveryLengthAndPlace) {
  std::mt19937 random(1);
  Bytes buffer(2100);
  for (auto& byte : buffer) byte = static_cast<uint8_t>(random());
  for (std::size_t n = 0; n <= 2048; n = n < 100 ? n + 1 : n * 2 - 99) {
    for (std::size_t at = 0; at < 9; ++at) {
      const std::span<const uint8_t> bytes = std::span<const uint8_t>(buffer).subspan(at, n);
      EXPECT_EQ(Same(Checksum(bytes)), Same(test::NaiveChecksum(bytes))) << n << " at " << at;
    }
  }
}

TEST(ChecksumTest, CarriesAreNotLost) {
  for (const uint8_t fill : {uint8_t{0xff}, uint8_t{0xfe}, uint8_t{0x80}, uint8_t{0}}) {
    for (std::size_t n : {1u, 7u, 8u, 9u, 15u, 16u, 17u, 1000u, 65535u}) {
      const Bytes bytes(n, fill);
      EXPECT_EQ(Same(Checksum(bytes)), Same(test::NaiveChecksum(bytes))) << int{fill} << " " << n;
    }
  }
}

TEST(ChecksumTest, ExampleOfRfc1071) {
  const Bytes bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(Checksum(bytes), static_cast<uint16_t>(~0xddf2u));
}

// RFC 1071, section 4.1: carries are added until none is left.
TEST(ChecksumTest, FoldsAsRfc1071) {
  std::mt19937_64 random(2);
  for (uint64_t i = 0; i < 10'000; ++i) {
    const uint64_t sums[] = {random(), random() >> 28, random() | 0xffffffff00000000, ~uint64_t{0},
                             i,        i << 16};
    for (const uint64_t sum : sums) {
      uint64_t folded = sum;
      while (folded >> 16 != 0) folded = (folded & 0xffff) + (folded >> 16);
      ASSERT_EQ(ChecksumFinish(sum), static_cast<uint16_t>(~folded)) << sum;
    }
  }
}

TEST(ChecksumTest, PartsAddUp) {
  const Bytes bytes = test::Pattern(100);
  const std::span<const uint8_t> all = bytes;
  EXPECT_EQ(ChecksumFinish(ChecksumAdd(all.subspan(40), ChecksumAdd(all.first(40)))),
            Checksum(all));
}

TEST(ChecksumTest, PseudoHeaderOfUdpHolds) {
  const char* const pairs[][2] = {{"10.1.0.1", "10.2.0.1"}, {"fd01::1", "fd02::1"}};
  for (const auto& pair : pairs) {
    const test::IpFields f{.src = pair[0], .dst = pair[1]};
    const Bytes ip = test::Udp(f, 1, 2, test::Pattern(33));
    const auto src = test::Addr(f.src);
    const std::size_t header = src.family == IpFamily::kV4 ? 20 : 40;
    const std::span<const uint8_t> udp = std::span<const uint8_t>(ip).subspan(header);
    const uint64_t pseudo = PseudoHeaderSum(src.address, test::Ip(f.dst), src.family, 17,
                                            static_cast<uint32_t>(udp.size()));
    EXPECT_EQ(ChecksumFinish(ChecksumAdd(udp, pseudo)), 0);
  }
}

TEST(ChecksumTest, Ipv4HeaderWithOptions) {
  for (std::size_t options = 0; options <= 40; options += 4) {
    Bytes ip = test::IpPacket({.options = test::Pattern(options)}, {});
    const Bytes good = ip;
    test::Put16(&ip, 10, 0xdead);
    WriteIpv4HeaderChecksum(ip.data());
    EXPECT_EQ(ip, good);
  }
}

}  // namespace
}  // namespace cygnet
