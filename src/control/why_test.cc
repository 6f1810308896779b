// What `cygnet why` says, for each way that a packet may end. test/interop/test_why.py compares it
// with packets.
#include "control/why.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/lwtunnel.h>

#include "support/control_plane_fixture.h"
#include "support/sas_fixture.h"

namespace cygnet {
namespace {

using test::MakePolicy;
using test::MakeSpec;
using test::SaOptions;
using test::TemplateFor;
using testing::HasSubstr;

class WhyTest : public test::ControlPlaneTest {
 protected:
  void Policy(PolicyDirection direction, const std::string& src, const std::string& dst,
              const std::vector<Template>& templates, PolicyAction action = PolicyAction::kAllow) {
    ASSERT_TRUE(
        control_->AddPolicy(MakePolicy(direction, src, dst, templates, action), {}).has_value());
  }
  // An SA and a policy for each direction.
  void Protect(SaSpec spec) {
    ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
    ASSERT_TRUE(control_->AddSa(MakeSpec(kBack), {}).has_value());
    Policy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})});
    Policy(PolicyDirection::kForward, "10.2.0.0/16", "10.1.0.0/16", {TemplateFor(kBack)});
  }
  WhyReport Ask(const std::string& dst = "10.2.0.1") {
    const auto report = control_->ExplainWhy(
        {.packet = {.dst = test::Addr(dst), .src = test::Addr("10.1.0.1")}, .dev = ""});
    EXPECT_TRUE(report.has_value());
    return *report;
  }
  static std::string TextOf(const WhyReport& report) {
    std::string text;
    for (const WhyStep& step : report.steps) text += step.text + "\n";
    return text;
  }
  static inline const SaOptions kBack{.src = "192.0.2.2", .dst = "192.0.2.1", .spi = 0x2000};
};

TEST_F(WhyTest, ClearWithoutPolicies) {
  const WhyReport report = Ask();
  EXPECT_EQ(report.verdict, WhyVerdict::kClear);
  EXPECT_EQ(report.mtu.device, "nic0");
  EXPECT_EQ(report.mtu.inner_mtu, 1500u);
  EXPECT_EQ(report.answers.verdict, WhyAnswers::Verdict::kAccepted);
}

TEST_F(WhyTest, ProtectedWithPlaceSizeAndAnswers) {
  Protect(Offloaded(0x1000));
  const WhyReport report = Ask();
  EXPECT_EQ(report.verdict, WhyVerdict::kProtected);
  ASSERT_EQ(report.sas.size(), 1u);
  EXPECT_EQ(report.sas[0].effective, "crypto");
  EXPECT_EQ(report.sas[0].where, "nic0");
  EXPECT_EQ(report.mtu.inner_mtu, 1446u);
  EXPECT_EQ(report.answers.verdict, WhyAnswers::Verdict::kAccepted);
  EXPECT_THAT(TextOf(report), HasSubstr("SA to 192.0.2.2 with SPI 0x00001000 seals it"));
  for (const WhyStep& step : report.steps) EXPECT_TRUE(step.ok) << step.text;
}

TEST_F(WhyTest, ABlockingPolicy) {
  Policy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kBlock);
  const WhyReport report = Ask();
  EXPECT_EQ(report.verdict, WhyVerdict::kDropped);
  EXPECT_EQ(report.drop, DropReason::kOutPolicyBlock);
}

TEST_F(WhyTest, PoliciesThatSelectByWhatIsLeftOpen) {
  PolicySpec policy =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kBlock);
  policy.selector.proto = kProtoTcp;
  policy.selector.dport = 80;
  policy.selector.dport_mask = 0xffff;
  ASSERT_TRUE(control_->AddPolicy(policy, {}).has_value());
  const WhyReport open = Ask();
  EXPECT_EQ(open.verdict, WhyVerdict::kDepends);
  EXPECT_EQ(open.mtu.open, (std::vector<std::string>{"proto", "dport"}));
  EXPECT_EQ(TextOf(open),
            "A packet from 10.1.0.1 to 10.2.0.1 leaves by nic0.\n"
            "It depends on proto and dport, which the question leaves open: with other values, it "
            "leaves in clear; with proto tcp dport 80, it is dropped (out-policy-block). Pass "
            "proto and dport.\n");
  EXPECT_EQ(Ask("10.3.0.1").verdict, WhyVerdict::kClear) << "which no such policy covers";
  const auto web = control_->ExplainWhy({.packet = {.dst = test::Addr("10.2.0.1"),
                                                    .src = test::Addr("10.1.0.1"),
                                                    .proto = kProtoTcp,
                                                    .dport = 80},
                                         .dev = ""});
  EXPECT_EQ(web->drop, DropReason::kOutPolicyBlock);
  EXPECT_THAT(TextOf(*web), testing::Not(HasSubstr("depends")));
}

