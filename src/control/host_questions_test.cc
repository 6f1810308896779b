// What a real kernel answers about one packet, in a network of the test's own.
#include "control/host_questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>

#include <cstdlib>
#include <functional>
#include <thread>

#include "control/host_network.h"
#include "control/host_way.h"
#include "net/ip_protocol.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

using Outcome = HostWay::Outcome;
using test::Addr;

bool Shell(const std::string& command) { return std::system(command.c_str()) == 0; }

// nic0 and lan0 with networks on both sides, and routes of all kinds.
constexpr const char* kNetwork =
    "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 "
    "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1;"
    "ip link set lo up && ip link add nic0 type veth peer name nic1 && ip link add lan0 type veth "
    "peer name lan1 && for i in nic0 nic1 lan0 lan1; do ip link set $i up; done;"
    "ip addr add 192.0.2.1/24 dev nic0; ip addr add 192.0.2.3/24 dev nic0;"
    "ip addr add 10.1.0.1/24 dev lan0; ip addr add fd01::1/64 dev lan0 nodad;"
    "ip addr add fd00::1/64 dev nic0 nodad;"
    "ip route add 10.2.0.0/16 via 192.0.2.2; ip route add fd02::/16 via fd00::2;"
    "for k in blackhole unreachable prohibit; do n=$((n+1)); ip route add $k 10.9.$n.0/24;"
    "ip route add $k fd09:$n::/32; done";

class Host {
 public:
  Host() : network_(*HostNetwork::Create()), links_(*HostLinks::Create()) {}

  Result<HostWay> Find(const MtuQuery& query) {
    std::vector<ParsedAddress> own;
    const auto addresses = network_->Addresses();  // outlives the loop
    for (const HostAddress& address : *addresses) own.push_back(address.at);
    return FindHostWay(
        {.route = [this](const RouteQuestion& q) { return network_->AskRoute(q); },
         .rules = [this](IpFamily family) { return network_->Rules(family); },
         .forwarding = [this](IpFamily family,
                              int32_t iif) { return network_->Forwarding(family, iif); },
         .links = [this] { return links_->Links(); },
         .own_addresses = [own] { return own; }},
        query);
  }
  HostWay Way(const std::string& dst, const std::string& src = "", const std::string& iif = "") {
    MtuQuery query{.dst = Addr(dst)};
    if (!src.empty()) query.src = Addr(src);
    query.iif = iif;
    auto way = Find(query);
    EXPECT_TRUE(way) << dst << ": " << way.error().message;
    return way ? *way : HostWay();
  }

 private:
  std::unique_ptr<HostNetwork> network_;
  std::unique_ptr<HostLinks> links_;
};

void InNetwork(const std::function<void(Host*)>& body) {
  bool made = false;
  std::thread([&] {
    made = unshare(CLONE_NEWNET) == 0 && Shell(kNetwork);
    if (!made) return;
    Host host;
    body(&host);
  }).join();
  if (!made) GTEST_SKIP() << "no network namespaces here";
}

