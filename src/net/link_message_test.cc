#include "net/link_message.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::IpFields;

constexpr std::array<std::size_t, 5> kFixed = {8, 16, 24, 24, 40};  // of types 133 to 137

// fe80::2, the destination of kLink.
Bytes Target() {
  Bytes target(16, 0);
  target[0] = 0xfe;
  target[1] = 0x80;
  target[15] = 2;
  return target;
}

const IpFields kLink{.src = "fe80::1", .dst = "fe80::2", .proto = 58, .ttl = 255};

Bytes Message(uint8_t type, std::size_t length, const Bytes& options = {}) {
  Bytes message(length, 0);
  message[0] = type;
  if (type == 135 && length >= 24) {
    const Bytes target = Target();
    std::copy(target.begin(), target.end(), message.begin() + 8);
  }
  return message + options;
}

bool Discovery(const IpFields& f, const Bytes& message) {
  const Bytes packet = test::IpPacket(f, message);
  const auto ip = ParseIpPacket(packet);
  return ip.has_value() && IsNeighbourDiscovery(*ip, packet);
}

TEST(NeighbourDiscoveryTest, EachTypeWithItsFixedPartAndOptions) {
  for (uint8_t type = 133; type <= 137; ++type) {
    const std::size_t fixed = kFixed[type - 133u];
    EXPECT_TRUE(Discovery(kLink, Message(type, fixed))) << int{type};
    const Bytes option = {1, 1, 2, 0, 0, 0, 0, 1};
    EXPECT_TRUE(Discovery(kLink, Message(type, fixed, option))) << int{type};
    EXPECT_TRUE(Discovery(kLink, Message(type, fixed, option + option))) << int{type};
    EXPECT_FALSE(Discovery(kLink, Message(type, fixed - 1))) << int{type};
    EXPECT_FALSE(Discovery(kLink, Message(type, fixed, {1, 1, 2, 0}))) << int{type};
    EXPECT_FALSE(Discovery(kLink, Message(type, fixed, {1, 2, 2, 0, 0, 0, 0, 1}))) << int{type};
    EXPECT_FALSE(Discovery(kLink, Message(type, fixed, Bytes(8, 0)))) << int{type};
    EXPECT_FALSE(Discovery(kLink, Message(type, fixed, option + test::Pattern(300)))) << int{type};
  }
}

TEST(NeighbourDiscoveryTest, OnlyOptionsOfTheType) {
  const auto option = [](uint8_t type, uint8_t words) {
    return Bytes{type, words} + Bytes(words * 8u - 2u, 7);
  };
  for (const uint8_t type : {uint8_t{133}, uint8_t{135}, uint8_t{136}}) {
    const std::size_t fixed = kFixed[type - 133u];
    EXPECT_TRUE(Discovery(kLink, Message(type, fixed, option(14, 1)))) << "a nonce";
    for (const Bytes& other : {option(14, 2), option(1, 2), option(250, 1), option(25, 3)}) {
      EXPECT_FALSE(Discovery(kLink, Message(type, fixed, other))) << int{type};
    }
  }
  EXPECT_TRUE(Discovery(kLink, Message(134, 16, option(3, 4) + option(5, 1) + option(25, 3))));
  EXPECT_FALSE(Discovery(kLink, Message(134, 16, option(250, 1))));
}

TEST(NeighbourDiscoveryTest, NothingBehindTheMessage) {
  Bytes packet = test::IpPacket(kLink, Message(135, 24));
  ASSERT_TRUE(IsNeighbourDiscovery(*ParseIpPacket(packet), packet));
  packet.push_back(0);
  EXPECT_FALSE(IsNeighbourDiscovery(*ParseIpPacket(packet), packet));
}

TEST(NeighbourDiscoveryTest, ASolicitationGoesToItsTargetOrTheTargetsGroup) {
  IpFields f = kLink;
  f.dst = "ff02::1:ff00:2";
  EXPECT_TRUE(Discovery(f, Message(135, 24)));
  for (const char* elsewhere : {"ff02::1:ff00:3", "ff02::1", "fe80::3", "2001:db8::2"}) {
    f.dst = elsewhere;
    EXPECT_FALSE(Discovery(f, Message(135, 24))) << elsewhere;
  }
  f.dst = "ff02::2";
  EXPECT_TRUE(Discovery(f, Message(133, 8)));
  f.dst = "2001:db8::2";
  EXPECT_FALSE(Discovery(f, Message(133, 8)));
}

