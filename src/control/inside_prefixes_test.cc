#include "control/inside_prefixes.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "policy/spd.h"
#include "sa/sa_spec.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using enum PolicyDirection;

constexpr int32_t kIfindex = 3;

PolicySpec Protect(const char* src, const char* dst, uint32_t priority = 10) {
  PolicySpec spec = test::MakePolicy(kOut, src, dst, {}, PolicyAction::kAllow, priority);
  Template tmpl = test::TemplateFor({});
  tmpl.mode = static_cast<uint8_t>(SaMode::kTunnel);
  spec.templates.push_back(tmpl);
  return spec;
}

class InsidePrefixesTest : public testing::Test {
 protected:
  void Add(PolicySpec spec) { spd_.Insert(std::move(spec), 0); }
  InsideRules Make(const char* source, std::vector<AddressPrefix> cuts = {}) {
    return MakeInsideRules(spd_.List(), {test::Ip(source), test::Addr(source).family, kIfindex},
                           cuts);
  }
  // As the program's longest prefix match.
  static bool Takes(const InsideRules& made, const IpAddress& to, IpFamily family) {
    const InsideRule* best = nullptr;
    for (const InsideRule& rule : made.rules) {
      if (rule.to.Contains(to, family) && (best == nullptr || rule.to.bits >= best->to.bits)) {
        best = &rule;
      }
    }
    return best != nullptr && best->take;
  }
  bool Takes(const char* source, const char* to) {
    return Takes(Make(source), test::Ip(to), test::Addr(to).family);
  }

  Quiescence quiescence_;
  Spd spd_{&quiescence_};
};

TEST_F(InsidePrefixesTest, WhatIsProtectedIsTakenFromItsSourcesOnly) {
  Add(Protect("10.1.0.0/16", "10.2.0.0/16"));
  EXPECT_TRUE(Takes("10.1.0.5", "10.2.3.4"));
  EXPECT_FALSE(Takes("10.9.0.5", "10.2.3.4"));
  EXPECT_FALSE(Takes("10.1.0.5", "10.3.0.1"));
  EXPECT_FALSE(Takes("2001:db8::1", "2001:db8::2"));
}

TEST_F(InsidePrefixesTest, AnOpenPolicyThatDecidesFirstMakesAnException) {
  Add(Protect("10.1.0.0/16", "10.0.0.0/8"));
  Add(test::MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kAllow, 5));
  Add(Protect("10.1.0.0/16", "10.2.9.0/24", 1));
  EXPECT_TRUE(Takes("10.1.0.5", "10.3.0.1"));
  EXPECT_FALSE(Takes("10.1.0.5", "10.2.0.1"));
  EXPECT_TRUE(Takes("10.1.0.5", "10.2.9.1"));
  EXPECT_EQ(Make("10.1.0.5").left_to_host, 1u);
}

TEST_F(InsidePrefixesTest, AnOpenPolicyThatDecidesLastMakesNone) {
  Add(Protect("10.1.0.0/16", "10.2.0.0/16", 1));
  Add(test::MakePolicy(kOut, "0.0.0.0/0", "0.0.0.0/0", {}, PolicyAction::kAllow, 5));
  EXPECT_TRUE(Takes("10.1.0.5", "10.2.0.1"));
  EXPECT_FALSE(Takes("10.1.0.5", "10.3.0.1"));
}

