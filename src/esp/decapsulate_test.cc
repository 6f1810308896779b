// Trailer and headers of opened ESP packets.
#include "esp/decapsulate.h"

#include <gtest/gtest.h>

#include "esp/crypto_jobs.h"
#include "net/esp_view.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::IpFields;
using test::Pattern;
using test::SaOptions;

PacketPools& Pools() {
  static PacketPools pools{64, 2};
  return pools;
}

struct Opened {
  DropReason reason = DropReason::kNone;
  Bytes frame;
};

// Runs both steps on an ESP packet whose payload `text` is already opened.
Opened Open(const Sa& sa, const IpFields& outer, const Bytes& text, const Bytes& udp = {}) {
  const Bytes esp = Bytes(16, 0xaa) + text + Bytes(sa.inbound()->layout.icv, 0xcc);
  Packet* packet = test::MakePacket(&Pools(), Frame(test::IpPacket(outer, udp + esp)));
  const auto view = ParseIpPacket(packet->l3());
  const uint32_t esp_offset = view->header_length + static_cast<uint32_t>(udp.size());
  esp::Trailer trailer;
  Opened out;
  out.reason = esp::ReadTrailer(*sa.inbound(), *packet, esp_offset, &trailer);
  if (out.reason == DropReason::kNone) {
    out.reason = esp::Decapsulate(*sa.inbound(), *view, esp_offset, trailer, packet);
  }
  out.frame = test::ToBytes(packet->bytes());
  test::FreePacket(packet);
  return out;
}

const IpFields kOuter4{.src = "192.0.2.1", .dst = "192.0.2.2", .proto = 50};
const IpFields kOuter6{.src = "2001:db8::1", .dst = "2001:db8::2", .proto = 50};

TEST(DecapsulateTest, TunnelGivesTheInnerPacketAndItsEtherType) {
  for (const IpFields& outer : {kOuter4, kOuter6}) {
    for (const char* src : {"10.1.0.1", "fd01::1"}) {
      const bool v4 = src[0] == '1';
      const Bytes inner =
          test::Udp({.src = src, .dst = v4 ? "10.2.0.1" : "fd02::1"}, 1, 2, Pattern(9));
      const Opened o = Open(*test::MakeSa({.src = outer.src, .dst = outer.dst}), outer,
                            inner + Bytes{0, v4 ? uint8_t{4} : uint8_t{41}});
      EXPECT_EQ(o.reason, DropReason::kNone);
      EXPECT_EQ(o.frame, Frame(inner));
    }
  }
}

TEST(DecapsulateTest, Transport4RestoresProtocolLengthAndChecksum) {
  const Bytes udp_header = {0x11, 0x94, 0x11, 0x94, 0, 0, 0, 0};
  for (const bool encap : {false, true}) {
    for (const Bytes& options : {Bytes{}, Bytes{1, 1, 1, 1}}) {
      IpFields outer = kOuter4;
      outer.options = options;
      outer.proto = encap ? 17 : 50;
      SaOptions o{.mode = SaMode::kTransport};
      if (encap) o.encap = test::NatT();
      const Opened got = Open(*test::MakeSa(o), outer, Pattern(20) + Bytes{1, 2, 2, 6},
                              encap ? udp_header : Bytes{});
      EXPECT_EQ(got.reason, DropReason::kNone);
      outer.proto = 6;
      EXPECT_EQ(got.frame, Frame(test::IpPacket(outer, Pattern(20))));
    }
  }
}

TEST(DecapsulateTest, Transport6NamesThePayloadInTheLastPerHopHeader) {
  IpFields outer = kOuter6;
  outer.options = {60, 0, 1, 4, 0, 0, 0, 0, 50, 0, 1, 4, 0, 0, 0, 0};
  const SaOptions o{.src = outer.src, .dst = outer.dst, .mode = SaMode::kTransport};
  const Opened got = Open(*test::MakeSa(o), outer, Pattern(20) + Bytes{1, 2, 2, 6});
  EXPECT_EQ(got.reason, DropReason::kNone);
  outer.options[8] = 6;
  EXPECT_EQ(got.frame, Frame(test::IpPacket(outer, Pattern(20))));
}

// The last header names ESP, even if Cygnet itself would not put ESP there.
TEST(DecapsulateTest, Transport6BehindHeadersThatEspWouldHide) {
  IpFields outer = kOuter6;
  outer.first_header = 43;
  outer.options = {60, 0, 4, 0, 0, 0, 0, 0, 50, 0, 1, 4, 0, 0, 0, 0};
  const SaOptions o{.src = outer.src, .dst = outer.dst, .mode = SaMode::kTransport};
  const Opened got = Open(*test::MakeSa(o), outer, Pattern(20) + Bytes{1, 2, 2, 6});
  EXPECT_EQ(got.reason, DropReason::kNone);
  outer.options[8] = 6;
  EXPECT_EQ(got.frame, Frame(test::IpPacket(outer, Pattern(20))));
}