TEST_F(WhyTest, SasAndAnswersThatSelectByWhatIsLeftOpen) {
  SaSpec own = MakeSpec();
  own.selector = MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}).selector;
  own.selector.Change()->proto = kProtoTcp;
  Protect(std::move(own));
  WhyReport report = Ask();
  EXPECT_EQ(report.verdict, WhyVerdict::kDepends);
  EXPECT_EQ(report.mtu.open, (std::vector<std::string>{"proto"}));
  EXPECT_THAT(TextOf(report), HasSubstr("with proto tcp, it is protected by the SA to 192.0.2.2 "
                                        "with SPI 0x00001000"));
  const auto tcp = [&] {
    return *control_->ExplainWhy(
        {.packet = {
             .dst = test::Addr("10.2.0.1"), .src = test::Addr("10.1.0.1"), .proto = kProtoTcp}});
  };
  EXPECT_EQ(tcp().verdict, WhyVerdict::kProtected);
  EXPECT_EQ(tcp().answers.verdict, WhyAnswers::Verdict::kAccepted);
  PolicySpec block =
      MakePolicy(PolicyDirection::kForward, "10.2.0.0/16", "10.1.0.0/16", {}, PolicyAction::kBlock);
  block.selector.proto = kProtoTcp;
  block.selector.sport = 80;
  block.selector.sport_mask = 0xffff;
  block.priority = 1;
  ASSERT_TRUE(control_->AddPolicy(block, {}).has_value());
  EXPECT_EQ(tcp().verdict, WhyVerdict::kProtected);
  EXPECT_EQ(tcp().answers.verdict, WhyAnswers::Verdict::kDepends);
  EXPECT_EQ(tcp().mtu.open, (std::vector<std::string>{"dport"})) << "the answer's source port";
}

TEST_F(WhyTest, PoliciesToTheSameEffectDoNotMakeItDepend) {
  PolicySpec tcp =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kAllow);
  tcp.selector.proto = kProtoTcp;
  ASSERT_TRUE(control_->AddPolicy(tcp, {}).has_value());
  EXPECT_EQ(Ask().verdict, WhyVerdict::kClear);
  EXPECT_THAT(TextOf(Ask()), HasSubstr("Which policy applies depends"));
}

TEST_F(WhyTest, NeighbourDiscoveryPassesInAnyCase) {
  Policy(PolicyDirection::kOut, "fd01::/16", "fd01::/16", {}, PolicyAction::kBlock);
  const auto ask = [&](std::optional<uint8_t> proto, std::optional<uint16_t> type) {
    return *control_->ExplainWhy({.packet = {.dst = test::Addr("fd01::2"),
                                             .src = test::Addr("fd01::1"),
                                             .proto = proto,
                                             .dport = 0,
                                             .sport = type}});
  };
  EXPECT_EQ(ask(kProtoIcmpv6, 135).verdict, WhyVerdict::kClear);
  EXPECT_EQ(ask(kProtoIcmpv6, 128).drop, DropReason::kOutPolicyBlock);
  EXPECT_THAT(TextOf(ask(kProtoIcmpv6, std::nullopt)), HasSubstr("Neighbour discovery passes"));
  EXPECT_EQ(ask(kProtoUdp, 7).drop, DropReason::kOutPolicyBlock);
}

TEST_F(WhyTest, WithoutAnSaKeyManagementIsAskedButNotByThis) {
  Policy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})});
  recorder_.Take();
  EXPECT_EQ(Ask().drop, DropReason::kOutNoState);
  EXPECT_THAT(TextOf(Ask()), HasSubstr("key management is asked (ACQUIRE)"));
  recorder_.listening = false;
  EXPECT_THAT(TextOf(Ask()), HasSubstr("no client listens"));
  EXPECT_THAT(recorder_.Take(), testing::IsEmpty());
  EXPECT_EQ(control_->GetSadInfo().count, 0u);
  path_.hold_larval = true;
  EXPECT_EQ(Ask().verdict, WhyVerdict::kWaits);
  EXPECT_EQ(Ask().drop, DropReason::kOutHoldTimeout);
}

TEST_F(WhyTest, WhatThereIsInsteadOfTheSa) {
  Protect(MakeSpec());
  ASSERT_TRUE(control_->ExpireSa(IdOf(0x1000), /*hard=*/true));
  const WhyReport gone = Ask();
  EXPECT_EQ(gone.drop, DropReason::kOutNoState);
  SaSpec other = MakeSpec(SaOptions{.spi = 0x1001});
  other.selector = MakePolicy(PolicyDirection::kOut, "10.9.0.0/16", "10.2.0.0/16", {}).selector;
  ASSERT_TRUE(control_->AddSa(std::move(other), {}).has_value());
  EXPECT_THAT(TextOf(Ask()), HasSubstr("the selector of the SA to 192.0.2.2 with SPI 0x00001001"));
}

