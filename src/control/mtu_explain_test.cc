// The answer matches the data path, and its bytes add up to the kernel's SA MTU.
#include "control/mtu_explain.h"

#include <gtest/gtest.h>
#include <linux/lwtunnel.h>

#include <numeric>

#include "support/control_plane_fixture.h"
#include "support/sas_fixture.h"

namespace cygnet {
namespace {

using test::MakePolicy;
using test::MakeSpec;
using test::SaOptions;
using test::TemplateFor;

uint32_t Sum(const std::vector<OverheadPart>& parts) {
  return std::accumulate(parts.begin(), parts.end(), 0u,
                         [](uint32_t sum, const OverheadPart& part) {
                           return sum + static_cast<uint32_t>(part.bytes);
                         });
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
  EXPECT_EQ(Sum(report.sas[0].overhead), 54u);
  EXPECT_EQ(report.inner_mtu, 1446u);
  EXPECT_EQ(report.tcp_mss, 1406u);
}

TEST_F(MtuExplainTest, LearntPathMtuAndUdpAreCounted) {
  Protect({SaOptions{.encap = test::NatT()}}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(Explain("10.1.0.1", "10.2.0.1").inner_mtu, 1438u);
  (*control_->GetSa(IdOf(0x1000)))->outbound()->path_mtu.store(1401);
  (*control_->GetSa(IdOf(0x1000)))->outbound()->path_mtu_until.store(clock_.WallSeconds() + 600);
  const MtuReport report = Explain("10.1.0.1", "10.2.0.1");
  EXPECT_EQ(report.sas[0].outer_mtu, 1401u);
  EXPECT_EQ(report.inner_mtu, 1338u);  // ((1401 - 8 - 8 - 20 - 8 - 16) & ~3) - 2
  EXPECT_EQ(Sum(report.sas[0].overhead), 1401u - 1338);
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
            "no SA, and no client listens for an ACQUIRE");
  ASSERT_TRUE(control_
                  ->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.3.0.0/16", {},
                                         PolicyAction::kBlock),
                              {})
                  .has_value());
  EXPECT_EQ(Explain("10.1.0.1", "10.3.0.1").verdict, MtuVerdict::kBlocked);
  ASSERT_TRUE(control_->SetDefaults({std::nullopt, PolicyAction::kBlock, std::nullopt}, {}));
  EXPECT_EQ(Explain("10.1.0.1", "10.4.0.1").verdict, MtuVerdict::kBlocked);
}

TEST_F(MtuExplainTest, RefusesWhatItCannotLookUp) {
  EXPECT_FALSE(control_->ExplainMtu({.dst = test::Addr("10.2.0.1"), .src = {}}).has_value());
  EXPECT_FALSE(control_->ExplainMtu({.dst = test::Addr("10.2.0.1"), .src = test::Addr("fd01::1")})
                   .has_value());
}

TEST_F(MtuExplainTest, WhenNotEvenAnEmptyPacketFitsNothingPasses) {
  Protect({SaOptions{}}, "10.1.0.0/16", "10.2.0.0/16");
  (*control_->GetSa(IdOf(0x1000)))->outbound()->path_mtu.store(40);
  (*control_->GetSa(IdOf(0x1000)))->outbound()->path_mtu_until.store(clock_.WallSeconds() + 600);
  const MtuReport report = Explain("10.1.0.1", "10.2.0.1");
  EXPECT_EQ(report.inner_mtu, 0u);
  EXPECT_EQ(report.tcp_mss, 0u);
}

TEST_F(MtuExplainTest, Ipv6IsNeverToldLessThanItsMinimum) {
  Protect({SaOptions{}}, "fd01::/16", "fd02::/16");
  ASSERT_TRUE(control_->FlushSas(0, {}));
  SaSpec spec = MakeSpec();
  spec.selector.Change()->family = IpFamily::kV6;
  ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
  (*control_->GetSa(IdOf(0x1000)))->outbound()->path_mtu.store(1300);
  (*control_->GetSa(IdOf(0x1000)))->outbound()->path_mtu_until.store(clock_.WallSeconds() + 600);
  const MtuReport report = Explain("fd01::1", "fd02::1");
  ASSERT_EQ(report.sas.size(), 1u);
  EXPECT_LT(report.sas[0].inner_mtu, 1280u);
  EXPECT_EQ(report.inner_mtu, 1280u);
}

