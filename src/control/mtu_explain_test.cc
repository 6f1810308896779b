// The answer names what the data path would do, and its bytes add up to the kernel's SA MTU.
#include <gtest/gtest.h>

#include <numeric>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::MakePolicy;
using test::MakeSpec;
using test::SaOptions;
using test::TemplateFor;

int32_t Sum(const std::vector<OverheadPart>& parts) {
  return std::accumulate(parts.begin(), parts.end(), 0,
                         [](int32_t sum, const OverheadPart& part) { return sum + part.bytes; });
}

class MtuExplainTest : public test::ControlPlaneTest {
 protected:
  void Protect(const std::vector<SaOptions>& sas, const std::string& src, const std::string& dst) {
    std::vector<Template> templates;
    for (const SaOptions& options : sas) {
      ASSERT_TRUE(control_->AddSa(MakeSpec(options), {}).has_value());
      templates.push_back(TemplateFor(options));
    }
    ASSERT_TRUE(control_->AddPolicy(MakePolicy(PolicyDirection::kOut, src, dst, templates), {})
                    .has_value());
  }
  MtuReport Explain(const std::string& src, const std::string& dst) {
    const auto report = control_->ExplainMtu({.dst = test::Addr(dst), .src = test::Addr(src)});
    EXPECT_TRUE(report.has_value());
    return *report;
  }
};

TEST_F(MtuExplainTest, TunnelOverIpv4GivesTheKernelsNumber) {
  Protect({SaOptions{}}, "10.1.0.0/16", "10.2.0.0/16");
  const MtuReport report = Explain("10.1.0.1", "10.2.0.1");
  EXPECT_EQ(report.verdict, MtuVerdict::kProtected);
  EXPECT_EQ(report.device, "nic0");
  EXPECT_EQ(report.wire_mtu, 1500u);
  ASSERT_EQ(report.sas.size(), 1u);
  EXPECT_EQ(report.sas[0].inner_mtu, 1446u);
  EXPECT_EQ(Sum(report.sas[0].overhead), 54);
  EXPECT_EQ(report.inner_mtu, 1446u);
  EXPECT_EQ(report.tcp_mss, 1406u);
}

TEST_F(MtuExplainTest, LearntPathMtuAndUdpAreCounted) {
  Protect({SaOptions{.encap = test::NatT()}}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(Explain("10.1.0.1", "10.2.0.1").inner_mtu, 1438u);
  (*control_->GetSa(IdOf(0x1000)))->outbound()->path_mtu.store(1401);
  const MtuReport report = Explain("10.1.0.1", "10.2.0.1");
  EXPECT_EQ(report.sas[0].outer_mtu, 1401u);
  EXPECT_EQ(report.inner_mtu, 1338u);  // ((1401 - 8 - 8 - 20 - 8 - 16) & ~3) - 2
  EXPECT_EQ(Sum(report.sas[0].overhead), 1401 - 1338);
}

TEST_F(MtuExplainTest, NestedSasAreCountedFromTheOutermost) {
  SaOptions inner{.src = "198.51.100.1", .dst = "198.51.100.2", .spi = 0x2000, .reqid = 2};
  Protect({inner, SaOptions{}}, "10.1.0.0/16", "10.2.0.0/16");
  const MtuReport report = Explain("10.1.0.1", "10.2.0.1");
  ASSERT_EQ(report.sas.size(), 2u);
  EXPECT_EQ(report.sas[0].spi, Spi(0x1000));
  EXPECT_EQ(report.sas[1].outer_mtu, 1446u);
  EXPECT_EQ(report.inner_mtu, 1390u);  // ((1446 - 36 - 16) & ~3) - 2
}

TEST_F(MtuExplainTest, SaysWhatElseHappens) {
  EXPECT_EQ(Explain("10.1.0.1", "10.2.0.1").verdict, MtuVerdict::kClear);
  EXPECT_EQ(Explain("10.1.0.1", "10.2.0.1").inner_mtu, 1500u);
  ASSERT_TRUE(control_
                  ->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                         {TemplateFor(SaOptions{})}),
                              {})
                  .has_value());
  EXPECT_EQ(Explain("10.1.0.1", "10.2.0.1").verdict, MtuVerdict::kNoSa);
  EXPECT_EQ(Explain("10.1.0.1", "10.2.0.1").explanation, "no SA: an ACQUIRE would be sent");
  recorder_.listening = false;
  EXPECT_EQ(Explain("10.1.0.1", "10.2.0.1").explanation,
            "no SA, and nobody listens for an ACQUIRE");
  ASSERT_TRUE(control_
                  ->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.3.0.0/16", {},
                                         PolicyAction::kBlock),
                              {})
                  .has_value());
  EXPECT_EQ(Explain("10.1.0.1", "10.3.0.1").verdict, MtuVerdict::kBlocked);
  control_->SetDefaults({std::nullopt, PolicyAction::kBlock, std::nullopt}, {});
  EXPECT_EQ(Explain("10.1.0.1", "10.4.0.1").verdict, MtuVerdict::kBlocked);
}