TEST(NeighbourDiscoveryTest, OnTheLinkOnly) {
  const Bytes solicitation = Message(135, 24);
  IpFields f = kLink;
  f.ttl = 254;
  EXPECT_FALSE(Discovery(f, solicitation));
  f = kLink;
  f.src = "2001:db8::1";
  EXPECT_TRUE(Discovery(f, solicitation));
  EXPECT_FALSE(Discovery(f, Message(134, 16)));  // routers send from link-local
  EXPECT_FALSE(Discovery(f, Message(137, 40)));
  f = kLink;
  f.src = "::";
  EXPECT_TRUE(Discovery(f, solicitation));  // duplicate address detection
  Bytes code = solicitation;
  code[1] = 1;
  EXPECT_FALSE(Discovery(kLink, code));
  for (const uint8_t type : {uint8_t{128}, uint8_t{132}, uint8_t{138}}) {
    EXPECT_FALSE(Discovery(kLink, Message(type, 24))) << int{type};
  }
}

TEST(NeighbourDiscoveryTest, NoExtensionHeaderAndNoFragment) {
  for (const uint8_t header : {kProtoRouting, kProtoDestOpts, kProtoHopByHop}) {
    IpFields f = kLink;
    f.first_header = header;
    f.options = {58, 0, header == kProtoRouting ? uint8_t{0} : uint8_t{1}, 4, 0, 0, 0, 0};
    EXPECT_FALSE(Discovery(f, Message(135, 24))) << int{header};
  }
  IpFields f = kLink;
  f.first_header = kProtoFragment;
  f.options = {58, 0, 0, 0, 0, 0, 0, 1};  // atomic
  EXPECT_FALSE(Discovery(f, Message(135, 24)));
}

TEST(NeighbourDiscoveryTest, ARedirectThatQuotesIsTold) {
  const auto quotes = [](const Bytes& message) {
    const Bytes packet = test::IpPacket(kLink, message);
    return QuotesPacket(*ParseIpPacket(packet), packet);
  };
  EXPECT_FALSE(quotes(Message(137, 40)));
  EXPECT_FALSE(quotes(Message(137, 40, {2, 1, 0, 0, 0, 0, 0, 0})));
  EXPECT_TRUE(quotes(Message(137, 40, Bytes{2, 1, 0, 0, 0, 0, 0, 0} + Bytes{4, 2} + Bytes(14, 9))));
  EXPECT_FALSE(quotes(Message(136, 24, Bytes{4, 2} + Bytes(14, 9))));
}

struct Mld {
  IpFields f{.src = "fe80::1",
             .dst = "ff02::16",
             .proto = 58,
             .ttl = 1,
             .options = {58, 0, 5, 2, 0, 0, 1, 0},
             .first_header = 0};
  Bytes message;
  bool Is() const {
    const Bytes packet = test::IpPacket(f, message);
    const auto ip = ParseIpPacket(packet);
    return ip.has_value() && IsListenerDiscovery(*ip, packet);
  }
};

// A version 2 report with one group and `sources` sources.
Bytes ReportV2(uint8_t sources) {
  Bytes record(20 + sources * 16u, 3);
  record[1] = 0;
  test::Put16(&record, 2, sources);
  return Bytes{143, 0, 0, 0, 0, 0, 0, 1} + record;
}

TEST(ListenerDiscoveryTest, ReportsQueriesAndDone) {
  Mld mld;
  for (const Bytes& message : {Message(130, 24), Message(130, 28), Message(131, 24),
                               Message(132, 24), ReportV2(0), ReportV2(2)}) {
    mld.message = message;
    EXPECT_TRUE(mld.Is()) << int{message[0]};
    mld.message.push_back(0);
    EXPECT_FALSE(mld.Is()) << int{message[0]};
  }
  mld.message = Message(134, 24);
  EXPECT_FALSE(mld.Is());
  mld.message = Bytes{143, 0, 0, 0, 0, 0, 0, 2} + Bytes(20, 0);
  EXPECT_FALSE(mld.Is());
}

TEST(ListenerDiscoveryTest, FromTheLinkToAGroupBehindARouterAlert) {
  Mld mld;
  mld.message = ReportV2(0);
  ASSERT_TRUE(mld.Is());
  Mld other = mld;
  other.f.ttl = 2;
  EXPECT_FALSE(other.Is());
  other = mld;
  other.f.src = "2001:db8::1";
  EXPECT_FALSE(other.Is());
  other.f.src = "::";
  EXPECT_TRUE(other.Is());
  other = mld;
  other.f.dst = "fe80::2";
  EXPECT_FALSE(other.Is());
  other = mld;
  other.f.options.clear();
  EXPECT_FALSE(other.Is());
  other = mld;
  other.f.options[5] = 1;  // RSVP
  EXPECT_FALSE(other.Is());
}

}  // namespace
}  // namespace cygnet
