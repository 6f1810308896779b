#include "net/frame.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Pattern;

const Bytes kMacs(12, 2);
const Bytes kTag = {0x81, 0, 0, 1};
const Bytes kV4 = {8, 0};
const Bytes kV6 = {0x86, 0xdd};

TEST(ParseFrameTest, TypeAndVersionMustAgree) {
  const Bytes ip4 = test::Udp({.src = "10.1.2.3", .dst = "10.4.5.6"}, 1234, 80, Pattern(10));
  const Bytes ip6 = test::Udp({.src = "2001:db8::1", .dst = "2001:db8::2"}, 1234, 80, Pattern(10));
  const Bytes cut(ip4.begin(), ip4.end() - 1);
  struct Case {
    const char* name;
    Bytes frame;
    FrameKind kind;
    uint16_t l3_offset;
  };
  const Case cases[] = {
      {"no type", kMacs + Bytes{8}, FrameKind::kTooShort, 0},
      {"ARP", kMacs + Bytes{8, 6, 0, 1}, FrameKind::kOther, 14},
      {"IPv4", kMacs + kV4 + ip4, FrameKind::kIp, 14},
      {"IPv6", kMacs + kV6 + ip6, FrameKind::kIp, 14},
      {"tagged", kMacs + kTag + kV4 + ip4, FrameKind::kIp, 18},
      {"IPv6 called IPv4", kMacs + kV4 + ip6, FrameKind::kBadIp, 14},
      {"IPv4 called IPv6", kMacs + kV6 + ip4, FrameKind::kBadIp, 14},
      {"cut off", kMacs + kV4 + cut, FrameKind::kBadIp, 14},
      {"type alone", kMacs + kV4, FrameKind::kBadIp, 14},
  };
  for (const Case& c : cases) {
    IpPacketView ip;
    const Frame frame = ParseFrame(c.frame, &ip);
    EXPECT_EQ(frame.kind, c.kind) << c.name;
    EXPECT_EQ(frame.type.l3_offset, c.l3_offset) << c.name;
    if (frame.kind == FrameKind::kIp) {
      EXPECT_EQ(ip.flow.dport, 80) << c.name;
    }
  }
}

}  // namespace
}  // namespace cygnet