TEST_F(InsidePrefixesTest, PoliciesThatDoNotProtectEveryPacketAreLeftToTheHost) {
  PolicySpec ports = Protect("10.1.0.0/16", "10.2.0.0/16");
  ports.selector.proto = 17;
  Add(ports);
  PolicySpec optional = Protect("10.1.0.0/16", "10.3.0.0/16");
  optional.templates[0].optional = true;
  Add(optional);
  PolicySpec transport = Protect("10.1.0.0/16", "10.4.0.0/16");
  transport.templates[0].mode = static_cast<uint8_t>(SaMode::kTransport);
  Add(transport);
  PolicySpec tunnel = Protect("10.1.0.0/16", "10.5.0.0/16");
  tunnel.if_id = 7;
  Add(tunnel);
  PolicySpec elsewhere = Protect("10.1.0.0/16", "10.6.0.0/16");
  elsewhere.selector.ifindex = kIfindex + 1;
  Add(elsewhere);
  for (const char* to : {"10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "10.6.0.1"}) {
    EXPECT_FALSE(Takes("10.1.0.5", to)) << to;
  }
  EXPECT_EQ(Make("10.1.0.5").left_to_host, 3u);
}

TEST_F(InsidePrefixesTest, ASubPolicyLeavesEverythingToTheHost) {
  Add(Protect("10.1.0.0/16", "10.2.0.0/16"));
  PolicySpec sub = Protect("10.1.0.0/16", "10.2.0.0/16");
  sub.type = PolicyType::kSub;
  Add(sub);
  EXPECT_FALSE(Takes("10.1.0.5", "10.2.0.1"));
}

TEST_F(InsidePrefixesTest, ASampleIsOutsideOfLongerPrefixes) {
  Add(Protect("10.1.0.0/16", "10.0.0.0/8"));
  const std::vector<AddressPrefix> cuts = {*ParsePrefix("10.0.0.0/16"), *ParsePrefix("10.0.0.0/24"),
                                           *ParsePrefix("10.1.0.0/16"),
                                           *ParsePrefix("10.3.0.0/16")};
  const InsideRules made = Make("10.1.0.5", cuts);
  ASSERT_EQ(made.rules.size(), 5u);
  EXPECT_EQ(made.rules[0].sample, test::Ip("10.2.0.0"));
  EXPECT_EQ(made.rules[2].sample, test::Ip("10.0.0.0"));
  const InsideRules full =
      Make("10.1.0.5", {*ParsePrefix("10.0.0.0/9"), *ParsePrefix("10.128.0.0/9")});
  EXPECT_EQ(full.rules[0].sample, std::nullopt);
}

TEST_F(InsidePrefixesTest, SourcesWithTheSamePoliciesAreOneClass) {
  Add(Protect("10.1.0.0/16", "10.2.0.0/16"));
  Add(Protect("10.1.9.0/24", "10.3.0.0/16"));
  const auto prefixes = [&](const char* source) {
    return SourcePrefixes(spd_.List(), {test::Ip(source), IpFamily::kV4, kIfindex});
  };
  EXPECT_EQ(prefixes("10.1.0.1"), prefixes("10.1.0.2"));
  EXPECT_NE(prefixes("10.1.0.1"), prefixes("10.1.9.1"));
  EXPECT_TRUE(prefixes("10.9.0.1").empty());
}

TEST_F(InsidePrefixesTest, WithTunnelsEveryPrefixHasASample) {
  const std::vector<AddressPrefix> cuts = {*ParsePrefix("0.0.0.0/0"), *ParsePrefix("10.3.0.0/16")};
  const InsideRules made = MakeInsideRules(spd_.List(),
                                           {.source = test::Ip("10.1.0.5"),
                                            .family = IpFamily::kV4,
                                            .ifindex = kIfindex,
                                            .tunnels = true},
                                           cuts);
  ASSERT_EQ(made.rules.size(), 2u);
  EXPECT_FALSE(made.rules[0].take);
  EXPECT_EQ(made.rules[0].sample, test::Ip("0.0.0.0"));
  EXPECT_EQ(made.rules[1].sample, test::Ip("10.3.0.0"));
}

TEST_F(InsidePrefixesTest, StepsAreTheLongestPrefix) {
  std::mt19937 random(11);
  const auto pick = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const auto address = [&] {
    const std::string first = std::to_string(std::array{0, 10, 255}[pick(3)]);
    return test::Ip(
        (first + "." + std::to_string(pick(3)) + ".0." + std::to_string(pick(4))).c_str());
  };
  EXPECT_TRUE(MakeInsideSteps({{*ParsePrefix("10.0.0.0/8"), {.largest = 1400}}}).empty());
  for (int round = 0; round < 300; ++round) {
    InsideWays ways = {{*ParsePrefix("10.1.0.2/32"), {.largest = 1400, .tunnel = 9}}};
    for (uint32_t n = pick(10); n > 0; --n) {
      static constexpr uint8_t kBits[] = {0, 1, 8, 16, 31, 32};
      const uint8_t bits = kBits[pick(6)];
      const AddressPrefix to{
          .address = Masked(address(), bits), .family = IpFamily::kV4, .bits = bits};
      ways[to] = {.largest = pick(2) * 1500, .tunnel = static_cast<uint16_t>(pick(3))};
    }
    const InsideRoutes routes(MakeInsideSteps(ways));
    for (int i = 0; i < 60; ++i) {
      const IpAddress to = address();
      InsideWay best;
      for (const auto& [prefix, way] : ways) {  // a longer one comes later
        if (prefix.Contains(to, IpFamily::kV4)) best = way;
      }
      const InsideStep& step = routes.Find(to);
      ASSERT_EQ(step.taken, best.largest != 0);
      ASSERT_EQ(step.tunnel, best.tunnel);
    }
  }
}

// Whatever the policies are: a packet that is taken is protected or blocked by the SPD.
TEST_F(InsidePrefixesTest, NothingIsTakenThatPolicyLetsPass) {
  std::mt19937 random(7);
  const auto pick = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const auto address = [&] {
    return "10." + std::to_string(pick(3)) + "." + std::to_string(pick(3)) + "." +
           std::to_string(pick(4));
  };
  uint32_t taken = 0;
  for (int round = 0; round < 300; ++round) {
    Quiescence quiescence;
    Spd spd(&quiescence);
    for (uint32_t n = 1 + pick(8); n > 0; --n) {
      static constexpr uint8_t kBits[] = {0, 8, 16, 24, 31, 32};
      PolicySpec spec = Protect("0.0.0.0/0", "0.0.0.0/0", pick(4));
      Selector& s = spec.selector;
      s.daddr = test::Ip(address().c_str());
      s.saddr = test::Ip(address().c_str());
      s.prefixlen_d = kBits[pick(6)];
      s.prefixlen_s = kBits[pick(3)];
      if (pick(4) == 0) s.proto = 17;
      if (pick(4) == 0) s.ifindex = kIfindex + static_cast<int32_t>(pick(2));
      if (pick(3) == 0) spec.templates.clear();
      if (pick(6) == 0) spec.action = PolicyAction::kBlock;
      if (pick(6) == 0 && !spec.templates.empty()) spec.templates[0].optional = true;
      if (pick(8) == 0) spec.if_id = 5;
      if (pick(12) == 0) spec.type = PolicyType::kSub;
      if (spd.Find(IdOf(spec)) == nullptr) spd.Insert(spec, 0);
    }
    FlowKey flow;
    flow.family = IpFamily::kV4;
    flow.saddr = test::Ip(address().c_str());
    const InsideRules made = MakeInsideRules(spd.List(), {flow.saddr, IpFamily::kV4, kIfindex}, {});
    for (int i = 0; i < 60; ++i) {
      flow.daddr = test::Ip(address().c_str());
      flow.proto = pick(2) == 0 ? 17 : 6;
      if (!Takes(made, flow.daddr, IpFamily::kV4)) continue;
      ++taken;
      const PolicyMatch match = spd.Lookup(kOut, flow, kIfindex);
      ASSERT_TRUE(match.any());
      ASSERT_TRUE(match.blocks() || (match.templates() == 1 && !match.at(0).optional));
    }
  }
  EXPECT_GT(taken, 500u);
}

}  // namespace
}  // namespace cygnet
