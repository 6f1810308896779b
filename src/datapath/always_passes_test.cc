// Packets that pass in clear regardless of policy, and packets that only look like them.
#include "datapath/always_passes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/test_host.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::TestPair;
using test::Udp;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// --- Frames that are not IP ---

const Bytes kArp = Bytes{0, 1, 8, 0, 6, 4, 0, 1} + Bytes(20, 9);

TEST(EtherTypeTest, ArpPassesBothWaysWithoutWhatIsBehindIt) {
  TestPair pair;
  pair.Protect({}, "0.0.0.0/0", "0.0.0.0/0");
  const Bytes arp = test::EthernetHeader(0x0806) + kArp;
  EXPECT_THAT(pair.a.Send(arp + Pattern(18)), ElementsAre(arp));
  EXPECT_THAT(pair.b.Receive(arp + Pattern(18)), ElementsAre(arp));
  EXPECT_THAT(pair.a.Send(test::EthernetHeader(0x0806) + Pattern(28)), IsEmpty());
  EXPECT_THAT(pair.b.Receive(test::EthernetHeader(0x0806) + Pattern(28)), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutEtherType), 1u);
  EXPECT_EQ(pair.b.Drops(DropReason::kInEtherType), 1u);
}

// Frames with IP inside, with tags that are not parsed here, and with a length instead of a type.
TEST(EtherTypeTest, WhatIsNotListedPassesNeitherWay) {
  TestPair pair;
  const std::vector<Bytes> heads = {{0x88, 0x64},
                                    {0x88, 0x47},
                                    {0x91, 0x00, 0, 5, 8, 0},
                                    {0x65, 0x58},
                                    {0x88, 0xcc},
                                    {0x00, 0x40},
                                    {0x88, 0x8e},
                                    {0x81, 0, 0, 5, 0x88, 0x64},
                                    {0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x91, 0}};
  for (const Bytes& head : heads) {
    Bytes frame = Frame(Udp({}, 1, 2, Pattern(40)));
    frame.erase(frame.begin() + 12, frame.begin() + 14);
    frame.insert(frame.begin() + 12, head.begin(), head.end());
    EXPECT_THAT(pair.a.Send(frame), IsEmpty());
    EXPECT_THAT(pair.b.Receive(frame), IsEmpty());
  }
  EXPECT_EQ(pair.a.Drops(DropReason::kOutEtherType), heads.size());
  EXPECT_EQ(pair.b.Drops(DropReason::kInEtherType), heads.size());
}

TEST(EtherTypeTest, WhatIsListedPassesTaggedOrNot) {
  TestPair pair;
  pair.Protect({}, "0.0.0.0/0", "0.0.0.0/0");
  const std::array<uint16_t, 1> lldp = {0x88cc};
  pair.a.path.pass_ether_types.Set(lldp);
  pair.b.path.pass_ether_types.Set(lldp);
  const Bytes plain = test::EthernetHeader(0x88cc) + Pattern(30);
  Bytes tagged = plain;
  const Bytes tag = {0x81, 0, 0, 5};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  for (const Bytes& frame : {plain, tagged}) {
    EXPECT_THAT(pair.a.Send(frame), ElementsAre(frame));
    EXPECT_THAT(pair.b.Receive(frame), ElementsAre(frame));
  }
}

// --- Messages of the link ---

void ProtectAllV6(TestPair* pair) {
  pair->Protect({.src = "2001:db8::1", .dst = "2001:db8::2", .mode = SaMode::kTransport}, "::/0",
                "::/0");
}

// A solicitation asks for its destination address.
Bytes LinkMessage(uint8_t type, uint8_t hop_limit, std::size_t length, const Bytes& options = {}) {
  IpFields f{.src = "fe80::1", .dst = "fe80::2", .proto = 58, .ttl = hop_limit};
  Bytes message = Bytes{type} + Bytes(length - 1, 0);
  if (type == 135 && length >= 24) {
    message[8] = 0xfe;
    message[9] = 0x80;
    message[23] = 2;
  }
  return Frame(test::IpPacket(f, message + options));
}

