#include "device/host/tap.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <set>

#include "base/unique_fd.h"
#include "support/port_fixture.h"

namespace cygnet {
namespace {

class TapTest : public test::PortTest {
 protected:
  void Open(uint32_t queues, uint32_t mtu = 1500) {
    if (!OwnNetwork() || access("/dev/net/tun", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "no TAP interface of our own";
    }
    auto tap = TapPort::Create({.name = "nic0",
                                .queues = queues,
                                .mtu = mtu,
                                .largest_mtu = kLargestMtu,
                                .mac = {2, 0, 0, 0, 0, 9}});
    ASSERT_TRUE(tap) << tap.error().message;
    tap_ = *std::move(tap);
    ASSERT_TRUE(Run("sysctl -w net.ipv6.conf.nic0.disable_ipv6=1"));
    ASSERT_TRUE(Run("ip addr add 192.0.2.2/24 dev nic0"));
    ASSERT_TRUE(Run("ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev nic0"));
  }
  UniqueFd Socket(uint16_t port) {
    UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_port = htons(port);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)), 0);
    return fd;
  }
  static void SendTo(int fd, uint16_t port, const std::string& text) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(0xc0000201);
    EXPECT_EQ(sendto(fd, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)),
              static_cast<ssize_t>(text.size()));
  }
  // The queues on which datagrams with this text arrive.
  std::set<uint32_t> QueuesOf(const std::string& text) {
    std::set<uint32_t> found;
    for (uint32_t queue = 0; queue < tap_->queues(); ++queue) {
      PacketBatch batch;
      (void)tap_->Receive(queue, &batch, &user.sink);
      for (Packet* packet : batch.packets()) {
        if (packet->length >= kEthernetHeader + 28 && TextOf(*packet) == text) found.insert(queue);
        user.sink.Recycle(packet);
      }
      batch.ReleaseAll();
    }
    return found;
  }
  std::unique_ptr<TapPort> tap_;
};

