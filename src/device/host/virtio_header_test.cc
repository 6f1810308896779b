#include "device/host/virtio_header.h"

#include <gtest/gtest.h>

#include <array>

namespace cygnet {
namespace {

struct Case {
  const char* name;
  VirtioNetHeader header;
  bool accepted;
};

TEST(VirtioHeaderTest, FieldsAreCheckedAgainstTheFrame) {
  const Case cases[] = {
      {"nothing asked", {}, true},
      {"checksum", {1, 0, 0, 0, 34, 16}, true},
      {"checksum in the last two bytes", {1, 0, 0, 0, 98, 0}, true},
      {"checksum beyond the frame", {1, 0, 0, 0, 99, 0}, false},
      {"checksum far beyond", {1, 0, 0, 0, 65535, 65535}, false},
      {"TCPv4 segments", {1, 1, 54, 1400, 34, 16}, true},
      {"TCPv6 segments with ECN", {1, 0x84, 74, 1400, 54, 16}, true},
      {"segments of nothing", {1, 1, 54, 0, 34, 16}, false},
      {"segments without checksum", {0, 1, 54, 1400, 34, 16}, false},
      {"TCP segments without TCP's checksum", {1, 1, 54, 1400, 34, 6}, false},
      {"UDP segments", {1, 5, 42, 1400, 34, 6}, true},
      {"UDP segments without UDP's checksum", {1, 5, 42, 1400, 34, 16}, false},
      {"UDP fragments", {1, 3, 42, 1400, 34, 6}, false},
  };
  for (const Case& c : cases) {
    Packet packet;
    packet.length = 100;
    EXPECT_EQ(ReadVirtioHeader(c.header, &packet), c.accepted) << c.name;
  }
}

TEST(VirtioHeaderTest, WhatIsReadIsWrittenAgain) {
  for (const VirtioNetHeader& in :
       {VirtioNetHeader{}, VirtioNetHeader{1, 0, 0, 0, 34, 16},
        VirtioNetHeader{1, 1, 54, 1400, 34, 16}, VirtioNetHeader{1, 4, 74, 1400, 54, 16},
        VirtioNetHeader{1, 0x84, 74, 1400, 54, 16}, VirtioNetHeader{1, 5, 42, 1400, 34, 6}}) {
    std::array<uint8_t, 5000> bytes{};
    bytes[in.csum_start + 12u] = 5 << 4;
    if ((in.gso_type & kVirtioGsoEcn) != 0) bytes[in.csum_start + 13u] = 0x80;
    Packet packet;
    packet.buffer = bytes.data();
    packet.length = bytes.size();
    ASSERT_TRUE(ReadVirtioHeader(in, &packet));
    const VirtioNetHeader out = WriteVirtioHeader(packet);
    EXPECT_EQ(out.flags, in.flags);
    EXPECT_EQ(out.gso_type, in.gso_type);
    EXPECT_EQ(out.gso_size, in.gso_size);
    EXPECT_EQ(out.hdr_len, in.hdr_len);
    EXPECT_EQ(out.csum_start, in.csum_start);
    EXPECT_EQ(out.csum_offset, in.csum_offset);
  }
}

}  // namespace
}  // namespace cygnet
