// Errors to the sender: their content, packets that never get one, and their rate.
#include "datapath/icmp_error.h"

#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/fragment_builder.h"
#include "support/pools_test.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Get16;
using test::Get32;
using test::IpFields;
using test::IpPacket;
using test::Pattern;
using test::operator+;

const IpFields kV4{.src = "10.1.0.1", .dst = "10.2.0.1"};
const IpFields kV6{.src = "fd01::1", .dst = "fd02::1"};

class IcmpErrorTest : public test::PoolsTest {
 protected:
  // The answer's IP packet; empty if there is none.
  Bytes Answer(const Bytes& frame, uint32_t mtu = 1400, uint16_t l3_offset = 14) {
    Packet* packet = test::MakePacket(&pools_, frame);
    packet->l3_offset = l3_offset;
    const auto ip = ParseIpPacket(packet->l3());
    const bool may = MayAnswerWithError(*packet, *ip);
    Packet* answer = MakePacketTooBig(*packet, *ip, mtu, &caches_->small);
    sink_.Recycle(packet);
    if (answer == nullptr) return {};
    EXPECT_TRUE(may);
    const Bytes out = test::ToBytes(answer->l3());
    sink_.Recycle(answer);
    return out;
  }
  bool Answered(const IpFields& f, const Bytes& upper) {
    return !Answer(Frame(IpPacket(f, upper))).empty();
  }
};