// A tunnel interface: the host's packets come with an Ethernet header that names nobody, and go
// without theirs.
TEST_F(TapTest, ATunInterfaceCarriesIpWithoutAHeaderBefore) {
  if (!OwnNetwork() || access("/dev/net/tun", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "no TUN interface of our own";
  }
  auto tun = TapPort::Create({.name = "ipsec1", .mtu = 1400, .layer = HostLayer::kIp});
  ASSERT_TRUE(tun) << tun.error().message;
  tap_ = *std::move(tun);
  ASSERT_TRUE(Run("sysctl -w net.ipv6.conf.ipsec1.disable_ipv6=1"));
  ASSERT_TRUE(Run("ip addr add 192.0.2.2/24 dev ipsec1"));
  const UniqueFd server = Socket(2000);
  SendTo(server.get(), 1000, "to the tunnel");
  PacketBatch batch;
  (void)tap_->Receive(0, &batch, &user.sink);  // IPv6 may have said something before
  ASSERT_FALSE(batch.empty());
  Packet* packet = batch[batch.size() - 1];
  EXPECT_EQ(TextOf(*packet), "to the tunnel");
  EXPECT_EQ(LoadBe16(packet->data() + 12), 0x0800);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(packet->data()[i], 0);
  EXPECT_TRUE(packet->csum_partial) << "the host leaves the checksum to the device";
  EXPECT_GE(packet->csum_start, kEthernetHeader + 20);
  for (Packet* received : batch.packets()) user.sink.Recycle(received);
  batch.ReleaseAll();
  batch.Push(MakeFrame("from the tunnel", 1000));
  tap_->Transmit(0, &batch, &user.sink);
  char text[64] = {};
  ASSERT_GT(recv(server.get(), text, sizeof(text), 0), 0);
  EXPECT_STREQ(text, "from the tunnel");
}

class Keeper final : public DescriptorKeeper {
 public:
  UniqueFd Take(const std::string&) override { return UniqueFd(); }
  void Keep(const std::string&, int) override { ++kept; }
  void Discard(const std::string&) override {}
  int kept = 0;
};

// A service manager that restarts the daemon asks it to stop as one that stops it does.
TEST_F(TapTest, AnInterfaceThatSomebodyKeepsDoesNotEnd) {
  if (!OwnNetwork() || access("/dev/net/tun", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "no TUN interface of our own";
  }
  const auto make = [](Keeper* keeper) {
    auto port =
        TapPort::Create({.name = "ipsec1", .mtu = 1400, .layer = HostLayer::kIp, .keeper = keeper});
    EXPECT_TRUE(port.has_value());
    return *std::move(port);
  };
  {
    const auto ends = make(nullptr);
    EXPECT_GT(ends->IfindexThatEnds(), 0);
    EXPECT_EQ(ends->IfindexThatEnds(), ends->ifindex());
  }
  Keeper keeper;
  EXPECT_EQ(make(&keeper)->IfindexThatEnds(), 0);
  EXPECT_EQ(keeper.kept, 1);
  const auto persistent = make(nullptr);
  ASSERT_TRUE(persistent->Keep());
  EXPECT_EQ(persistent->IfindexThatEnds(), 0);
}

// Frames written by worker 0 alone must not draw all flows to worker 0.
TEST_F(TapTest, FlowsSpreadOverQueuesAndEachKeepsItsOwn) {
  Open(4);
  if (tap_ == nullptr) return;
  const UniqueFd server = Socket(2000);
  std::set<uint32_t> used;
  // The kernel's hash has a random seed: a few flows may miss a queue.
  for (uint16_t port = 1000; port < 1016 || (used.size() < 4 && port < 1256); ++port) {
    PacketBatch batch;
    batch.Push(MakeFrame("from the wire", port));
    tap_->Transmit(0, &batch, &user.sink);
    std::set<uint32_t> of_flow;
    for (int i = 0; i < 4; ++i) {
      SendTo(server.get(), port, "answer");
      of_flow.merge(QueuesOf("answer"));
    }
    EXPECT_EQ(of_flow.size(), 1u) << "port " << port;
    used.merge(of_flow);
  }
  EXPECT_EQ(used.size(), 4u);
}

// The kernel moves a flow to the queue that its answers are written to. Packets in two queues may
// overtake each other.
TEST_F(TapTest, AnswersLeaveAFlowInItsQueue) {
  Open(4);
  if (tap_ == nullptr) return;
  const UniqueFd server = Socket(2000);
  for (uint16_t port = 1000; port < 1016; ++port) {
    SendTo(server.get(), port, "question");
    std::set<uint32_t> of_flow = QueuesOf("question");
    PacketBatch batch;
    batch.Push(MakeFrame("answer of the wire", port));
    tap_->Transmit(0, &batch, &user.sink);
    SendTo(server.get(), port, "question");
    of_flow.merge(QueuesOf("question"));
    EXPECT_EQ(of_flow.size(), 1u) << "port " << port;
  }
}

TEST(FlowQueuesTest, APlaceBelongsToOneFlowUntilItIsSilent) {
  FlowQueues flows(1024);
  constexpr uint64_t kFirst = 0x1234'5678'9abc'def0;
  constexpr uint64_t kSecond = kFirst ^ 1ull << 63;  // the same place
  EXPECT_EQ(flows.Find(kFirst), std::nullopt);
  uint64_t now = 0xfffe;  // the time goes on past the bits that are kept
  flows.Note(kFirst, 3, now);
  EXPECT_EQ(flows.Find(kFirst), 3u);
  flows.Note(kFirst, 0, ++now);
  EXPECT_EQ(flows.Find(kFirst), 0u) << "the kernel has moved it";
  now += FlowQueues::kSilence - 1;
  flows.Note(kSecond, 1, now);
  EXPECT_EQ(flows.Find(kFirst), 0u);
  EXPECT_EQ(flows.Find(kSecond), std::nullopt);
  flows.Note(kSecond, 1, ++now);
  EXPECT_EQ(flows.Find(kFirst), std::nullopt);
  EXPECT_EQ(flows.Find(kSecond), 1u);
}

TEST_F(TapTest, ABatchOfSuperPacketsIsBounded) {
  Open(1);
  if (tap_ == nullptr) return;
  const UniqueFd socket_fd = Socket(2000);
  for (int i = 0; i < 60; ++i) SendTo(socket_fd.get(), 1000, std::string(1400, 'x'));
  PacketBatch batch;
  EXPECT_GE(tap_->Receive(0, &batch, &user.sink), 60u) << "ordinary packets fill a batch";
  for (Packet* packet : batch.packets()) user.sink.Recycle(packet);
  batch.ReleaseAll();
}

// Datagrams of the host, in a packet of the right pool and with their text.
TEST_F(TapTest, EachFrameIsReadIntoAPacketOfItsSize) {
  Open(1, 9000);
  if (tap_ == nullptr) return;
  PacketPools large{64, 4, 8};
  {
    test::PortUser reader{&large};
    const UniqueFd socket_fd = Socket(2000);
    const auto pool_of = [&](uint32_t bytes) -> const PacketPool* {
      std::string text(bytes, 'x');
      for (uint32_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i % 23);
      SendTo(socket_fd.get(), 1000, text);
      PacketBatch batch;
      EXPECT_EQ(tap_->Receive(0, &batch, &reader.sink), 1u) << bytes;
      if (batch.empty()) return nullptr;
      const PacketPool* pool = batch[0]->pool;
      EXPECT_EQ(TextOf(*batch[0]), text) << bytes;
      EXPECT_GE(batch[0]->tailroom(), kPacketTailroom);
      for (Packet* packet : batch.packets()) reader.sink.Recycle(packet);
      batch.ReleaseAll();
      return pool;
    };
    constexpr uint32_t kHeaders = kEthernetHeader + 28;
    for (uint32_t n = 1; n != 0;) {  // IPv6 may have said something before
      PacketBatch batch;
      n = tap_->Receive(0, &batch, &reader.sink);
      for (Packet* packet : batch.packets()) reader.sink.Recycle(packet);
      batch.ReleaseAll();
    }
    EXPECT_EQ(pool_of(10), &large.small);
    EXPECT_EQ(pool_of(kSmallFrame - kHeaders), &large.small);
    EXPECT_EQ(pool_of(kSmallFrame - kHeaders + 1), &large.large);
    EXPECT_EQ(pool_of(9000 - 28), &large.large);
    std::vector<Packet*> taken;
    while (Packet* packet = reader.caches.large.Take()) taken.push_back(packet);
    EXPECT_EQ(pool_of(9000 - 28), &large.jumbo) << "none is lost while others are there";
    EXPECT_EQ(pool_of(10), &large.small);
    for (Packet* packet : taken) reader.caches.Give(packet);
    ASSERT_TRUE(Run("ip link set nic0 mtu 60000"));  // by the operator
    EXPECT_EQ(pool_of(kLargeFrame - kHeaders), &large.large);
    EXPECT_EQ(pool_of(kLargeFrame - kHeaders + 1), &large.jumbo);
    EXPECT_EQ(pool_of(50'000), &large.jumbo);
    tap_.reset();
  }
  EXPECT_EQ(large.small.Available(), 64u);
  EXPECT_EQ(large.large.Available(), 8u);
  EXPECT_EQ(large.jumbo.Available(), 4u);
}

TEST_F(TapTest, AnMtuWithoutPacketsForItIsRefused) {
  const auto tap = TapPort::Create({.name = "nic0", .mtu = 9000});
  ASSERT_FALSE(tap);
  EXPECT_EQ(tap.error().message,
            "MTU 9000 is above 2226, because pools.large is 0: set it (10 KiB each), or set mtu = "
            "1500, which needs none");
  const auto larger = TapPort::Create({.name = "nic0", .mtu = 9217, .largest_mtu = kLargestMtu});
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().message, "MTU 9217 is above 9216");
}

TEST_F(TapTest, ARemovedInterfaceIsNotWaitedFor) {
  Open(2);
  if (tap_ == nullptr) return;
  ASSERT_TRUE(Run("ip link del nic0"));
  PacketBatch batch;
  EXPECT_EQ(tap_->Receive(0, &batch, &user.sink), 0u);
  EXPECT_EQ(tap_->wait_fd(0), -1);
  EXPECT_EQ(tap_->wait_fd(1), -1);
  batch.Push(MakeFrame("from the wire", 1000));
  tap_->Transmit(0, &batch, &user.sink);
  EXPECT_EQ(user.drops.Get(DropReason::kPortDown), 1u);
}

}  // namespace
}  // namespace cygnet
