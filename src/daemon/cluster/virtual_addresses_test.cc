#include "daemon/cluster/virtual_addresses.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "daemon/cluster/announcement.h"
#include "daemon/cluster/heartbeat_socket.h"
#include "net/ether_types.h"
#include "net/link_message.h"
#include "support/fence_fixture.h"

namespace cygnet {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint64_t kMs = 1'000'000;

// In a network namespace of its own: wa, whose other end is peer0.
class VirtualAddressesTest : public test::FenceTest {
 protected:
  static VirtualAddresses Open(const std::string& device = "wa") {
    auto opened = VirtualAddresses::Open(
        {{.name = "blue",
          .addresses = {"192.0.2.1/24 dev " + device, "2001:db8::1/64 dev " + device},
          .prefer = {}}});
    EXPECT_TRUE(opened);
    return *std::move(opened);
  }
  static bool Has(const std::string& address) {
    return Run("ip -o addr show dev wa | grep -qF ' " + address + " '");
  }
  // Receives what arrives at peer0.
  static UniqueFd Listen() {
    UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0003)));  // ETH_P_ALL
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(0x0003);
    at.sll_ifindex = static_cast<int>(if_nametoindex("peer0"));
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    return fd;
  }
  // The announcements among the frames that have arrived.
  static std::size_t CountAnnounced(const UniqueFd& fd) {
    std::size_t count = 0;
    Bytes frame(2048);
    const auto wanted = Expected();
    for (pollfd poll{.fd = fd.get(), .events = POLLIN, .revents = 0}; ::poll(&poll, 1, 20) == 1;) {
      const ssize_t n = recv(fd.get(), frame.data(), frame.size(), 0);
      const Bytes got(frame.begin(), frame.begin() + std::max<ssize_t>(n, 0));
      count += static_cast<std::size_t>(std::count(wanted.begin(), wanted.end(), got));
    }
    return count;
  }
  static std::vector<Bytes> Expected() {
    MacAddress mac;
    ifreq request{};
    std::strcpy(request.ifr_name, "wa");
    const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(ioctl(fd.get(), SIOCGIFHWADDR, &request), 0);
    std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
    std::vector<Bytes> all;
    for (const char* text : {"192.0.2.1/24 dev wa", "2001:db8::1/64 dev wa"}) {
      for (Bytes& frame : AnnouncementsOf(*ParseVirtualAddress(text), mac)) all.push_back(frame);
    }
    return all;
  }
};

TEST_F(VirtualAddressesTest, AreAddedAnnouncedAndRemoved) {
  VirtualAddresses addresses = Open();
  const UniqueFd peer = Listen();
  ASSERT_TRUE(addresses.Up(1, 0));
  EXPECT_TRUE(Has("192.0.2.1/24"));
  EXPECT_TRUE(Has("2001:db8::1/64"));
  EXPECT_FALSE(Run("ip -6 addr show dev wa tentative | grep -q 2001:db8::1")) << "usable at once";
  EXPECT_EQ(CountAnnounced(peer), 3u) << "ARP request and reply, one advertisement";
  ASSERT_TRUE(addresses.Tick(50 * kMs));
  EXPECT_EQ(CountAnnounced(peer), 0u);
  ASSERT_TRUE(addresses.Tick(100 * kMs));
  ASSERT_TRUE(addresses.Tick(1000 * kMs));
  ASSERT_TRUE(addresses.Tick(2000 * kMs));
  EXPECT_EQ(CountAnnounced(peer), 6u) << "three times in all";
  ASSERT_TRUE(addresses.Down(1));
  EXPECT_FALSE(Has("192.0.2.1/24"));
  EXPECT_FALSE(Has("2001:db8::1/64"));
  ASSERT_TRUE(addresses.Down(1)) << "what is not there needs no removal";
  ASSERT_TRUE(addresses.Tick(9000 * kMs));
  EXPECT_FALSE(Has("192.0.2.1/24"));
}

TEST_F(VirtualAddressesTest, WhatAnEarlierStartLeftIsTakenOver) {
  ASSERT_TRUE(Run("ip addr add 192.0.2.1/24 dev wa"));
  VirtualAddresses addresses = Open();
  EXPECT_TRUE(addresses.Up(1, 0));
  EXPECT_TRUE(Has("2001:db8::1/64"));
  EXPECT_TRUE(addresses.Down(1));
  EXPECT_FALSE(Has("192.0.2.1/24"));
}

