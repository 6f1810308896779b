// What the host does with a packet before Cygnet sees it: by rows. host_questions_test.cc asks a
// real kernel, and test/interop/test_why.py sends real packets.
#include "control/host_way.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/lwtunnel.h>

#include "net/ip_protocol.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

using Outcome = HostWay::Outcome;
using test::Addr;
using test::Ip;
using testing::HasSubstr;

constexpr int32_t kNic = 7;
constexpr int32_t kLan = 8;
constexpr int32_t kOther = 9;

// A host 192.0.2.1 with nic0 and lan0, and another interface that other routes lead to.
class HostWayTest : public testing::Test {
 protected:
  HostQuestions Host() {
    return {.route = [this](const RouteQuestion& question) { return Route(question); },
            .rules = [this](IpFamily) { return rules_; },
            .forwarding = [this](IpFamily, int32_t) { return forwarding_; },
            .links = [this] { return links_; },
            .own_addresses =
                [] {
                  return std::vector<ParsedAddress>{Addr("192.0.2.1"), Addr("192.0.2.3"),
                                                    Addr("fd00::1")};
                }};
  }
  RouteAnswer Route(const RouteQuestion& question) {
    asked_.push_back(question);
    if (question.daddr == Ip("10.1.0.5")) {  // the way back
      return {.kind = back_ == 0 ? RouteKind::kNoRoute : RouteKind::kUnicast, .ifindex = back_};
    }
    RouteAnswer answer = answer_;
    if (other_way_ && other_way_(question)) answer.ifindex = kOther;
    return answer;
  }
  Result<HostWay> Find(const std::string& src = "") {
    query_.dst = Addr(dst_);
    if (!src.empty()) query_.src = Addr(src);
    return FindHostWay(Host(), query_);
  }
  HostWay Way(const std::string& src = "") {
    auto way = Find(src);
    EXPECT_TRUE(way) << way.error().message;
    return way ? *way : HostWay();
  }

  std::string dst_ = "10.2.0.1";
  MtuQuery query_;
  RouteAnswer answer_{.kind = RouteKind::kUnicast, .ifindex = kNic, .source = Ip("192.0.2.1")};
  int32_t back_ = kLan;
  ForwardingSettings forwarding_{.forwards = true};
  std::vector<RoutingRule> rules_;
  std::function<bool(const RouteQuestion&)> other_way_;
  std::vector<HostLink> links_{
      {.ifindex = kNic, .name = "nic0", .up = true, .running = true, .mtu = 1500},
      {.ifindex = kLan, .name = "lan0", .up = true, .running = true, .mtu = 1500},
      {.ifindex = kOther, .name = "other0", .up = true, .running = true, .mtu = 1500}};
  std::vector<RouteQuestion> asked_;
};

TEST_F(HostWayTest, ItsOwnPacketsHaveTheSourceThatTheKernelChooses) {
  const HostWay way = Way();
  EXPECT_EQ(way.outcome, Outcome::kSends);
  EXPECT_EQ(way.ifindex, kNic);
  EXPECT_EQ(way.source, Ip("192.0.2.1"));
  EXPECT_EQ(way.mtu, 1500u);
}

TEST_F(HostWayTest, WhatIsGivenIsAsked) {
  query_.proto = kProtoTcp;
  query_.sport = 5;
  query_.dport = 80;
  query_.mark = 9;
  Way("192.0.2.3");
  const RouteQuestion& question = asked_.at(0);
  EXPECT_EQ(question.saddr, Ip("192.0.2.3"));
  EXPECT_EQ(question.iif, 0);
  EXPECT_EQ(question.proto, kProtoTcp);
  EXPECT_EQ(question.sport, 5);
  EXPECT_EQ(question.dport, 80);
  EXPECT_EQ(question.mark, 9u);
}

// Bug: "the host drops it", although it leaves.
TEST_F(HostWayTest, WhatARouteEnclosesIsSent) {
  answer_.encapsulation = LWTUNNEL_ENCAP_SEG6;
  EXPECT_EQ(Way().outcome, Outcome::kSends);
  EXPECT_EQ(Way().encapsulation, "seg6");
  links_[0].running = false;
  EXPECT_EQ(Way().outcome, Outcome::kDrops) << "without a carrier, nothing does";
  links_[0].running = true;
  answer_.encapsulation = LWTUNNEL_ENCAP_IP;  // tells a tunnel interface what to do
  EXPECT_EQ(Way().encapsulation, "");
}