// Which device a packet leaves by, asked of MtuExplain itself.
class MtuRouteTest : public test::SasFixture {
 protected:
  Result<MtuReport> Explain() {
    const MtuExplain explain({.path = path_,
                              .clock = clock_,
                              .announcer = announcer_,
                              .own_devices = own_devices_,
                              .tunnels = tunnels_,
                              .devices = placement_.devices(),
                              .host = {.route = [this](const RouteQuestion&) { return route_; },
                                       .rules = [](IpFamily) { return std::vector<RoutingRule>(); },
                                       .forwarding = [](IpFamily, int32_t) { return kForwards; },
                                       .links = [this] { return links_; },
                                       .own_addresses = [this] { return local_addresses_; }}});
    return explain.Explain({.dst = test::Addr("10.2.0.1"), .src = {}});
  }
  static inline const ForwardingSettings kForwards{.forwards = true};
  RouteAnswer route_{.kind = RouteKind::kNoRoute};
  std::vector<HostLink> links_{
      {.ifindex = test::kNic0, .name = "nic0", .up = true, .running = true, .mtu = 1500},
      {.ifindex = 99, .name = "other0", .up = true, .running = true, .mtu = 1500}};
  std::vector<ParsedAddress> local_addresses_;
};

TEST_F(MtuRouteTest, RouteDecidesTheDeviceAndTheSource) {
  route_ = {.kind = RouteKind::kUnicast, .ifindex = test::kNic0, .source = test::Ip("10.1.0.1")};
  const auto ours = Explain();
  ASSERT_TRUE(ours);
  EXPECT_EQ(ours->verdict, MtuVerdict::kClear);
  EXPECT_EQ(ours->device, "nic0");
  EXPECT_EQ(ours->flow.saddr, test::Ip("10.1.0.1"));
  route_.ifindex = 99;
  EXPECT_EQ(Explain()->verdict, MtuVerdict::kNotOurs);
  EXPECT_EQ(Explain()->explanation, "it leaves by an interface that cygnetd does not own");
}

// Bug: it was called blocked, although it leaves.
TEST_F(MtuRouteTest, WhatARouteEnclosesIsNotOurs) {
  route_ = {.kind = RouteKind::kUnicast,
            .ifindex = test::kNic0,
            .source = test::Ip("10.1.0.1"),
            .encapsulation = LWTUNNEL_ENCAP_SEG6};
  EXPECT_EQ(Explain()->verdict, MtuVerdict::kNotOurs);
  EXPECT_EQ(Explain()->explanation,
            "its route has an encapsulation (seg6), and policies see only what that makes of it");
}

TEST_F(MtuRouteTest, WithoutARouteItSaysWhy) {
  EXPECT_EQ(Explain()->explanation, "the host has no route there");
  EXPECT_EQ(Explain()->verdict, MtuVerdict::kBlocked);
  local_addresses_ = {test::Addr("10.2.0.1")};
  EXPECT_EQ(Explain()->explanation, "it is an address of this host");
  EXPECT_EQ(Explain()->verdict, MtuVerdict::kNotOurs);
}

TEST_F(MtuRouteTest, TheHostLimitsTheSize) {
  route_ = {.kind = RouteKind::kUnicast, .ifindex = test::kNic0, .source = test::Ip("10.1.0.1")};
  EXPECT_EQ(Explain()->inner_mtu, 1500u);
  links_[0].mtu = 1300;
  EXPECT_EQ(Explain()->inner_mtu, 1300u);
  EXPECT_EQ(Explain()->host_mtu_of, "the interface nic0");
  route_.mtu = 1200;
  EXPECT_EQ(Explain()->inner_mtu, 1200u);
  EXPECT_EQ(Explain()->host_mtu_of, "the host's route");
  links_[0].running = false;
  EXPECT_EQ(Explain()->verdict, MtuVerdict::kBlocked);
  EXPECT_EQ(Explain()->explanation, "the interface nic0 has no carrier");
}

}  // namespace
}  // namespace cygnet