TEST_F(WhyTest, LimitsAndNumbers) {
  SaSpec spec = MakeSpec();
  spec.limits.Change()->hard_packets = 5;
  Protect(std::move(spec));
  const auto sa = path_.sad.FindWithAnyMark(IdOf(0x1000));
  sa->lifetime().SetUsage({.bytes = 100, .packets = 5});
  EXPECT_EQ(Ask().drop, DropReason::kOutStateExpired);
  sa->lifetime().SetUsage({});
  EXPECT_EQ(Ask().verdict, WhyVerdict::kProtected);
  sa->outbound()->sequence.RequireBlocks();
  EXPECT_EQ(Ask().drop, DropReason::kOutNoNumbers);
  sa->outbound()->sequence.AllowAll();
  sa->outbound()->sequence.Close();
  EXPECT_EQ(Ask().drop, DropReason::kOutSequence);
  EXPECT_EQ(sa->lifetime().usage().packets, 0u);  // asking does not charge
}

TEST_F(WhyTest, AnswersThatAreNotLetIn) {
  Protect(MakeSpec());
  ASSERT_TRUE(control_->FlushPolicies(PolicyType::kMain, {}));
  Policy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})});
  WhyReport report = Ask();
  EXPECT_EQ(report.verdict, WhyVerdict::kProtected);
  EXPECT_EQ(report.answers.verdict, WhyAnswers::Verdict::kDropped);
  EXPECT_EQ(report.answers.drop, DropReason::kInNoPolicy);
  EXPECT_FALSE(report.steps.back().ok);
  ASSERT_TRUE(control_->DeleteSa({.daddr = test::Ip("192.0.2.1"),
                                  .spi = Spi(0x2000),
                                  .proto = kProtoEsp,
                                  .family = IpFamily::kV4},
                                 {}));
  EXPECT_EQ(Ask().answers.drop, DropReason::kInNoState);
}

TEST_F(WhyTest, AnswersInClearToAProtectedNetwork) {
  Policy(PolicyDirection::kForward, "10.2.0.0/16", "10.1.0.0/16", {TemplateFor(kBack)});
  EXPECT_EQ(Ask().verdict, WhyVerdict::kClear);
  EXPECT_EQ(Ask().answers.drop, DropReason::kInTemplateMismatch);
  path_.SetHostAddresses({test::Addr("10.1.0.1")});
  Policy(PolicyDirection::kIn, "10.2.0.0/16", "10.1.0.0/16", {TemplateFor(kBack)});
  EXPECT_EQ(Ask().answers.policy->direction, PolicyDirection::kIn);
  EXPECT_EQ(Ask().answers.drop, DropReason::kInTemplateMismatch);
}

// Bug: "the SA seals it, and it fits", while the device dropped every packet.
TEST_F(WhyTest, ADeviceThatPassesNoFramesDropsIt) {
  Protect(MakeSpec());
  const auto neighbours = [&] {
    return *control_->ExplainWhy({.packet = {.dst = test::Addr("fd01::2"),
                                             .src = test::Addr("fd01::1"),
                                             .proto = kProtoIcmpv6,
                                             .dport = 0,
                                             .sport = 135}});
  };
  const struct {
    const char *fault, *back, *link, *cause;
  } kRows[] = {{"link-down", "link-up", "no-carrier", "Wire wire0 has no carrier"},
               {"remove", "insert", "gone", "Device nic0 is removed"}};
  for (const auto& row : kRows) {
    ASSERT_TRUE(nic_.InjectFault(row.fault));
    for (const WhyReport& report : {Ask(), Ask("10.3.0.1"), neighbours()}) {
      EXPECT_EQ(report.verdict, WhyVerdict::kDropped) << row.fault;
      EXPECT_EQ(report.drop, DropReason::kPortDown) << row.fault;
      EXPECT_THAT(TextOf(report), HasSubstr(std::string(row.cause) + ": it is dropped"));
    }
    EXPECT_EQ(control_->ReportDevices()[0].link, row.link);
    ASSERT_TRUE(nic_.InjectFault(row.back));
    EXPECT_EQ(Ask().verdict, WhyVerdict::kProtected) << row.back;
    EXPECT_EQ(control_->ReportDevices()[0].link, "up");
  }
}

struct SecondDevice {
  PacketPools pools2{64, 2};
  MemoryPort host2{"nic1"};
  SimNic nic2{"nic1", std::make_unique<MemoryPort>("wire1"), 1, &pools2, nullptr};
};