TEST(DecapsulateTest, Transport6GivesHiddenHeadersBack) {
  IpFields outer = kOuter6;
  const SaOptions o{.src = outer.src, .dst = outer.dst, .mode = SaMode::kTransport};
  const Bytes inside = Bytes{6, 0, 1, 4, 0, 0, 0, 0} + Pattern(20);
  const Opened got = Open(*test::MakeSa(o), outer, inside + Bytes{1, 2, 2, 60});
  EXPECT_EQ(got.reason, DropReason::kNone);
  outer.proto = 60;
  EXPECT_EQ(got.frame, Frame(test::IpPacket(outer, inside)));
}

// TFC padding (RFC 4303, section 2.7): the packet ends by its inner length.
TEST(DecapsulateTest, TunnelCutsTfcPadding) {
  for (const char* src : {"10.1.0.1", "fd01::1"}) {
    const bool v4 = src[0] == '1';
    const Bytes inner =
        test::Udp({.src = src, .dst = v4 ? "10.2.0.1" : "fd02::1"}, 1, 2, Pattern(9));
    for (const std::size_t tfc : {1u, 3u, 255u, 1000u}) {
      for (const uint8_t content : {uint8_t{0}, uint8_t{0x45}}) {
        const Opened o =
            Open(*test::MakeSa(), kOuter4,
                 inner + Bytes(tfc, content) + Bytes{0, v4 ? uint8_t{4} : uint8_t{41}});
        EXPECT_EQ(o.reason, DropReason::kNone);
        EXPECT_EQ(o.frame, Frame(inner)) << tfc;
      }
    }
  }
}

TEST(DecapsulateTest, InnerLengthThatLiesIsRefused) {
  for (const char* src : {"10.1.0.1", "fd01::1"}) {
    const bool v4 = src[0] == '1';
    for (const int lie : {-1000, -30, 1, 1000}) {
      Bytes inner = test::Udp({.src = src, .dst = v4 ? "10.2.0.1" : "fd02::1"}, 1, 2, Pattern(9));
      const std::size_t at = v4 ? 2 : 4;
      test::Put16(&inner, at, static_cast<uint32_t>(test::Get16(inner, at) + lie) & 0xffff);
      const Opened o =
          Open(*test::MakeSa(), kOuter4, inner + Bytes{0, v4 ? uint8_t{4} : uint8_t{41}});
      EXPECT_EQ(o.reason, DropReason::kInModeMismatch) << src << " " << lie;
    }
  }
}

TEST(ReadTrailerTest, DummyPacketIsNamed) {
  for (const SaMode mode : {SaMode::kTunnel, SaMode::kTransport, SaMode::kBeet}) {
    const Opened o = Open(*test::MakeSa({.mode = mode}), kOuter4, Pattern(50) + Bytes{0, 59});
    EXPECT_EQ(o.reason, DropReason::kInDummy);
  }
}

struct TosCase {
  const char* name;
  uint8_t flags;
  uint8_t outer;
  uint8_t inner;
  uint8_t expected;
};

TEST(DecapsulateTest, TosOfTheInnerHeader) {
  const TosCase cases[] = {
      {"untouched", 0, 0xb8, 0x28, 0x28},
      {"CE passed to a capable flow", 0, 0x03, 0x29, 0x2b},
      {"CE passed to the other codepoint", 0, 0x03, 0x02, 0x03},
      {"CE not passed to an incapable flow", 0, 0x03, 0x28, 0x28},
      {"ECT is not copied", 0, 0x02, 0x28, 0x28},
      {"no ECN", kSaFlagNoEcn, 0x03, 0x29, 0x29},
      {"DSCP", kSaFlagDecapDscp, 0xb8, 0x29, 0xb9},
      {"DSCP and CE", kSaFlagDecapDscp, 0xbb, 0x29, 0xbb},
  };
  for (const TosCase& c : cases) {
    for (const char* src : {"10.1.0.1", "fd01::1"}) {
      for (IpFields outer : {kOuter4, kOuter6}) {
        outer.tos = c.outer;
        const bool v4 = src[0] == '1';
        IpFields f{.src = src,
                   .dst = v4 ? "10.2.0.1" : "fd02::1",
                   .tos = c.inner,
                   .flow_label = v4 ? 0u : 0x54321u};
        const Bytes inner = test::Udp(f, 1, 2, Pattern(9));
        const SaOptions o{.src = outer.src, .dst = outer.dst, .flags = c.flags};
        const Opened got =
            Open(*test::MakeSa(o), outer, inner + Bytes{0, v4 ? uint8_t{4} : uint8_t{41}});
        f.tos = c.expected;
        EXPECT_EQ(got.frame, Frame(test::Udp(f, 1, 2, Pattern(9)))) << c.name << " " << src;
      }
    }
  }
}

