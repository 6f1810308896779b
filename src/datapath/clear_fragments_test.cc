// Inbound fragments, in clear and opened: checked as a whole datagram, and joined only with
// fragments that came the same way (RFC 4301 section 7).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/esp_oracle.h"
#include "support/fragment_builder.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Cut;
using test::FragmentOf;
using test::Frame;
using test::IpFields;
using test::MakePolicy;
using test::Pattern;
using test::SaOptions;
using test::SealedFrame;
using test::TemplateFor;
using test::TestHost;
using test::TestPair;
using test::WithTrailer;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

struct Net {
  const char* name;
  IpFields ends;          // of the inner packets
  const char* elsewhere;  // behind B
  const char* all;        // any address of the family
  uint8_t next_header;    // in ESP
};

const Net kNets[] = {
    {"IPv4", {.src = "10.1.0.1", .dst = "10.2.0.1"}, "10.2.0.77", "0.0.0.0/0", 4},
    {"IPv6", {.src = "fd01::1", .dst = "fd02::1"}, "fd02::77", "::/0", 41},
};

void PrintTo(const Net& net, std::ostream* out) { *out << net.name; }

constexpr uint16_t kSecretPort = 7777;
constexpr uint16_t kOpenPort = 80;

// B accepts UDP to kSecretPort only from SAs with reqid 1, and the rest in clear.
class ClearFragmentsTest : public testing::TestWithParam<Net> {
 protected:
  ClearFragmentsTest() {
    first_ = b().Add(SaOptions{});
    second_ = b().Add(SaOptions{.spi = 0x1001});
    for (const PolicyDirection d : {PolicyDirection::kIn, PolicyDirection::kForward}) {
      PolicySpec secret = MakePolicy(d, GetParam().all, GetParam().all, {TemplateFor({})});
      secret.selector.proto = kProtoUdp;
      secret.selector.dport = kSecretPort;
      secret.selector.dport_mask = 0xffff;
      b().AddPolicy(secret);
    }
  }
  TestHost& b() { return pair_.b; }
  IpFields Ends() const { return GetParam().ends; }
  IpFields Elsewhere() const {
    IpFields f = Ends();
    f.dst = GetParam().elsewhere;
    return f;
  }
  static Bytes Data(uint16_t port) {
    const Bytes packet = test::Udp({}, 1234, port, Pattern(1000));
    return Bytes(packet.begin() + 20, packet.end());
  }
  // The datagram in two pieces.
  static std::vector<Bytes> Pieces(const IpFields& f, uint16_t port, uint32_t id = 9) {
    const Bytes data = Data(port);
    return {FragmentOf(f, data, {0, 800, true}, id), FragmentOf(f, data, {800, 1008, false}, id)};
  }
  Bytes By(const SaPtr& sa, const Bytes& packet) {
    return SealedFrame(sa->spec(), ++seq_, WithTrailer(packet, GetParam().next_header));
  }
  Bytes InClear(const Bytes& packet) { return Frame(packet); }
  std::size_t Receive(const std::vector<Bytes>& frames) {
    for (const Bytes& frame : frames) b().FromWire(frame);
    b().Run();
    got_ = b().ToHost();
    return got_.size();
  }
  void LetTimePass() {
    b().clock.monotonic_ns += 61'000'000'000;
    b().Run();
  }

  TestPair pair_;
  SaPtr first_;
  SaPtr second_;
  std::vector<Bytes> got_;
  uint64_t seq_ = 0;
};

TEST_P(ClearFragmentsTest, AreTogetherNoSuperPacketWhateverOneClaims) {
  for (const Bytes& piece : Pieces(Ends(), kOpenPort)) {
    Packet* packet = test::MakePacket(&pair_.pools, InClear(piece));
    packet->csum_partial = true;
    packet->csum_start = 34;
    packet->csum_offset = 6;
    packet->gso_type = GsoType::kUdp;
    packet->gso_size = 100;
    b().wire_port().arriving.push_back(packet);
  }
  b().Run();
  ASSERT_EQ(b().host_port().sent.size(), 1u);
  const Packet& whole = *b().host_port().sent.front();
  EXPECT_EQ(whole.gso_type, GsoType::kNone);
  EXPECT_FALSE(whole.csum_partial);
}

TEST_P(ClearFragmentsTest, OfOneSaArriveWhole) {
  const auto pieces = Pieces(Ends(), kSecretPort);
  ASSERT_EQ(Receive({By(first_, pieces[1]), By(first_, pieces[0])}), 1u);
  const auto ip = ParseIpPacket(std::span(got_[0]).subspan(14));
  ASSERT_TRUE(ip.has_value());
  EXPECT_FALSE(ip->fragment);
  const Bytes data = Data(kSecretPort);
  EXPECT_EQ(Bytes(got_[0].end() - static_cast<std::ptrdiff_t>(data.size()), got_[0].end()), data);
}

