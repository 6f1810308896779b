#include "control/route_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/lwtunnel.h>

#include "sa/sa_spec.h"

namespace cygnet {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int32_t kEth0 = 2, kNic0 = 3, kBridge = 4, kVlan = 5, kGre = 6, kVrf = 7;

std::vector<HostLink> Links() {
  return {{.ifindex = kEth0, .name = "eth0"},
          {.ifindex = kNic0, .name = "nic0", .kind = "tun", .master = kBridge},
          {.ifindex = kBridge, .name = "br0", .kind = "bridge"},
          {.ifindex = kVlan, .name = "br0.5", .kind = "vlan", .lower = kBridge},
          {.ifindex = kGre, .name = "gre1", .kind = "gre", .lower = kNic0},
          {.ifindex = kVrf, .name = "vrf1", .kind = "vrf"}};
}

PolicySpec Protects(const char* from, const char* to, SaMode mode = SaMode::kTunnel) {
  PolicySpec policy;
  const AddressPrefix src = *ParsePrefix(from), dst = *ParsePrefix(to);
  policy.selector.family = dst.family;
  policy.selector.saddr = src.address;
  policy.selector.prefixlen_s = src.bits;
  policy.selector.daddr = dst.address;
  policy.selector.prefixlen_d = dst.bits;
  policy.templates.push_back({});
  policy.templates[0].mode = static_cast<uint8_t>(mode);
  return policy;
}

HostRoute Route(const char* to, int32_t ifindex, bool gateway = true) {
  return {.to = *ParsePrefix(to), .ifindex = ifindex, .has_gateway = gateway};
}

std::vector<DoctorRow> Check(std::vector<HostRoute> routes,
                             PolicySpec policy = Protects("10.1.0.0/16", "10.2.0.0/16")) {
  return CheckRoutes(
      {.links = Links(), .routes = std::move(routes), .own = {kNic0}, .policies = {policy}});
}

void ExpectFine(const std::vector<DoctorRow>& rows) {
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(rows[0].ok) << rows[0].text;
}

void ExpectFound(const std::vector<DoctorRow>& rows, const char* first, const char* second) {
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_FALSE(rows[0].ok);
  EXPECT_THAT(rows[0].text, AllOf(HasSubstr(first), HasSubstr(second)));
  EXPECT_FALSE(rows[0].advice.empty());
}

TEST(RouteCheckTest, RoutesByCygnetAreFine) {
  ExpectFine(Check({Route("10.2.0.0/16", kNic0)}));
  ExpectFine(Check({Route("0.0.0.0/0", kNic0)}));
  ExpectFine(Check({Route("10.2.0.0/16", kBridge)}));
  ExpectFine(Check({Route("10.2.0.0/16", kVlan)}));
  ExpectFine(Check({}));
}

TEST(RouteCheckTest, NamesRoutesByOtherInterfaces) {
  ExpectFound(Check({Route("10.2.0.0/16", kEth0)}), "route 10.2.0.0/16 dev eth0", "in clear");
  ExpectFound(Check({Route("10.2.0.0/16", kNic0), Route("10.2.3.0/24", kEth0)}),
              "route 10.2.3.0/24 dev eth0", "in clear");
  ExpectFound(Check({Route("0.0.0.0/0", kEth0)}), "dev eth0", "10.2.0.0/16");
  ExpectFound(Check({Route("10.2.0.0/16", kVrf)}), "dev vrf1", "in clear");
}

TEST(RouteCheckTest, NamesTunnelsOfTheHost) {
  ExpectFound(Check({Route("10.2.0.0/16", kGre, false)}), "inside a gre interface", "10.2.0.0/16");
}

// Bug: policies see only what an encapsulation makes of a packet, and doctor said nothing.
TEST(RouteCheckTest, NamesRoutesWithAnEncapsulation) {
  HostRoute route = Route("10.2.0.0/16", kNic0);
  for (const uint16_t type : {LWTUNNEL_ENCAP_MPLS, LWTUNNEL_ENCAP_ILA, LWTUNNEL_ENCAP_SEG6,
                              LWTUNNEL_ENCAP_BPF, LWTUNNEL_ENCAP_RPL, LWTUNNEL_ENCAP_IOAM6}) {
    route.encapsulation = type;
    ExpectFound(Check({route}), "route 10.2.0.0/16 dev nic0 has an encapsulation",
                Encapsulation(type).c_str());
  }
  ExpectFound(Check({Route("10.2.0.0/16", kNic0), route}), "encapsulation", "enclosed or changed");
  route.to = *ParsePrefix("192.168.0.0/16");
  ExpectFine(Check({Route("0.0.0.0/0", kNic0), route}));
  // These only tell a tunnel interface what to do. By another they change nothing.
  HostRoute told = Route("10.2.0.0/16", kNic0);
  told.encapsulation = LWTUNNEL_ENCAP_IP;
  ExpectFine(Check({told}));
  told.ifindex = kGre;
  ExpectFound(Check({told}), "inside a gre interface", "10.2.0.0/16");
}

TEST(RouteCheckTest, NamesRoutesThatUnpack) {
  HostRoute route = Route("2001:db8::1/128", kEth0);
  route.encapsulation = LWTUNNEL_ENCAP_SEG6_LOCAL;
  ExpectFound(Check({route}), "route 2001:db8::1/128", "seg6local");
  PolicySpec bypass = Protects("10.1.0.0/16", "10.2.0.0/16");
  bypass.templates.clear();
  ExpectFine(Check({route}, bypass));
}

// A default route elsewhere does not matter if there is a better one.
TEST(RouteCheckTest, TheBestRouteCounts) {
  ExpectFine(Check({Route("0.0.0.0/0", kEth0), Route("10.2.0.0/16", kNic0)}));
  ExpectFine(Check({Route("0.0.0.0/0", kNic0), Route("192.168.0.0/16", kEth0)}));
}

// 10.1.0.0/16 is the source of the traffic of such a policy.
TEST(RouteCheckTest, TheWayBackIsNoWayOut) {
  ExpectFine(Check({Route("0.0.0.0/0", kNic0), Route("10.1.5.0/24", kEth0, false)},
                   Protects("10.1.0.0/16", "0.0.0.0/0")));
}

TEST(RouteCheckTest, NamesRoutesWithoutNextHop) {
  ExpectFound(Check({Route("10.2.0.0/16", kNic0, false)}), "dev nic0 has no next hop", "ARP");
  ExpectFound(Check({Route("10.2.0.0/16", kBridge, false)}), "dev br0 has no next hop", "ARP");
  // Transport mode sends to the neighbours themselves, and so does a connected network.
  ExpectFine(Check({Route("10.2.0.0/16", kNic0, false)},
                   Protects("10.1.0.0/16", "10.2.0.0/16", SaMode::kTransport)));
  HostRoute connected = Route("10.2.0.0/16", kNic0, false);
  connected.connected = true;
  ExpectFine(Check({connected}));
}

TEST(RouteCheckTest, PoliciesThatProtectNothingDoNotCount) {
  PolicySpec bypass = Protects("10.1.0.0/16", "10.2.0.0/16");
  bypass.templates.clear();
  ExpectFine(Check({Route("10.2.0.0/16", kEth0)}, bypass));
  PolicySpec in = Protects("10.1.0.0/16", "10.2.0.0/16");
  in.direction = PolicyDirection::kIn;
  ExpectFine(Check({Route("10.2.0.0/16", kEth0)}, in));
}

TEST(RouteCheckTest, ManyFindingsAreCounted) {
  std::vector<HostRoute> routes;
  for (int i = 0; i < 30; ++i) {
    routes.push_back(Route(("10.2." + std::to_string(i) + ".0/24").c_str(), kEth0));
  }
  const auto rows = Check(std::move(routes));
  ASSERT_EQ(rows.size(), 21u);
  EXPECT_EQ(rows.back().text, "10 more of this kind");
}

TEST(HostLinksTest, TheStackOverAnInterface) {
  EXPECT_THAT(StackOver(Links(), kNic0), testing::ElementsAre(kNic0, kBridge, kVlan));
  EXPECT_THAT(StackOver(Links(), kEth0), testing::ElementsAre(kEth0));
}

}  // namespace
}  // namespace cygnet