TEST_F(MtuExplainTest, RefusesWhatItCannotLookUp) {
  EXPECT_FALSE(control_->ExplainMtu({.dst = test::Addr("10.2.0.1"), .src = {}}).has_value());
  EXPECT_FALSE(control_->ExplainMtu({.dst = test::Addr("10.2.0.1"), .src = test::Addr("fd01::1")})
                   .has_value());
}

TEST(OverheadOfTest, EveryModeAndFamilyGivesTheKernelsMtu) {
  struct Case {
    SaMode mode;
    const char* dst;
    IpFamily inner;
    bool udp;
    int32_t inner_mtu;  // for 1500
  };
  // ((mtu - header_len - icv - net) & ~3) + net - 2
  constexpr Case kCases[] = {
      {SaMode::kTunnel, "192.0.2.2", IpFamily::kV4, false, 1446},
      {SaMode::kTunnel, "192.0.2.2", IpFamily::kV6, true, 1438},
      {SaMode::kTunnel, "2001:db8::2", IpFamily::kV4, false, 1426},
      {SaMode::kTransport, "192.0.2.2", IpFamily::kV4, false, 1466},
      {SaMode::kTransport, "2001:db8::2", IpFamily::kV6, true, 1458},
      {SaMode::kBeet, "192.0.2.2", IpFamily::kV4, false, 1466},
      {SaMode::kBeet, "2001:db8::2", IpFamily::kV4, false, 1446},
      {SaMode::kBeet, "192.0.2.2", IpFamily::kV6, false, 1486},
  };
  for (const Case& c : kCases) {
    SaOptions options{.dst = c.dst, .mode = c.mode};
    if (c.dst[0] == '2') options.src = "2001:db8::1";
    if (c.udp) options.encap = test::NatT();
    EXPECT_EQ(1500 - Sum(OverheadOf(MakeSpec(options), c.inner, 1500)), c.inner_mtu)
        << c.dst << " mode " << static_cast<int>(c.mode);
  }
}

TEST(OverheadOfTest, ABlockCipherLeavesRoomThatNoBlockFills) {
  SaSpec spec = MakeSpec();
  spec.aead = {};
  spec.cipher.descriptor = FindAlgorithm(AlgorithmKind::kCipher, "cbc(aes)");
  spec.auth.descriptor = FindAlgorithm(AlgorithmKind::kAuth, "hmac(sha1)");
  spec.auth.icv_bits = 96;
  const auto parts = OverheadOf(spec, IpFamily::kV4, 1500);
  EXPECT_EQ(1500 - Sum(parts), 1438);  // ((1500 - 8 - 16 - 20 - 12) & ~15) - 2
  EXPECT_EQ(parts.back().bytes, 4);
}

TEST(OverheadOfTest, AnMtuThatHoldsNothingLeavesNothing) {
  for (int32_t mtu = 0; mtu < 60; ++mtu) {
    EXPECT_LE(mtu - Sum(OverheadOf(MakeSpec(), IpFamily::kV4, static_cast<uint32_t>(mtu))), 8);
  }
}

}  // namespace
}  // namespace cygnet