TEST_P(ClearFragmentsTest, OfTwoWaysAreNotJoined) {
  const auto p = Pieces(Ends(), kSecretPort);
  const std::vector<Bytes> mixes[] = {
      {By(first_, p[0]), InClear(p[1])},     {InClear(p[1]), By(first_, p[0])},
      {InClear(p[0]), By(first_, p[1])},     {By(first_, p[1]), InClear(p[0])},
      {By(first_, p[0]), By(second_, p[1])}, {By(second_, p[1]), By(first_, p[0])},
  };
  for (const auto& mix : mixes) {
    EXPECT_EQ(Receive(mix), 0u);
    LetTimePass();
    EXPECT_EQ(Receive({}), 0u);
  }
  EXPECT_EQ(b().Drops(DropReason::kInFragmentTimeout), 2 * std::size(mixes));
}

// The attacker's piece does not spoil the peer's datagram either.
TEST_P(ClearFragmentsTest, WhatIsForgedBetweenThemChangesNothing) {
  const auto p = Pieces(Ends(), kSecretPort);
  Bytes forged = p[1];
  forged.back() ^= 1;
  ASSERT_EQ(Receive({By(first_, p[0]), InClear(forged), By(first_, p[1])}), 1u);
  EXPECT_EQ(got_[0].back(), Data(kSecretPort).back());
}

TEST_P(ClearFragmentsTest, InClearAreJudgedByThePortsOfTheDatagram) {
  for (const bool reversed : {false, true}) {
    auto secret = Pieces(Ends(), kSecretPort);
    auto open = Pieces(Ends(), kOpenPort, 10);
    if (reversed) std::swap(secret[0], secret[1]);
    if (reversed) std::swap(open[0], open[1]);
    EXPECT_EQ(Receive({InClear(secret[0]), InClear(secret[1])}), 0u);
    EXPECT_EQ(Receive({InClear(open[0]), InClear(open[1])}), 1u);
  }
  EXPECT_EQ(b().Drops(DropReason::kInTemplateMismatch), 2u);
}

TEST_P(ClearFragmentsTest, ALaterOneAloneDoesNotArrive) {
  EXPECT_EQ(Receive({InClear(Pieces(Ends(), kOpenPort)[1])}), 0u);
  EXPECT_EQ(Receive({InClear(Pieces(Elsewhere(), kOpenPort)[1])}), 0u);
  EXPECT_EQ(Receive({By(first_, Pieces(Ends(), kSecretPort)[1])}), 0u);
  LetTimePass();
  EXPECT_EQ(b().Drops(DropReason::kInFragmentTimeout), 3u);
}

TEST_P(ClearFragmentsTest, ForOthersGoOnAsTheyWereCut) {
  const auto open = Pieces(Elsewhere(), kOpenPort);
  ASSERT_EQ(Receive({InClear(open[1]), InClear(open[0])}), 2u);
  EXPECT_THAT(got_, ElementsAre(InClear(open[0]), InClear(open[1])));
  const auto secret = Pieces(Elsewhere(), kSecretPort);
  EXPECT_EQ(Receive({InClear(secret[0]), InClear(secret[1])}), 0u);
  ASSERT_EQ(Receive({By(second_, secret[0]), By(second_, secret[1])}), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(Bytes(got_[i].begin() + 14, got_[i].end()), secret[i]) << i;
  }
}

// Without the fragment header the whole packet is not larger than its first piece was.
TEST_P(ClearFragmentsTest, ForOthersThatFitOnePieceGoOnWhole) {
  const Bytes data = Data(kOpenPort);
  const bool v6 = GetParam().next_header == 41;
  EXPECT_EQ(Receive({InClear(FragmentOf(Elsewhere(), data, {0, 1000, true}, 9)),
                     InClear(FragmentOf(Elsewhere(), data, {1000, 1008, false}, 9))}),
            v6 ? 1u : 2u);
}

// More fragments than a batch holds.
TEST_P(ClearFragmentsTest, ManyForOthersAtOnce) {
  std::vector<Bytes> frames;
  const Bytes data = Data(kOpenPort);
  for (uint32_t id = 1; id <= 30; ++id) {
    for (std::size_t at = 0; at < 1008; at += 336) {
      frames.push_back(InClear(FragmentOf(Elsewhere(), data, {at, at + 336, at + 336 < 1008}, id)));
    }
  }
  EXPECT_EQ(Receive(frames), frames.size());
}

TEST_P(ClearFragmentsTest, OverlapsDrop) {
  const Bytes data = Data(kOpenPort);
  EXPECT_EQ(Receive({InClear(FragmentOf(Ends(), data, {0, 800, true}, 9)),
                     InClear(FragmentOf(Ends(), data, {792, 1008, false}, 9)),
                     InClear(FragmentOf(Ends(), data, {800, 1008, false}, 9))}),
            0u);
  EXPECT_EQ(b().Drops(DropReason::kInFragmentOverlap), 3u);
}

// Anybody can send clear fragments, so they must not evict opened ones.
TEST_P(ClearFragmentsTest, AFloodInClearPushesNothingOutThatAnSaOpened) {
  const auto p = Pieces(Ends(), kSecretPort);
  EXPECT_EQ(Receive({By(first_, p[0])}), 0u);
  for (uint32_t id = 100; id < 100 + 2 * Reassembler::kMaxDatagrams; ++id) {
    EXPECT_EQ(Receive({InClear(Pieces(Ends(), kOpenPort, id)[0])}), 0u);
  }
  EXPECT_EQ(Receive({By(first_, p[1])}), 1u);
}