class WhyTwoDevicesTest : private SecondDevice, public test::ControlPlaneTest {
 protected:
  WhyTwoDevicesTest()
      : ControlPlaneTest(2, PlacementMode::kCrypto, [this](ControlPlaneParams* params) {
          path_.interfaces.push_back({.host = &host2, .wire = &nic2, .ifindex = 8});
          params->devices.push_back({.name = "nic1",
                                     .wire = "wire1",
                                     .driver = "sim_nic",
                                     .ifindex = 8,
                                     .host_port = &host2,
                                     .wire_port = &nic2});
        }) {}
  Status InjectSecond(const char* fault) { return nic2.InjectFault(fault); }
};

// Bug: only the device that the packet itself leaves by was looked at.
TEST_F(WhyTwoDevicesTest, TheDeviceOfTheOuterPacketCounts) {
  ASSERT_TRUE(control_->AddSa(MakeSpec(), {}).has_value());
  ASSERT_TRUE(control_
                  ->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                         {TemplateFor(SaOptions{})}),
                              {})
                  .has_value());
  (*control_->GetSa(IdOf(0x1000)))->outbound()->next_hop.Set({2, 0, 0, 0, 0, 9}, 1);
  const auto verdict = [&] {
    return control_
        ->ExplainWhy({.packet = {.dst = test::Addr("10.2.0.1"), .src = test::Addr("10.1.0.1")}})
        ->verdict;
  };
  EXPECT_EQ(verdict(), WhyVerdict::kProtected);
  ASSERT_TRUE(InjectSecond("link-down"));
  EXPECT_EQ(verdict(), WhyVerdict::kDropped);
  ASSERT_TRUE(InjectSecond("link-up"));
  ASSERT_TRUE(nic_.InjectFault("link-down"));
  EXPECT_EQ(verdict(), WhyVerdict::kProtected) << "it leaves by the other one";
}

TEST_F(WhyTest, AnInterfaceThatDoesNotExist) {
  const auto report = control_->ExplainWhy(
      {.packet = {.dst = test::Addr("10.2.0.1"), .src = test::Addr("10.1.0.1")}, .dev = "x0"});
  ASSERT_FALSE(report.has_value());
  EXPECT_THAT(report.error().message, HasSubstr("\"x0\" is not a device"));
  EXPECT_TRUE(
      control_
          ->ExplainWhy({.packet = {.dst = test::Addr("10.2.0.1"), .src = test::Addr("10.1.0.1")},
                        .dev = "nic0"})
          .has_value());
}

// Bug: "the host drops it: its route encloses it", although it leaves, past the policy.
class WhyRouteTest : public test::SasFixture {};

TEST_F(WhyRouteTest, PoliciesDoNotLookIntoAnEncapsulation) {
  path_.spd.Insert(
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})}),
      clock_.WallSeconds());
  const RouteAnswer route{.kind = RouteKind::kUnicast,
                          .ifindex = test::kNic0,
                          .source = test::Ip("10.1.0.1"),
                          .encapsulation = LWTUNNEL_ENCAP_SEG6};
  const HostLink nic{.ifindex = test::kNic0, .name = "nic0", .up = true, .running = true};
  const MtuExplain mtu(
      {.path = path_,
       .clock = clock_,
       .announcer = announcer_,
       .own_devices = own_devices_,
       .tunnels = tunnels_,
       .devices = placement_.devices(),
       .host = {.route = [&](const RouteQuestion&) { return route; },
                .rules = [](IpFamily) { return std::vector<RoutingRule>(); },
                .forwarding = [](IpFamily, int32_t) { return ForwardingSettings(); },
                .links = [&] { return std::vector<HostLink>{nic}; },
                .own_addresses = [] { return std::vector<ParsedAddress>(); }}});
  const Why why({.path = path_,
                 .announcer = announcer_,
                 .tunnels = tunnels_,
                 .placement = placement_,
                 .engines = engines_,
                 .mtu = mtu});
  const auto report = why.Explain({.packet = {.dst = test::Addr("10.2.0.1"), .src = {}}});
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->verdict, WhyVerdict::kNotOurs);
  ASSERT_EQ(report->steps.size(), 2u);
  EXPECT_EQ(report->steps[0].text,
            "Cygnet does not see a packet to 10.2.0.1: its route has an encapsulation (seg6), and "
            "policies see only what that makes of it.");
  EXPECT_THAT(report->steps[1].text, HasSubstr("would protect it, but it leaves enclosed"));
  for (const WhyStep& step : report->steps) EXPECT_FALSE(step.ok);
}

}  // namespace
}  // namespace cygnet