TEST_F(VirtualAddressesTest, WhatSomebodyRemovedComesBackAndIsAnnounced) {
  VirtualAddresses addresses = Open();
  ASSERT_TRUE(addresses.Up(1, 0));
  for (uint64_t ms = 0; ms < 3000; ms += 10) ASSERT_TRUE(addresses.Tick(ms * kMs));
  ASSERT_TRUE(Run("ip addr del 192.0.2.1/24 dev wa"));
  const UniqueFd peer = Listen();
  ASSERT_TRUE(addresses.Tick(4000 * kMs));
  EXPECT_TRUE(Has("192.0.2.1/24"));
  EXPECT_EQ(CountAnnounced(peer), 3u);
}

TEST_F(VirtualAddressesTest, AnInterfaceThatComesUpAnnouncesThem) {
  VirtualAddresses addresses = Open();
  ASSERT_TRUE(Run("ip link set peer0 down"));
  ASSERT_TRUE(addresses.Up(1, 0));
  for (uint64_t ms = 0; ms < 3000; ms += 10) ASSERT_TRUE(addresses.Tick(ms * kMs));
  ASSERT_TRUE(Run("ip link set peer0 up"));
  const UniqueFd peer = Listen();
  for (uint64_t ms = 3000; ms < 6000; ms += 10) ASSERT_TRUE(addresses.Tick(ms * kMs));
  EXPECT_EQ(CountAnnounced(peer), 9u);
}

TEST_F(VirtualAddressesTest, AnInterfaceThatComesLaterGetsThem) {
  VirtualAddresses addresses = Open("wb");
  const Status missing = addresses.Up(1, 0);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "2001:db8::1/64 dev wb: there is no such interface");
  ASSERT_TRUE(MakePair("wb"));
  EXPECT_TRUE(addresses.Tick(1000 * kMs));
  EXPECT_TRUE(Run("ip -o addr show dev wb | grep -qF 192.0.2.1/24"));
}

TEST(AnnouncementTest, IsWhatAPeersFilterLetsPass) {
  const MacAddress mac{2, 0, 0, 0, 0, 7};
  const auto arp = AnnouncementsOf(*ParseVirtualAddress("192.0.2.1/24 dev wa"), mac);
  ASSERT_EQ(arp.size(), 2u);
  const auto advertisement = AnnouncementsOf(*ParseVirtualAddress("2001:db8::1/64 dev wa"), mac);
  ASSERT_EQ(advertisement.size(), 1u);
  const std::span<const uint8_t> l3 = std::span(advertisement[0]).subspan(kEthernetHeader);
  const auto view = ParseIpPacket(l3);
  ASSERT_TRUE(view.has_value());
  EXPECT_TRUE(IsNeighbourDiscovery(*view, l3));
}

TEST(HeartbeatSocketTest, AddressesAreReadStrictly) {
  EXPECT_TRUE(ParseSocketAddress("192.0.2.1:4511").has_value());
  EXPECT_TRUE(ParseSocketAddress("[2001:db8::1]:4511").has_value());
  for (const char* text : {"", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
                           "2001:db8::1:4511", "224.0.0.1:4511", ":4511"}) {
    EXPECT_FALSE(ParseSocketAddress(text).has_value()) << text;
  }
}

TEST(HeartbeatSocketTest, CarriesDatagrams) {
  auto a = HeartbeatSocket::Open("127.0.0.1:45110");
  auto b = HeartbeatSocket::Open("127.0.0.1:45111");
  ASSERT_TRUE(a && b);
  EXPECT_TRUE(b->Receive().empty());
  const Bytes sent = {1, 2, 3};
  a->Send(*ParseSocketAddress("127.0.0.1:45111"), sent);
  const std::span<const uint8_t> got = b->Receive();
  EXPECT_EQ(Bytes(got.begin(), got.end()), sent);
  EXPECT_EQ(b->from(), "127.0.0.1");
  EXPECT_FALSE(HeartbeatSocket::Open("127.0.0.1:45110")) << "in use";
  EXPECT_FALSE(HeartbeatSocket::Open("gw1:45110"));
}

}  // namespace
}  // namespace cygnet
