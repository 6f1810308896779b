#include "control/host_links.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <thread>

namespace cygnet {
namespace {

bool Shell(const char* command) { return std::system(command) == 0; }

bool Has(const std::vector<AddressPrefix>& all, const char* prefix) {
  return std::find(all.begin(), all.end(), *ParsePrefix(prefix)) != all.end();
}

// The keys in a network of its own, after the commands; nullopt: that is not permitted here.
std::optional<ForwardingKeys> KeysAfter(const char* commands) {
  std::optional<ForwardingKeys> keys;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0 ||
        !Shell("ip link add d0 type veth peer name d1 && ip link set d0 up"))
      return;
    EXPECT_TRUE(Shell(commands));
    const auto links = HostLinks::Create();
    ASSERT_TRUE(links);
    keys = (*links)->Forwarding();
  }).join();
  return keys;
}

TEST(HostLinksTest, RoutesOfEveryKindCount) {
  const auto keys = KeysAfter(
      "ip route add 10.1.0.0/16 dev d0; ip route add blackhole 10.2.0.0/16;"
      "ip route add local 10.3.0.0/16 dev lo; ip route add prohibit 10.4.0.0/16 table 7;"
      "ip -6 route add unreachable 2001:db8::/48");
  if (!keys) GTEST_SKIP() << "no network namespaces here";
  for (const char* to : {"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"}) {
    EXPECT_TRUE(Has(keys->destinations, to)) << to;
  }
  EXPECT_TRUE(Has(keys->destinations, "2001:db8::/48"));
  EXPECT_TRUE(keys->sources.empty());
  EXPECT_FALSE(keys->other_fields) << "the kernel's own rules compare nothing";
  EXPECT_FALSE(keys->interfaces);
  const auto leads = [&keys](const char* to) {
    return std::any_of(keys->ways.begin(), keys->ways.end(),
                       [to](const auto& way) { return way.first == *ParsePrefix(to); });
  };
  EXPECT_TRUE(leads("10.1.0.0/16"));
  EXPECT_FALSE(leads("10.2.0.0/16")) << "it blocks";
}

// Bug: the routes looked the same as those without. Also of a next hop of several, and of one that
// is an object of its own.
TEST(HostLinksTest, EncapsulationsOfRoutesShow) {
  std::vector<HostRoute> routes;
  std::thread([&routes] {
    constexpr const char* kRoutes =
        "ip link add d0 type veth peer name d1 && ip link set d0 up && ip link set d1 up &&"
        "ip addr add 2001:db8::1/64 dev d0 nodad && s='encap seg6 mode inline segs 2001:db8::9' &&"
        "ip -6 route add fd01::/32 $s via 2001:db8::2 dev d0 &&"
        "ip -6 route add fd02::/32 nexthop $s via 2001:db8::2 dev d0 nexthop via 2001:db8::3 dev d0"
        "&& ip nexthop add id 7 via 2001:db8::2 dev d0 $s && ip -6 route add fd03::/32 nhid 7 &&"
        "ip -6 route add fd04::1/128 encap seg6local action End dev d0";
    if (unshare(CLONE_NEWNET) == 0 && Shell(kRoutes)) routes = (*HostLinks::Create())->Routes();
  }).join();
  if (routes.empty()) GTEST_SKIP() << "no network namespaces here, or a kernel without seg6";
  const auto names = [&routes](const char* to) {
    std::multiset<std::string> all;
    for (const HostRoute& route : routes) {
      if (route.to == *ParsePrefix(to)) all.insert(Encapsulation(route.encapsulation));
    }
    return all;
  };
  EXPECT_EQ(names("fd01::/32"), std::multiset<std::string>{"seg6"});
  EXPECT_EQ(names("fd02::/32"), (std::multiset<std::string>{"", "seg6"}));
  EXPECT_EQ(names("fd03::/32"), std::multiset<std::string>{"seg6"});
  EXPECT_EQ(names("fd04::1/128"), std::multiset<std::string>{"seg6local"});
  EXPECT_EQ(names("2001:db8::/64"), std::multiset<std::string>{""});
}

// Bug: with this setting, which routing daemons advise, such routes were not there for doctor.
TEST(HostLinksTest, RoutesThatTellOnlyTheNumberOfTheirNextHop) {
  std::vector<HostRoute> routes;
  std::vector<HostLink> links;
  std::thread([&] {
    constexpr const char* kRoutes =
        "ip link add d0 type veth peer name d1 && ip link set d0 up && ip link set d1 up &&"
        "ip addr add 2001:db8::1/64 dev d0 nodad && sysctl -qw net.ipv4.nexthop_compat_mode=0 &&"
        "ip nexthop add id 7 via 2001:db8::2 dev d0 && ip nexthop add id 8 via 2001:db8::3 dev d0"
        " encap seg6 mode inline segs 2001:db8::9 && ip nexthop add id 9 group 7/8 &&"
        "ip -6 route add fd01::/32 nhid 8 && ip -6 route add fd02::/32 nhid 9";
    if (unshare(CLONE_NEWNET) != 0 || !Shell(kRoutes)) return;
    const auto host = HostLinks::Create();
    routes = (*host)->Routes();
    links = (*host)->Links();
  }).join();
  if (routes.empty()) GTEST_SKIP() << "no network namespaces here, or a kernel without seg6";
  std::multiset<std::string> found;
  for (const HostRoute& route : routes) {
    const auto link = std::find_if(links.begin(), links.end(),
                                   [&](const HostLink& l) { return l.ifindex == route.ifindex; });
    if (!route.has_gateway || link == links.end()) continue;
    found.insert(ToString(route.to) + " " + link->name + " " + Encapsulation(route.encapsulation));
  }
  EXPECT_EQ(found, (std::multiset<std::string>{"fd01::/32 d0 seg6", "fd02::/32 d0 ",
                                               "fd02::/32 d0 seg6"}));
}

TEST(HostLinksTest, RulesGiveTheirPrefixes) {
  const auto keys = KeysAfter(
      "ip rule add from 10.1.0.0/24 lookup 7; ip rule add to 10.2.0.0/24 lookup 7;"
      "ip rule add fwmark 7 lookup 7; ip -6 rule add from 2001:db8::/48 lookup 7");
  if (!keys) GTEST_SKIP() << "no network namespaces here";
  EXPECT_TRUE(Has(keys->sources, "10.1.0.0/24"));
  EXPECT_TRUE(Has(keys->sources, "2001:db8::/48"));
  EXPECT_TRUE(Has(keys->destinations, "10.2.0.0/24"));
  EXPECT_FALSE(keys->other_fields);
}

TEST(HostLinksTest, ARuleAboutAnInterfaceShows) {
  const auto keys = KeysAfter("ip rule add iif d0 lookup 7");
  if (!keys) GTEST_SKIP() << "no network namespaces here";
  EXPECT_TRUE(keys->interfaces);
  EXPECT_FALSE(keys->other_fields);
}

TEST(HostLinksTest, RulesAboutOtherFieldsShow) {
  for (const char* rule : {"ip rule add ipproto udp lookup 7", "ip rule add dport 53 lookup 7",
                           "ip rule add dsfield 0x10 lookup 7"}) {
    const auto keys = KeysAfter(rule);
    if (!keys) GTEST_SKIP() << "no network namespaces here";
    EXPECT_TRUE(keys->other_fields) << rule;
  }
}

}  // namespace
}  // namespace cygnet
