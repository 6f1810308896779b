#include "control/host_network.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>

#include <cstdlib>
#include <functional>
#include <thread>

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

}  // namespace
}  // namespace cygnet
