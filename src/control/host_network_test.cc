#include "control/host_network.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <thread>

#include "base/clock.h"
#include "control/address_updates.h"

namespace cygnet {
namespace {

bool Shell(const char* command) { return std::system(command) == 0; }

// A thread with a network of its own, with the interface d0. False: that is not permitted here.
bool InNetwork(const std::function<void()>& body) {
  bool made = false;
  std::thread([&] {
    made = unshare(CLONE_NEWNET) == 0 && Shell(
                                             "ip link add d0 type veth peer name d1 && ip link set "
                                             "d0 up && ip addr add 192.0.2.1/24 dev d0");
    if (made) body();
  }).join();
  return made;
}

TEST(HostNetworkTest, AProbeLeavesAPermanentNeighbour) {
  const bool made = InNetwork([] {
    ASSERT_TRUE(Shell("ip neigh add 192.0.2.9 dev d0 lladdr 02:00:00:00:00:09 nud permanent"));
    auto network = HostNetwork::Create();
    ASSERT_TRUE(network) << network.error().message;
    const auto address = ParseAddress("192.0.2.9");
    const auto d0 = static_cast<int32_t>(if_nametoindex("d0"));
    (*network)->Probe(d0, address->address, address->family);
    EXPECT_TRUE(Shell("ip neigh show dev d0 nud permanent | grep -q 192.0.2.9"));
  });
  if (!made) GTEST_SKIP() << "no network namespaces here";
}

TEST(HostNetworkTest, AProbeAsksForANeighbourThatIsStale) {
  const bool made = InNetwork([] {
    ASSERT_TRUE(Shell("ip neigh add 192.0.2.9 dev d0 lladdr 02:00:00:00:00:09 nud stale"));
    auto network = HostNetwork::Create();
    ASSERT_TRUE(network) << network.error().message;
    const auto address = ParseAddress("192.0.2.9");
    const auto d0 = static_cast<int32_t>(if_nametoindex("d0"));
    (*network)->Probe(d0, address->address, address->family);
    EXPECT_FALSE(Shell("ip neigh show dev d0 nud stale | grep -q 192.0.2.9"));
  });
  if (!made) GTEST_SKIP() << "no network namespaces here";
}

// What a data path knows of this network, as the control plane tells it.
class Follower {
 public:
  Follower() {
    updates_.OnLost();
    updates_.ReadIfDue();
  }
  ~Follower() {
    while (path_.quiescence.Collect() != 0) continue;
  }
  bool Knows(const char* text) const {
    const auto address = ParseAddress(text);
    return path_.host_addresses().Contains(address->address, address->family);
  }
  void Run(const char* command) {
    EXPECT_TRUE(Shell(command)) << command;
    const NetworkChanges changes = network_->TakeChanges();
    updates_.Apply(changes.addresses);
    updates_.AddLocal(changes.local);
    if (changes.local_gone) updates_.OnLost();
    updates_.CatchUp();
  }