TEST(HostQuestionsTest, Rows) {
  InNetwork([](Host* host) {
    const struct {
      const char* dst;
      const char* src;
      Outcome outcome;
      const char* text;  // or the interface that it leaves by
    } kRows[] = {{"10.2.0.1", "", Outcome::kSends, "nic0"},
                 {"10.2.0.1", "192.0.2.3", Outcome::kSends, "nic0"},
                 {"10.2.0.1", "10.1.0.9", Outcome::kSends, "nic0"},
                 {"fd02::1", "fd01::9", Outcome::kSends, "nic0"},
                 {"192.0.2.255", "", Outcome::kSends, "nic0"},
                 {"192.0.2.3", "", Outcome::kKeeps, "address of this host"},
                 {"192.0.2.3", "10.1.0.9", Outcome::kKeeps, "address of this host"},
                 {"127.1.2.3", "", Outcome::kKeeps, "loopback"},
                 {"::1", "", Outcome::kKeeps, "loopback"},
                 {"203.0.113.1", "", Outcome::kDrops, "no route"},
                 {"2001:db8::1", "", Outcome::kDrops, "no route"},
                 {"10.9.1.1", "", Outcome::kDrops, "blackhole"},
                 {"10.9.2.1", "", Outcome::kDrops, "unreachable"},
                 {"10.9.3.1", "", Outcome::kDrops, "prohibit"},
                 {"10.9.1.1", "10.1.0.9", Outcome::kDrops, "blackhole"},
                 {"10.9.2.1", "10.1.0.9", Outcome::kDrops, "unreachable"},
                 {"fd09:1::1", "", Outcome::kDrops, "blackhole"},
                 {"fd09:2::1", "", Outcome::kDrops, "unreachable"},
                 {"fd09:3::1", "fd01::9", Outcome::kDrops, "prohibit"}};
    for (const auto& row : kRows) {
      const HostWay way = host->Way(row.dst, row.src);
      EXPECT_EQ(way.outcome, row.outcome) << row.dst << ": " << way.text;
      if (row.outcome != Outcome::kSends) {
        EXPECT_THAT(way.text, testing::HasSubstr(row.text)) << row.dst;
      } else {
        EXPECT_EQ(way.ifindex, static_cast<int32_t>(if_nametoindex(row.text))) << row.dst;
      }
    }
    EXPECT_EQ(host->Way("10.2.0.1", "10.1.0.9").came_name, "lan0");
    EXPECT_TRUE(host->Way("192.0.2.255").group);
  });
}

TEST(HostQuestionsTest, EncapsulationsOfRoutes) {
  bool supported = false;
  InNetwork([&supported](Host* host) {
    supported = Shell(
        "s='encap seg6 mode inline segs fd00::9'; ip -6 route add fd03::/32 $s via fd00::2 dev nic0"
        "&& ip -6 route add fd04::/32 nexthop $s via fd00::2 dev nic0 nexthop via fd00::3 dev nic0"
        "&& ip nexthop add id 7 via fd00::2 dev nic0 $s && ip -6 route add fd05::/32 nhid 7");
    if (!supported) return;
    for (const char* dst : {"fd03::1", "fd05::1"}) {
      EXPECT_EQ(host->Way(dst).outcome, Outcome::kSends) << dst;
      EXPECT_EQ(host->Way(dst).encapsulation, "seg6") << dst;
      EXPECT_EQ(host->Way(dst, "fd01::9").encapsulation, "seg6") << dst;
    }
    EXPECT_EQ(host->Way("fd02::1").encapsulation, "");
    EXPECT_THAT(host->Way("fd04::1").notes,
                testing::Contains(testing::HasSubstr("Some have an encapsulation")));
  });
  if (!supported) GTEST_SKIP() << "no network namespaces here, or a kernel without seg6";
}