TEST_P(ClearFragmentsTest, WithoutPoliciesTheyPassAsTheyAre) {
  TestPair plain;
  const auto p = Pieces(Ends(), kSecretPort);
  EXPECT_THAT(plain.b.Receive(Frame(p[1])), ElementsAre(Frame(p[1])));
}

INSTANTIATE_TEST_SUITE_P(Families, ClearFragmentsTest, testing::ValuesIn(kNets),
                         [](const auto& net) { return std::string(net.param.name); });

TEST(AtomicFragmentTest, IsHeldToThePolicyOfItsPorts) {
  TestPair pair;
  PolicySpec secret = MakePolicy(PolicyDirection::kIn, "::/0", "::/0", {}, PolicyAction::kBlock);
  secret.selector.proto = kProtoUdp;
  secret.selector.dport = kSecretPort;
  secret.selector.dport_mask = 0xffff;
  pair.b.AddPolicy(secret);
  for (const uint16_t port : {kSecretPort, kOpenPort}) {
    const Bytes packet = test::Udp({}, 1, port, Pattern(40));
    const Bytes data(packet.begin() + 20, packet.end());
    const Bytes atomic =
        FragmentOf({.src = "fd01::1", .dst = "fd02::1"}, data, {0, data.size(), false}, 5);
    EXPECT_THAT(pair.b.Receive(Frame(atomic)), SizeIs(port == kOpenPort ? 1 : 0)) << port;
  }
  EXPECT_EQ(pair.b.Drops(DropReason::kInPolicyBlock), 1u);
}

// The inner ESP packet was cut before the outer SA sealed it.
TEST(NestedFragmentsTest, EspInPiecesOutOfAnSaIsOpened) {
  TestPair pair;
  const SaOptions outer{};
  const SaOptions inner{.src = "10.1.0.1", .dst = "10.2.0.1", .spi = 0x2000, .reqid = 2};
  const auto outer_sa = pair.b.Add(outer);
  const auto inner_sa = pair.b.Add(inner);
  const PolicySpec policy = MakePolicy(PolicyDirection::kIn, "10.8.0.0/16", "10.2.0.1",
                                       {TemplateFor(inner), TemplateFor(outer)});
  pair.b.AddPolicy(policy);
  const Bytes text = test::Udp({.src = "10.8.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(1000));
  const Bytes sealed = SealedFrame(inner_sa->spec(), 1, WithTrailer(text, 4));
  const Bytes data(sealed.begin() + 34, sealed.end());
  const IpFields f{.src = "10.1.0.1", .dst = "10.2.0.1", .proto = kProtoEsp};
  uint64_t seq = 0;
  for (const Cut& cut : {Cut{0, 800, true}, Cut{800, data.size(), false}}) {
    pair.b.FromWire(SealedFrame(outer_sa->spec(), ++seq, WithTrailer(FragmentOf(f, data, cut), 4)));
  }
  pair.b.Run();
  const auto got = pair.b.ToHost();
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(Bytes(got[0].begin() + 14, got[0].end()), text);
}

// --- Opened packets that are refused ---

class OpenedTest : public testing::Test {
 protected:
  std::size_t Receive(const SaOptions& options, const Bytes& payload, uint8_t next_header) {
    TestPair pair;
    pair.Protect(options, "0.0.0.0/0", "0.0.0.0/0");
    const auto got =
        pair.b.Receive(SealedFrame(pair.sa_b->spec(), 1, WithTrailer(payload, next_header)));
    too_short_ = pair.b.Drops(DropReason::kInTooShort);
    options_ = pair.b.Drops(DropReason::kInIpOptions);
    return got.size();
  }
  uint64_t too_short_ = 0;
  uint64_t options_ = 0;
};

TEST_F(OpenedTest, EspTooShortInTransportModeIsCounted) {
  for (std::size_t n = 0; n < 8; ++n) {
    EXPECT_EQ(Receive({.mode = SaMode::kTransport}, Pattern(n), kProtoEsp), 0u) << n;
    EXPECT_EQ(too_short_, 1u) << n;
  }
}

TEST_F(OpenedTest, SourceRoutesAndMalformedOptions) {
  const auto with = [](const Bytes& options) {
    return test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1", .options = options}, 1, 2, Pattern(9));
  };
  EXPECT_EQ(Receive({}, with({148, 4, 0, 0}), 4), 1u);
  EXPECT_EQ(options_, 0u);
  for (const Bytes& options :
       {Bytes{131, 7, 4, 10, 0, 0, 1, 0}, Bytes{137, 7, 4, 10, 0, 0, 1, 0}, Bytes{148, 9, 0, 0}}) {
    EXPECT_EQ(Receive({}, with(options), 4), 0u);
    EXPECT_EQ(options_, 1u);
  }
}

}  // namespace
}  // namespace cygnet