 private:
  std::unique_ptr<HostNetwork> network_ = *HostNetwork::Create();
  DataPath path_{1};
  SystemClock clock_;
  AddressUpdates updates_{&path_,
                          &clock_,
                          {.read = [this] { return network_->Addresses(); },
                           .read_local = [this] { return network_->LocalDestinations(); }}};
};

// Fields of the events are those of the list, or an address would stay for ever.
TEST(HostNetworkTest, AddressesOfEventsAreThoseOfTheList) {
  const bool made = InNetwork([] {
    Follower host;
    EXPECT_TRUE(host.Knows("192.0.2.1"));
    host.Run(
        "ip addr add 10.9.9.1 peer 10.9.9.2 dev d0; ip addr add 10.9.9.1/16 dev d0;"
        "ip addr add 2001:db8::1/64 dev d0 nodad; ip addr add 2001:db8::5 peer 2001:db8::6 dev d0 "
        "nodad");
    for (const char* own : {"10.9.9.1", "2001:db8::1", "2001:db8::5"}) {
      EXPECT_TRUE(host.Knows(own)) << own;
    }
    EXPECT_FALSE(host.Knows("10.9.9.2"));
    host.Run(
        "ip addr del 10.9.9.1 peer 10.9.9.2 dev d0; ip addr change 2001:db8::1/64 dev d0 "
        "preferred_lft 0");
    EXPECT_TRUE(host.Knows("10.9.9.1")) << "it has it with another prefix";
    EXPECT_TRUE(host.Knows("2001:db8::1"));
    host.Run("ip addr del 10.9.9.1/16 dev d0; ip addr del 2001:db8::1/64 dev d0");
    EXPECT_FALSE(host.Knows("10.9.9.1"));
    EXPECT_FALSE(host.Knows("2001:db8::1"));
    host.Run("ip link del d0");  // with all that it has
    EXPECT_FALSE(host.Knows("192.0.2.1"));
    EXPECT_FALSE(host.Knows("2001:db8::5"));
  });
  if (!made) GTEST_SKIP() << "no network namespaces here";
}

// The kernel delivers more to a host than the addresses of its interfaces.
TEST(HostNetworkTest, WhatRoutesDeliverIsTheHostsOwn) {
  const bool made = InNetwork([] {
    Follower host;
    EXPECT_TRUE(host.Knows("192.0.2.255")) << "read at the start";
    host.Run(
        "ip link set lo up; ip addr add 10.77.0.1/24 dev lo; ip route add local 198.51.100.0/24 "
        "dev lo; ip -6 route add local 2001:db8:5::/48 dev lo");
    for (const char* own : {"10.77.0.9", "198.51.100.7", "2001:db8:5::7", "127.0.0.9"}) {
      EXPECT_TRUE(host.Knows(own)) << own;
    }
    host.Run(
        "ip route add local 203.0.113.0/24 dev lo table 100; ip route add 10.5.0.0/16 dev d0; "
        "ip route add blackhole 10.6.0.0/16");
    for (const char* other : {"203.0.113.7", "10.5.0.1", "10.6.0.1", "192.0.2.254"}) {
      EXPECT_FALSE(host.Knows(other)) << other;
    }
    host.Run(
        "ip route del local 198.51.100.0/24 dev lo; ip -6 route del local 2001:db8:5::/48 dev lo");
    EXPECT_FALSE(host.Knows("198.51.100.7"));
    EXPECT_FALSE(host.Knows("2001:db8:5::7"));
    host.Run("ip link set d0 down");  // the kernel removes the broadcast's route without an event
    EXPECT_FALSE(host.Knows("192.0.2.255"));
    EXPECT_TRUE(host.Knows("192.0.2.1"));
    host.Run("ip link set d0 up");
    EXPECT_TRUE(host.Knows("192.0.2.255"));
    host.Run(
        "sysctl -qw net.ipv6.conf.all.forwarding=1; ip addr add 2001:db8:1::1/64 dev d0 nodad");
    EXPECT_TRUE(host.Knows("2001:db8:1::")) << "anycast of the routers of the subnet";
  });
  if (!made) GTEST_SKIP() << "no network namespaces here";
}

TEST(HostNetworkTest, WhatRoutesOfVrfsDeliverIsTheHostsOwn) {
  bool vrf = false;
  const bool made = InNetwork([&] {
    vrf = Shell("ip link add red type vrf table 77 2>/dev/null");
    if (!vrf) return;
    ASSERT_TRUE(Shell("ip link set red up; ip link set d0 master red"));
    auto network = HostNetwork::Create();
    ASSERT_TRUE(network) << network.error().message;
    const auto local = (*network)->LocalDestinations();
    ASSERT_TRUE(local.has_value());
    EXPECT_EQ(std::count(local->begin(), local->end(), *ParsePrefix("192.0.2.255")), 1);
  });
  if (!made || !vrf) GTEST_SKIP() << "no network namespaces or no VRFs here";
}

}  // namespace
}  // namespace cygnet