TEST_F(HostWayTest, KindsOfRoutes) {
  const struct {
    RouteKind kind;
    Outcome outcome;
    const char* text;
  } kRows[] = {{RouteKind::kLocalAddress, Outcome::kKeeps, "address of this host"},
               {RouteKind::kNoRoute, Outcome::kDrops, "no route there"},
               {RouteKind::kUnreachable, Outcome::kDrops, "unreachable"},
               {RouteKind::kProhibited, Outcome::kDrops, "prohibit"},
               {RouteKind::kInvalid, Outcome::kDrops, "blackhole"},
               {RouteKind::kNoAnswer, Outcome::kDrops, "does not tell"}};
  for (const auto& row : kRows) {
    answer_.kind = row.kind;
    const HostWay way = Way();
    EXPECT_EQ(way.outcome, row.outcome) << row.text;
    EXPECT_THAT(way.text, HasSubstr(row.text));
  }
}

TEST_F(HostWayTest, AddressesThatAreAnsweredWithoutARoute) {
  const struct {
    const char* dst;
    const char* src;
    Outcome outcome;
    const char* text;
  } kRows[] = {{"192.0.2.3", "", Outcome::kKeeps, "address of this host"},
               {"192.0.2.1", "10.1.0.5", Outcome::kKeeps, "address of this host"},
               {"127.0.0.9", "", Outcome::kKeeps, "loopback"},
               {"::1", "", Outcome::kKeeps, "loopback"},
               {"127.0.0.9", "10.1.0.5", Outcome::kDrops, "by a wire"},
               {"10.2.0.1", "127.0.0.1", Outcome::kDrops, "does not leave"}};
  for (const auto& row : kRows) {
    dst_ = row.dst;
    query_ = {};
    const HostWay way = Way(row.src);
    EXPECT_EQ(way.outcome, row.outcome) << row.dst;
    EXPECT_THAT(way.text, HasSubstr(row.text)) << row.dst;
  }
}

TEST_F(HostWayTest, WhatMustBeGiven) {
  for (const char* dst : {"fe80::9", "ff02::1"}) {
    dst_ = dst;
    const auto way = Find();
    ASSERT_FALSE(way) << dst;
    EXPECT_THAT(way.error().message, HasSubstr("pass \"dev NAME\""));
    query_.ifindex = kNic;
    EXPECT_EQ(Way().ifindex, kNic);
    query_.ifindex = 0;
  }
  dst_ = "10.2.0.1";
  back_ = 0;
  EXPECT_THAT(Find("10.1.0.5").error().message, HasSubstr("pass \"iif NAME\""));
  query_.iif = "lan0";
  EXPECT_EQ(Way("10.1.0.5").came_name, "lan0");
  query_.iif = "x0";
  EXPECT_THAT(Find("10.1.0.5").error().message, HasSubstr("no interface \"x0\""));
  EXPECT_FALSE(Find("192.0.2.1")) << "this host sends it itself";
  query_ = {};
  EXPECT_FALSE(Find("224.0.0.1"));
  query_ = {.dst = {}, .iif = "lan0"};
  EXPECT_FALSE(Find());
}

TEST_F(HostWayTest, PacketsOfOtherHosts) {
  HostWay way = Way("10.1.0.5");
  EXPECT_EQ(way.outcome, Outcome::kSends);
  EXPECT_EQ(way.came_by, kLan);
  EXPECT_EQ(asked_.back().iif, kLan);
  forwarding_.forwards = false;
  EXPECT_THAT(Way("10.1.0.5").text, HasSubstr("does not forward (net.ipv4.conf.lan0"));
  answer_.kind = RouteKind::kUnreachable;  // what IPv4 says then
  EXPECT_THAT(Way("10.1.0.5").text, HasSubstr("does not forward"));
  forwarding_.forwards = std::nullopt;
  EXPECT_THAT(Way("10.1.0.5").text, HasSubstr("does not tell"));
  forwarding_ = {.forwards = true, .reverse_path = 1};
  query_.iif = "other0";
  answer_.kind = RouteKind::kInvalid;
  EXPECT_THAT(Way("10.1.0.5").text, HasSubstr("the route back to its source leads to lan0"));
  back_ = 0;
  forwarding_.reverse_path = 2;
  EXPECT_THAT(Way("10.1.0.5").text, HasSubstr("no route back"));
  forwarding_.reverse_path = 0;
  EXPECT_THAT(Way("10.1.0.5").text, HasSubstr("blackhole"));
  dst_ = "224.0.0.9";
  EXPECT_THAT(Way("10.1.0.5").text, HasSubstr("does not forward multicast"));
}