TEST_F(IcmpErrorTest, Ipv4IsToldAnyMtuThatALinkMayHave) {
  const Bytes big = Frame(test::Udp(kV4, 1, 2, Pattern(1400)));
  EXPECT_EQ(Get16(Answer(big, 1246), 26), 1246);
  EXPECT_EQ(Get16(Answer(big, 500), 26), 500);
  EXPECT_EQ(Get16(Answer(big, 0), 26), 68);
  EXPECT_EQ(Get16(Answer(big, 70'000), 26), 65535);
}

TEST_F(IcmpErrorTest, Ipv6IsNeverToldLessThan1280) {
  const Bytes big = Frame(test::Udp(kV6, 1, 2, Pattern(1400)));
  EXPECT_EQ(Get32(Answer(big, 1300), 44), 1300u);
  for (const uint32_t mtu : {1279u, 1206u, 0u}) {
    const Bytes answer = Answer(big, mtu);
    EXPECT_EQ(Get32(answer, 44), 1280u);
    EXPECT_TRUE(test::UpperChecksumHolds(answer));
  }
}

TEST_F(IcmpErrorTest, QuotesAsMuchAsTheMinimumMtuHolds) {
  const Bytes v4 = Frame(test::Udp(kV4, 1, 2, Pattern(1400)));
  Bytes answer = Answer(v4);
  EXPECT_EQ(answer.size(), 576u);
  EXPECT_EQ(Bytes(answer.begin() + 28, answer.end()), Bytes(v4.begin() + 14, v4.begin() + 562));
  const Bytes v6 = Frame(test::Udp(kV6, 1, 2, Pattern(1400)));
  answer = Answer(v6);
  EXPECT_EQ(answer.size(), 1280u);
  EXPECT_EQ(Bytes(answer.begin() + 48, answer.end()), Bytes(v6.begin() + 14, v6.begin() + 1246));
  // Padding of the frame is not quoted.
  EXPECT_EQ(Answer(Frame(test::Udp(kV4, 1, 2, Pattern(10))) + Bytes(8, 0)).size(), 28u + 38u);
}

TEST_F(IcmpErrorTest, NoIcmpErrorIsAnswered) {
  IpFields v4 = kV4;
  v4.proto = kProtoIcmp;
  for (const uint8_t type : std::initializer_list<uint8_t>{3, 4, 5, 11, 12}) {
    EXPECT_FALSE(Answered(v4, Bytes{type, 0} + Pattern(100))) << int{type};
  }
  EXPECT_TRUE(Answered(v4, Bytes{0, 0} + Pattern(100)));
  EXPECT_TRUE(Answered(v4, Bytes{8, 0} + Pattern(100)));
  IpFields v6 = kV6;
  v6.proto = kProtoIcmpv6;
  for (const uint8_t type : std::initializer_list<uint8_t>{1, 2, 3, 4, 127, 137}) {
    EXPECT_FALSE(Answered(v6, Bytes{type, 0} + Pattern(100))) << int{type};
  }
  EXPECT_TRUE(Answered(v6, Bytes{128, 0} + Pattern(100)));
}

TEST_F(IcmpErrorTest, OnlyTheFirstFragmentIsAnswered) {
  const Bytes data = Pattern(100);
  for (const IpFields& f : {kV4, kV6}) {
    EXPECT_FALSE(Answer(Frame(test::FragmentOf(f, data, {0, 80}))).empty());
    EXPECT_TRUE(Answer(Frame(test::FragmentOf(f, data, {8, 80}))).empty());
  }
}

TEST_F(IcmpErrorTest, WhatWentToManyOrCameFromNobodyIsNotAnswered) {
  const auto answered = [&](const char* src, const char* dst) {
    IpFields f = kV4;
    f.src = src;
    f.dst = dst;
    return Answered(f, Pattern(100));
  };
  EXPECT_TRUE(answered("10.1.0.1", "10.2.0.1"));
  EXPECT_TRUE(answered("fd01::1", "fd02::1"));
  for (const char* dst : {"224.0.0.5", "255.255.255.255"}) EXPECT_FALSE(answered("10.1.0.1", dst));
  EXPECT_FALSE(answered("fd01::1", "ff02::1"));
  for (const char* src :
       {"0.0.0.0", "0.0.0.7", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255"}) {
    EXPECT_FALSE(answered(src, "10.2.0.1")) << src;
  }
  for (const char* src : {"::", "::1", "ff02::1"}) EXPECT_FALSE(answered(src, "fd02::1")) << src;

  Bytes broadcast = Frame(test::Udp(kV4, 1, 2, Pattern(100)));
  std::fill(broadcast.begin(), broadcast.begin() + 6, 0xff);
  EXPECT_TRUE(Answer(broadcast).empty());
  broadcast[0] = 0x01;
  EXPECT_TRUE(Answer(broadcast).empty());
}

// Any number of tags of a hostile frame used to be copied into a small buffer.
TEST_F(IcmpErrorTest, TagsThatLeaveNoRoomForTheAnswer) {
  const auto tagged = [](std::size_t n) {
    Bytes tags;
    for (std::size_t i = 0; i < n; ++i) tags = tags + Bytes{0x81, 0, 0, 5};
    return Frame(test::Udp(kV6, 1, 2, Pattern(1400)), tags);
  };
  EXPECT_EQ(Answer(tagged(2), 1300, 22).size(), 1280u);
  EXPECT_TRUE(Answer(tagged(600), 1300, 14 + 2400).empty());
}

TEST_F(IcmpErrorTest, WithoutBuffersThereIsNoAnswer) {
  std::vector<Packet*> taken;
  const Bytes big = Frame(test::Udp(kV4, 1, 2, Pattern(2200)));  // itself in a jumbo buffer
  while (Packet* p = caches_->small.Take()) taken.push_back(p);
  EXPECT_TRUE(Answer(big).empty());
  for (Packet* p : taken) sink_.Recycle(p);
}

TEST(IcmpLimiterTest, ABurstAndThenTheRate) {
  IcmpLimiter limiter;
  const auto count = [&](uint64_t now_ms, int tries) {
    int allowed = 0;
    for (int i = 0; i < tries; ++i) allowed += limiter.Allow(now_ms) ? 1 : 0;
    return allowed;
  };
  EXPECT_EQ(count(5000, 500), 100);
  EXPECT_EQ(count(5000, 10), 0);
  EXPECT_EQ(count(5001, 10), 1);
  EXPECT_EQ(count(5011, 20), 10);
  EXPECT_EQ(count(5000, 10), 0);  // even if time ran backwards
  EXPECT_EQ(count(9'000'000'000'000, 500), 100);
  int over_a_second = 0;
  for (uint64_t ms = 1; ms <= 1000; ++ms) over_a_second += count(9'000'000'000'000 + ms, 5);
  EXPECT_EQ(over_a_second, 1000);
}

}  // namespace
}  // namespace cygnet