TEST(LinkMessageTest, NeighbourDiscoveryPassesBothWays) {
  TestPair pair;
  ProtectAllV6(&pair);
  constexpr std::array<std::size_t, 5> kFixed = {8, 16, 24, 24, 40};
  for (uint8_t type = 133; type <= 137; ++type) {
    const Bytes nd = LinkMessage(type, 255, kFixed[type - 133u]);
    EXPECT_THAT(pair.a.Send(nd), ElementsAre(nd));
    EXPECT_THAT(pair.b.Receive(nd), ElementsAre(nd));
  }
  IpFields f{.src = "fe80::1", .dst = "ff02::16", .proto = 58, .ttl = 1};
  f.options = {58, 0, 5, 2, 0, 0, 1, 0};
  const Bytes mld = Frame(test::IpPacket(f, Bytes{143, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_THAT(pair.a.Send(mld), ElementsAre(mld));
  EXPECT_THAT(pair.b.Receive(mld), ElementsAre(mld));
}

TEST(LinkMessageTest, NothingPassesBehindAPacketInClear) {
  TestPair pair;
  ProtectAllV6(&pair);
  const Bytes nd = LinkMessage(135, 255, 24);
  EXPECT_THAT(pair.a.Send(nd + Pattern(100)), ElementsAre(nd));
  EXPECT_THAT(pair.b.Receive(nd + Pattern(100)), ElementsAre(nd));
}

TEST(LinkMessageTest, WhatOnlyLooksLikeItIsHeldToPolicy) {
  TestPair pair;
  pair.a.AddPolicy(
      test::MakePolicy(PolicyDirection::kOut, "::/0", "::/0", {}, PolicyAction::kBlock));
  pair.b.AddPolicy(
      test::MakePolicy(PolicyDirection::kIn, "::/0", "::/0", {}, PolicyAction::kBlock));
  pair.b.AddPolicy(
      test::MakePolicy(PolicyDirection::kForward, "::/0", "::/0", {}, PolicyAction::kBlock));
  IpFields routed{.src = "fe80::1", .dst = "fe80::2", .proto = 58, .ttl = 255};
  routed.first_header = kProtoRouting;
  routed.options = {58, 0, 0, 1, 0, 0, 0, 0};
  const Bytes frames[] = {
      LinkMessage(132, 255, 24),
      LinkMessage(138, 255, 24),
      LinkMessage(135, 254, 24),
      LinkMessage(135, 255, 20),
      LinkMessage(135, 255, 24 + 8),                            // an option of length 0
      LinkMessage(135, 255, 24, Bytes{250, 2} + Bytes(14, 7)),  // not an ND option
      LinkMessage(135, 255, 24, Bytes{14, 2} + Bytes(14, 7)),   // too long
      Frame(test::IpPacket(routed, Bytes{135} + Bytes(23, 0)))};
  for (const Bytes& frame : frames) {
    EXPECT_THAT(pair.a.Send(frame), IsEmpty());
    EXPECT_THAT(pair.b.Receive(frame), IsEmpty());
  }
  EXPECT_EQ(pair.a.Drops(DropReason::kOutPolicyBlock), std::size(frames));
  EXPECT_EQ(pair.b.Drops(DropReason::kInPolicyBlock), std::size(frames));
}

// A hub gateway would quote a packet that it has just opened.
TEST(LinkMessageTest, ARedirectThatQuotesAPacketDoesNotLeave) {
  TestPair pair;
  ProtectAllV6(&pair);
  const IpFields f{.src = "fe80::1", .dst = "2001:db8::2", .proto = 58, .ttl = 255};
  const Bytes redirect = Frame(
      test::IpPacket(f, Bytes{137} + Bytes(39, 0) + Bytes{4, 3, 0, 0, 0, 0, 0, 0} + Pattern(16)));
  const std::vector<Bytes> wire = pair.a.Send(redirect);
  ASSERT_THAT(wire, SizeIs(testing::Le(1u)));
  for (const Bytes& frame : wire) EXPECT_EQ(frame[20], kProtoEsp);
  EXPECT_THAT(pair.b.Receive(redirect), SizeIs(1));
}

// RFC 6980.
TEST(LinkMessageTest, FragmentsOfItAreHeldToPolicy) {
  TestPair pair;
  ProtectAllV6(&pair);
  IpFields f{.src = "fe80::1", .dst = "2001:db8::2", .proto = 58, .ttl = 255};
  f.first_header = kProtoFragment;
  f.options = {58, 0, 0, 0, 0, 0, 0, 1};  // atomic: whole without the fragment header
  EXPECT_THAT(pair.b.Receive(Frame(test::IpPacket(f, Bytes{135} + Bytes(23, 0)))), IsEmpty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

// --- IKE ---

Bytes Ike(std::size_t body = 12) {
  Bytes message(28 + body, 1);
  message[17] = 0x20;
  test::Put32(&message, 24, static_cast<uint32_t>(message.size()));
  return message;
}

SocketEnds UdpPort(uint16_t port) {
  SocketEnds ends;
  ends.local_port = port;
  ends.family = IpFamily::kV4;
  ends.proto = kProtoUdp;
  return ends;
}

class IkeTest : public testing::Test {
 protected:
  IkeTest() {
    for (test::TestHost* host : {&pair_.a, &pair_.b}) {
      host->path.ike_bypass = true;
      host->path.SetIkeSockets({UdpPort(500), UdpPort(4500)});
    }
    pair_.Protect({.mode = SaMode::kTransport}, "192.0.2.1", "192.0.2.2");
  }
  Bytes From(const std::string& src, const std::string& dst, uint16_t sport, uint16_t dport,
             const Bytes& payload) {
    return Frame(Udp({.src = src, .dst = dst}, sport, dport, payload));
  }
  bool LeavesInClear(const Bytes& frame) {
    const std::vector<Bytes> wire = pair_.a.Send(frame);
    return wire.size() == 1 && wire[0] == frame;
  }
  TestPair pair_;
};

struct IkeCase {
  const char* name;
  uint16_t sport;
  uint16_t dport;
  Bytes payload;
  bool passes;
};

TEST_F(IkeTest, OfThisHostPassesAndNothingElse) {
  const Bytes marked = Bytes(4, 0) + Ike();
  const IkeCase cases[] = {
      {"IKE", 500, 500, Ike(), true},
      {"IKE to a moved port", 500, 30000, Ike(), true},
      {"port 500 at the far end only", 30000, 500, Ike(), false},
      {"port 4500 at the far end only", 30000, 4500, marked, false},
      {"IKE behind its marker", 4500, 4500, marked, true},
      {"IKE behind its marker, moved port", 4500, 61000, marked, true},
      {"keep-alive", 4500, 4500, Bytes{0xff}, true},
      {"other UDP", 501, 499, Ike(), false},
      {"not IKE", 500, 500, Pattern(28), false},
      {"not IKE behind the marker", 4500, 4500, Bytes(4, 0) + Pattern(28), false},
      {"no marker", 4500, 4500, Ike(), false},
      {"short of a marker", 4500, 4500, Bytes(3, 0), false},
      {"two keep-alive bytes", 4500, 4500, Bytes{0xff, 0xff}, false},
  };
  for (const IkeCase& c : cases) {
    EXPECT_EQ(LeavesInClear(From("192.0.2.1", "192.0.2.2", c.sport, c.dport, c.payload)), c.passes)
        << c.name;
  }
}

TEST_F(IkeTest, NoSocketNoBypass) {
  const Bytes frame = From("192.0.2.1", "192.0.2.2", 4500, 4500, Bytes(4, 0) + Ike());
  EXPECT_TRUE(LeavesInClear(frame));
  pair_.a.path.SetIkeSockets({UdpPort(500)});
  EXPECT_FALSE(LeavesInClear(frame));
  EXPECT_THAT(pair_.b.Receive(frame), SizeIs(1));
  pair_.b.path.SetIkeSockets({});
  EXPECT_THAT(pair_.b.Receive(frame), IsEmpty());
}

TEST_F(IkeTest, FromAndToUnicastAddressesOfHostsOnly) {
  for (test::TestHost* host : {&pair_.a, &pair_.b}) {
    host->SetAddresses({"192.0.2.1", "192.0.2.2", "127.0.0.1"});
    for (const PolicyDirection d : {PolicyDirection::kOut, PolicyDirection::kIn}) {
      host->AddPolicy(
          test::MakePolicy(d, "0.0.0.0/0", "0.0.0.0/0", {}, PolicyAction::kBlock, 5000));
    }
  }
  for (const char* src : {"127.0.0.1", "224.0.0.5", "255.255.255.255", "0.0.0.0"}) {
    EXPECT_FALSE(LeavesInClear(From(src, "192.0.2.2", 500, 500, Ike()))) << src;
    EXPECT_THAT(pair_.b.Receive(From(src, "192.0.2.2", 500, 500, Ike())), IsEmpty()) << src;
  }
  EXPECT_FALSE(LeavesInClear(From("192.0.2.1", "224.0.0.5", 500, 500, Ike())));
}

TEST_F(IkeTest, ThatComesInClearReachesTheHost) {
  const auto receive = [this](uint16_t sport, uint16_t dport, const Bytes& payload) {
    return pair_.b.Receive(From("192.0.2.1", "192.0.2.2", sport, dport, payload)).size();
  };
  EXPECT_EQ(receive(500, 500, Ike()), 1u);
  EXPECT_EQ(receive(4500, 4500, Bytes(4, 0) + Ike()), 1u);
  EXPECT_EQ(receive(61000, 500, Ike()), 1u);
  // The sender chooses its port freely, so that port must not open other ports of the host.
  EXPECT_EQ(receive(500, 53, Ike()), 0u);
  EXPECT_EQ(receive(4500, 53, Bytes(4, 0) + Ike()), 0u);
  EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), 2u);
}

// Ethernet may pad a short UDP packet with zeros. Padding is not a marker.
TEST_F(IkeTest, EthernetPaddingIsNoNonEspMarker) {
  const Bytes frame = From("192.0.2.1", "192.0.2.2", 4500, 4500, Bytes(2, 0));
  EXPECT_THAT(pair_.b.Receive(frame + Bytes(16, 0)), IsEmpty());
  EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

TEST_F(IkeTest, IsProtectedWhenTheBypassIsOff) {
  pair_.a.path.ike_bypass = false;
  EXPECT_FALSE(LeavesInClear(From("192.0.2.1", "192.0.2.2", 500, 500, Ike())));
}

TEST(IkeOfOthersTest, ThatAGatewayForwardsIsProtected) {
  TestPair pair;
  pair.a.path.ike_bypass = true;
  pair.a.path.SetIkeSockets({UdpPort(500)});
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const Bytes frame = Frame(Udp({.src = "10.1.0.9", .dst = "10.2.0.9"}, 500, 500, Ike()));
  const std::vector<Bytes> wire = pair.a.Send(frame);
  ASSERT_THAT(wire, SizeIs(1));
  EXPECT_EQ(wire[0][14 + 9], kProtoEsp);
}

}  // namespace
}  // namespace cygnet