// All 16 pairs of ECN fields. As in the kernel, CE outside marks an ECN-capable packet, and nothing
// else changes (RFC 6040, figure 4, would also copy ECT(1) and drop the first case of the last
// row).
TEST(DecapsulateTest, EveryPairOfEcnFields) {
  constexpr uint8_t kExpected[4][4] = {
      // inner: not-ECT, ECT(1), ECT(0), CE
      {0, 1, 2, 3},  // outer not-ECT
      {0, 1, 2, 3},  // outer ECT(1)
      {0, 1, 2, 3},  // outer ECT(0)
      {0, 3, 3, 3},  // outer CE
  };
  for (const uint8_t flags : {uint8_t{0}, kSaFlagNoEcn, kSaFlagDecapDscp}) {
    for (uint8_t outer_ecn = 0; outer_ecn < 4; ++outer_ecn) {
      for (uint8_t inner_ecn = 0; inner_ecn < 4; ++inner_ecn) {
        for (IpFields outer : {kOuter4, kOuter6}) {
          for (const char* src : {"10.1.0.1", "fd01::1"}) {
            const bool v4 = src[0] == '1';
            outer.tos = static_cast<uint8_t>(0xb8 | outer_ecn);
            IpFields f{.src = src,
                       .dst = v4 ? "10.2.0.1" : "fd02::1",
                       .tos = static_cast<uint8_t>(0x28 | inner_ecn)};
            const Bytes inner = test::Udp(f, 1, 2, Pattern(9));
            const auto sa = test::MakeSa({.src = outer.src, .dst = outer.dst, .flags = flags});
            const Opened got = Open(*sa, outer, inner + Bytes{0, v4 ? uint8_t{4} : uint8_t{41}});
            const uint8_t ecn = flags == kSaFlagNoEcn ? inner_ecn : kExpected[outer_ecn][inner_ecn];
            const int dscp = flags == kSaFlagDecapDscp ? 0xb8 : 0x28;
            f.tos = static_cast<uint8_t>(dscp | ecn);
            EXPECT_EQ(got.frame, Frame(test::Udp(f, 1, 2, Pattern(9))))
                << int{outer_ecn} << " " << int{inner_ecn} << " flags " << int{flags};
          }
        }
      }
    }
  }
}

TEST(ReadTrailerTest, EspOfEveryLengthUpTo60Bytes) {
  const auto sa = test::MakeSa();
  for (std::size_t n = 0; n <= 60; ++n) {
    const Bytes esp(n, 0);
    Packet* packet = test::MakePacket(&Pools(), Frame(test::IpPacket(kOuter4, esp)));
    esp::Trailer trailer;
    const DropReason reason = esp::ReadTrailer(*sa->inbound(), *packet, 20, &trailer);
    // Header 8, IV 8, trailer 2, ICV 16.
    EXPECT_EQ(reason, n < 34 ? DropReason::kInTruncated : DropReason::kNone) << n;
    EXPECT_EQ(esp::HasRoomForJob(sa->inbound()->layout, n), n >= 34) << n;
    if (n >= 34) {
      EXPECT_EQ(trailer.payload_length, n - 34) << n;
    }
    test::FreePacket(packet);
  }
}

TEST(BuildJobTest, AadIsSpiAndSequenceNumberWithItsHighWordWhenEsn) {
  for (const bool esn : {false, true}) {
    const auto sa = test::MakeSa({.flags = esn ? kSaFlagEsn : uint8_t{0}, .icv_bytes = 12});
    Bytes esp = Pattern(60);
    CryptoJob job;
    esp::BuildJob(esp::ParamsOf(*sa->inbound(), nullptr), esp, 0x11223344, &job);
    const Bytes aad(job.aad.begin(), job.aad.begin() + job.aad_length);
    const Bytes high = {0x11, 0x22, 0x33, 0x44};
    EXPECT_EQ(aad, Bytes(esp.begin(), esp.begin() + 4) + (esn ? high : Bytes{}) +
                       Bytes(esp.begin() + 4, esp.begin() + 8));
    EXPECT_TRUE(
        std::equal(sa->inbound()->salt.begin(), sa->inbound()->salt.end(), job.nonce.begin()));
    EXPECT_TRUE(std::equal(esp.begin() + 8, esp.begin() + 16, job.nonce.begin() + 4));
    EXPECT_EQ(job.text, esp.data() + 16);
    EXPECT_EQ(job.text_length, 60u - 16 - 12);
    EXPECT_EQ(job.icv, esp.data() + 48);
    EXPECT_EQ(job.auth_begin, esp.data());
  }
}

}  // namespace
}  // namespace cygnet