TEST_F(HostWayTest, InterfacesThatDoNotSend) {
  links_[0].running = false;
  EXPECT_EQ(Way().text, "the interface nic0 has no carrier");
  links_[0].up = false;
  EXPECT_EQ(Way().text, "the interface nic0 is set down");
  EXPECT_EQ(Way().outcome, Outcome::kDrops);
  links_.erase(links_.begin());
  EXPECT_EQ(Way().text, "its interface is gone");
}

TEST_F(HostWayTest, APathMtuLimitsTheHostAloneAndARouteAll) {
  answer_.mtu = 1300;
  answer_.own_mtu = 1300;
  EXPECT_EQ(Way().mtu, 1300u);
  EXPECT_EQ(Way("10.1.0.5").mtu, 1300u);
  answer_ = {
      .kind = RouteKind::kUnicast, .ifindex = kNic, .mtu = 1200, .learnt = true, .own_mtu = 1400};
  query_ = {};
  EXPECT_EQ(Way().mtu, 1200u);
  EXPECT_THAT(Way().mtu_of, HasSubstr("learnt"));
  EXPECT_EQ(Way("10.1.0.5").mtu, 1400u);
}

TEST_F(HostWayTest, ARuleByPortsOrProtocolDecidesIfTheyAreOpen) {
  rules_ = {{.priority = 10, .proto = kProtoTcp, .dport = {443, 443}}};
  other_way_ = [](const RouteQuestion& q) { return q.proto == kProtoTcp && q.dport == 443; };
  const HostWay way = Way();
  EXPECT_EQ(way.outcome, Outcome::kDepends);
  EXPECT_THAT(way.open, testing::ElementsAre("proto", "dport"));
  EXPECT_THAT(way.text,
              HasSubstr("of priority 10 chooses leaves by other0, what it does not choose "));
  query_.proto = kProtoUdp;
  EXPECT_EQ(Way().outcome, Outcome::kSends);
  query_.proto = kProtoTcp;
  EXPECT_THAT(Way().open, testing::ElementsAre("dport"));
  query_.dport = 443;
  EXPECT_EQ(Way().ifindex, kOther);
  query_ = {};
  other_way_ = {};  // the rule leads the same way
  EXPECT_EQ(Way().outcome, Outcome::kSends);
  EXPECT_TRUE(Way().notes.empty());
}

TEST_F(HostWayTest, OtherSourcesAndMarksAreNoted) {
  rules_ = {
      {.priority = 10, .from = {.address = Ip("192.0.2.3"), .family = IpFamily::kV4, .bits = 32}}};
  other_way_ = [](const RouteQuestion& q) { return q.saddr == Ip("192.0.2.3") || q.mark == 5; };
  EXPECT_EQ(Way().outcome, Outcome::kSends);
  EXPECT_THAT(Way().notes, testing::ElementsAre(HasSubstr("from 192.0.2.3 leaves by other0")));
  EXPECT_EQ(Way("192.0.2.3").ifindex, kOther);
  EXPECT_TRUE(Way("192.0.2.3").notes.empty());
  query_ = {};
  rules_ = {{.priority = 10, .mark = 5, .mark_mask = 0xffffffff}};
  EXPECT_THAT(Way().notes, testing::ElementsAre(HasSubstr("with mark 5 leaves by other0")));
  query_.mark = 5;
  EXPECT_EQ(Way().ifindex, kOther);
  rules_ = {{.priority = 10, .by_others = true}};
  EXPECT_THAT(Way().notes, testing::ElementsAre(HasSubstr("Not looked at")));
  rules_[0].to = {.address = Ip("10.9.0.0"), .family = IpFamily::kV4, .bits = 16};
  EXPECT_TRUE(Way().notes.empty()) << "a rule for others";
}

}  // namespace
}  // namespace cygnet