TEST(HostQuestionsTest, ForwardingAndTheReversePathFilter) {
  InNetwork([](Host* host) {
    const auto text = [host](const char* src, const char* iif = "") {
      return host->Way(*src == 'f' ? "fd02::1" : "10.2.0.1", src, iif).text;
    };
    EXPECT_EQ(text("10.1.0.9"), "");
    ASSERT_TRUE(Shell("sysctl -qw net.ipv4.conf.lan0.forwarding=0"));
    EXPECT_THAT(text("10.1.0.9"), testing::HasSubstr("net.ipv4.conf.lan0.forwarding is 0"));
    ASSERT_TRUE(Shell("sysctl -qw net.ipv4.conf.lan0.forwarding=1"));
    EXPECT_EQ(text("10.1.0.9"), "");
    ASSERT_TRUE(Shell("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"));
    EXPECT_THAT(text("10.1.0.9"), testing::HasSubstr("does not forward"));
    EXPECT_THAT(text("fd01::9"), testing::HasSubstr("net.ipv6.conf.all.forwarding is 0"));
    ASSERT_TRUE(Shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.lan0.rp_filter=1"));
    EXPECT_EQ(text("10.1.0.9"), "");
    EXPECT_THAT(text("192.0.2.9", "lan0"), testing::HasSubstr("back to its source leads to nic0"));
    EXPECT_THAT(text("10.7.0.9", "lan0"), testing::HasSubstr("no route back to its source"));
    ASSERT_TRUE(Shell("sysctl -qw net.ipv4.conf.lan0.rp_filter=2"));
    EXPECT_EQ(text("192.0.2.9", "lan0"), "");
    EXPECT_THAT(text("10.7.0.9", "lan0"), testing::HasSubstr("no route back to its source"));
    ASSERT_TRUE(Shell("sysctl -qw net.ipv4.conf.lan0.rp_filter=0"));
    EXPECT_EQ(text("10.7.0.9", "lan0"), "");
  });
}

TEST(HostQuestionsTest, Rules) {
  InNetwork([](Host* host) {
    ASSERT_TRUE(
        Shell("ip route add default via 10.1.0.254 dev lan0 table 7 && "
              "ip rule add priority 10 from 192.0.2.3 lookup 7 && "
              "ip rule add priority 11 fwmark 5 lookup 7 && "
              "ip rule add priority 12 ipproto tcp dport 443 lookup 7 && "
              "ip rule add priority 13 to 10.3.0.0/16 tos 0x10 lookup 7"));
    const auto lan = static_cast<int32_t>(if_nametoindex("lan0"));
    MtuQuery query{.dst = Addr("10.2.0.1"), .proto = kProtoUdp, .dport = 53};
    HostWay way = *host->Find(query);
    EXPECT_NE(way.ifindex, lan);
    EXPECT_THAT(way.notes,
                testing::UnorderedElementsAre(testing::HasSubstr("from 192.0.2.3 leaves by lan0"),
                                              testing::HasSubstr("with mark 5 leaves by lan0")));
    query.src = Addr("192.0.2.3");
    EXPECT_EQ(host->Find(query)->ifindex, lan);
    query.src = Addr("192.0.2.1");
    query.mark = 5;
    EXPECT_EQ(host->Find(query)->ifindex, lan);
    query.mark = 0;
    query.proto = kProtoTcp;
    EXPECT_EQ(host->Find(query)->outcome, Outcome::kSends);
    query.dport = 443;
    EXPECT_EQ(host->Find(query)->ifindex, lan);
    query.dport.reset();
    EXPECT_THAT(host->Find(query)->open, testing::ElementsAre("dport"));
    query.proto.reset();
    EXPECT_THAT(host->Find(query)->open, testing::ElementsAre("proto", "dport"));
    query.dst = Addr("10.3.0.1");
    EXPECT_THAT(host->Find(query)->notes,
                testing::Contains(testing::HasSubstr("rule of priority 13")));
  });
}

TEST(HostQuestionsTest, SizesAndLinks) {
  InNetwork([](Host* host) {
    EXPECT_EQ(host->Way("10.2.0.1").mtu, 1500u);
    ASSERT_TRUE(Shell("ip link set nic0 mtu 1400"));
    EXPECT_EQ(host->Way("10.2.0.1").mtu, 1400u);
    EXPECT_EQ(host->Way("10.2.0.1").mtu_of, "the interface nic0");
    ASSERT_TRUE(Shell("ip route replace 10.2.0.0/16 via 192.0.2.2 mtu 1350"));
    EXPECT_EQ(host->Way("10.2.0.1").mtu, 1350u);
    EXPECT_EQ(host->Way("10.2.0.1", "10.1.0.9").mtu, 1350u);
    EXPECT_EQ(host->Way("10.2.0.1").mtu_of, "the host's route");
    ASSERT_TRUE(Shell("ip route replace 10.2.0.0/16 nexthop via 192.0.2.2 nexthop via 10.1.0.2"));
    EXPECT_THAT(host->Way("10.2.0.1").notes,
                testing::Contains(testing::HasSubstr("several next hops")));
    ASSERT_TRUE(Shell("ip route replace 10.2.0.0/16 via 192.0.2.2; ip link set nic1 down"));
    EXPECT_EQ(host->Way("10.2.0.1").text, "the interface nic0 has no carrier");
    ASSERT_TRUE(Shell("ip link set nic1 up; ip link set nic0 down"));
    EXPECT_EQ(host->Way("10.2.0.1").text, "the host has no route there");
  });
}

}  // namespace
}  // namespace cygnet
