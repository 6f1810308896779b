// For tests of the wire fence: the test's own network namespace with a veth pair, a check whether
// plaintext passes, and nftables as other programs use it.
#pragma once

#include <net/if.h>

#include <cstdio>
#include <string>

#include "support/port_fixture.h"

namespace cygnet::test {

class FenceTest : public PortTest {
 protected:
  void SetUp() override {
    pairs_ = 0;
    if (!OwnNetwork() || !Run("ip link set lo up") || !MakePair("wa")) {
      GTEST_SKIP() << "no network namespace of our own";
    }
  }
  // NAME – peer0 (peer1 …).
  static bool MakePair(const std::string& name) {
    return Run("ip link add name '" + name + "' type veth peer name peer" +
               std::to_string(pairs_)) &&
           Run("ip link set '" + name + "' up") &&
           Run("ip link set peer" + std::to_string(pairs_++) + " up");
  }
  // Whether an echo request that the host's own stack sends through `wire` arrives at peer0.
  static bool LeavesBy(const std::string& wire) {
    const uint64_t before = Received("peer0");
    (void)Run("ip addr add 198.51.100.1/24 dev '" + wire + "'");
    (void)Run("ip neigh replace 198.51.100.2 lladdr 02:00:00:00:00:02 dev '" + wire + "'");
    (void)Run("ping -n -c 1 -W 0.2 198.51.100.2");
    (void)Run("ip addr del 198.51.100.1/24 dev '" + wire + "'");
    return Received("peer0") != before;
  }
  // Received packets, counted by this namespace.
  static uint64_t Received(const std::string& interface) {
    std::ifstream file("/proc/thread-self/net/dev");
    for (std::string line; std::getline(file, line);) {
      const std::size_t at = line.find(interface + ":");
      if (at == std::string::npos) continue;
      unsigned long long bytes = 0;
      unsigned long long packets = 0;
      std::sscanf(line.c_str() + at + interface.size() + 1, "%llu %llu", &bytes, &packets);
      return packets;
    }
    return 0;
  }
  static bool Nft(const std::string& command) { return Run("nft '" + command + "'"); }

  static inline int pairs_ = 0;
};

}  // namespace cygnet::test
