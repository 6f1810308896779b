#include "device/wires/wire_port.h"

#include "support/wire_port_fixture.h"

namespace cygnet {
namespace {

using test::kAfPacket;
using test::kAfXdp;
using test::WirePortTest;
using testing::Values;

TEST_P(WirePortTest, FramesPassBothWaysInOrder) {
  Open();
  if (near_ == nullptr) return;
  Port* const ends[2] = {near_.get(), far_.get()};
  for (int way = 0; way < 2; ++way) {
    // Before the first frame: the kernel must already hold packets to receive into.
    PacketBatch none;
    EXPECT_EQ(ends[1 - way]->Receive(0, &none, &user.sink), 0u);
    constexpr int kFrames = 3000;  // more than any ring holds
    int expected = 0;
    for (int sent = 0; sent < kFrames;) {
      PacketBatch batch;
      for (int i = 0; i < 20; ++i) batch.Push(MakeFrame("frame " + std::to_string(sent++)));
      ends[way]->Transmit(0, &batch, &user.sink);
      ReceiveUntil(ends[1 - way], 0, [&](Packet* packet) {
        EXPECT_EQ(TextOf(*packet), "frame " + std::to_string(expected));
        EXPECT_EQ(packet->l3_offset, kEthernetHeader);
        EXPECT_GE(packet->headroom(), kPacketHeadroom - 256u);
        EXPECT_GE(packet->tailroom(), kPacketTailroom);
        return ++expected == sent;
      });
      ASSERT_EQ(expected, sent);
    }
    EXPECT_EQ(ends[way]->stats().tx_packets, static_cast<uint64_t>(kFrames));
    EXPECT_EQ(ends[1 - way]->stats().rx_packets, static_cast<uint64_t>(kFrames));
    EXPECT_EQ(ends[1 - way]->stats().rx_dropped, 0u);
  }
}

TEST_P(WirePortTest, ALinkThatWentDownDoesNotEndEveryWait) {
  Open();
  if (near_ == nullptr) return;
  const auto wait = [&] {
    PacketBatch none;
    (void)near_->Receive(0, &none, &user.sink);
    near_->PrepareWait(0);
    pollfd ready{near_->wait_fd(0), POLLIN, 0};
    const int woken = poll(&ready, 1, 20);
    near_->FinishWait(0);
    return woken;
  };
  ASSERT_TRUE(Run("ip link set wa down"));
  (void)wait();  // once it may say so
  EXPECT_EQ(wait(), 0);
  ASSERT_TRUE(Run("ip link set wa up"));
  (void)wait();
  EXPECT_EQ(wait(), 0);
  Send(far_.get(), MakeFrame("after all"));
  ReceiveUntil(near_.get(), 0, [](Packet* packet) { return TextOf(*packet) == "after all"; });
}

TEST_P(WirePortTest, TooLargeIsDroppedAndAJumboPacketIsSent) {
  Open();
  if (near_ == nullptr) return;
  Send(near_.get(), MakeFrame(std::string(1600, 'x')));
  EXPECT_EQ(user.drops.Get(DropReason::kPortTooBig), 1u);
  Send(near_.get(), MakeFrame("from a jumbo packet", 1000, true));
  ReceiveUntil(far_.get(), 0,
               [](Packet* packet) { return TextOf(*packet) == "from a jumbo packet"; });
  EXPECT_EQ(near_->stats().tx_copied, GetParam() == kAfXdp ? 1u : 0u);
}

TEST_P(WirePortTest, JumboFramesPassBothWays) {
  Open("mtu 9000");
  if (near_ == nullptr) return;
  Port* const ends[2] = {near_.get(), far_.get()};
  constexpr std::size_t kSizes[] = {10, 2100, 2212, 2213, 2600, 5200, 8000, 9000 - 28};
  for (int way = 0; way < 2; ++way) {
    PacketBatch none;
    EXPECT_EQ(ends[1 - way]->Receive(0, &none, &user.sink), 0u);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::string> texts;
      PacketBatch batch;
      for (const std::size_t size : kSizes) {
        std::string text(size, 'x');
        for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i + size) % 23);
        batch.Push(MakeFrame(text, 1000, size > 2000));
        texts.push_back(std::move(text));
      }
      ends[way]->Transmit(0, &batch, &user.sink);
      std::size_t received = 0;
      ReceiveUntil(ends[1 - way], 0, [&](Packet* packet) {
        EXPECT_TRUE(TextOf(*packet) == texts[received])
            << "way " << way << ", round " << round << ": " << packet->length
            << " bytes instead of " << texts[received].size() + 28 + kEthernetHeader;
        EXPECT_EQ(packet->l3_offset, kEthernetHeader);
        EXPECT_GE(packet->headroom(), kPacketHeadroom - 256u);
        EXPECT_GE(packet->tailroom(), kPacketTailroom);
        return ++received == texts.size();
      });
      ASSERT_EQ(received, texts.size());
    }
    EXPECT_EQ(ends[way]->stats().tx_packets, 200 * std::size(kSizes));
    EXPECT_EQ(ends[1 - way]->stats().rx_packets, 200 * std::size(kSizes));
  }
  Send(near_.get(), MakeFrame(std::string(9000 - 28 + 1, 'x'), 1000, true));
  EXPECT_EQ(user.drops.Get(DropReason::kPortTooBig), 1u);
  // While the interface is down, each frame counts once.
  ASSERT_TRUE(Run("ip link set wa down"));
  Send(near_.get(), MakeFrame(std::string(8000, 'x'), 1000, true));
  EXPECT_EQ(user.drops.Get(DropReason::kPortDown), 1u);
  near_.reset();
  far_.reset();
  for (PacketCache* cache : {&user.caches.small, &user.caches.jumbo}) {
    std::vector<Packet*> all;
    while (Packet* packet = cache->Take()) all.push_back(packet);
    EXPECT_EQ(all.size(), cache->pool()->count());
    for (Packet* packet : all) cache->Give(packet);
  }
}

// A jumbo frame for which there is no packet is dropped whole; the next one arrives.
TEST_P(WirePortTest, AJumboFrameWithoutAPacketIsCountedOnce) {
  Open("mtu 9000");
  if (near_ == nullptr) return;
  PacketBatch none;
  (void)near_->Receive(0, &none, &user.sink);
  Send(far_.get(), MakeFrame(std::string(8000, 'x'), 1000, true));
  Send(far_.get(), MakeFrame("between"));
  std::vector<Packet*> taken;
  while (Packet* packet = user.caches.jumbo.Take()) taken.push_back(packet);
  ReceiveUntil(near_.get(), 0, [](Packet* packet) { return TextOf(*packet) == "between"; });
  EXPECT_EQ(user.drops.Get(DropReason::kNoBuffers), 1u);
  for (Packet* packet : taken) user.caches.Give(packet);
  Send(far_.get(), MakeFrame(std::string(8000, 'y'), 1000, true));
  ReceiveUntil(near_.get(), 0,
               [](Packet* packet) { return TextOf(*packet) == std::string(8000, 'y'); });
}

TEST_P(WirePortTest, OverrunIsCounted) {
  Open();
  if (near_ == nullptr) return;
  PacketBatch none;
  (void)near_->Receive(0, &none, &user.sink);
  constexpr uint64_t kFrames = 6400;
  for (uint64_t sent = 0; sent < kFrames; sent += 64) {
    PacketBatch batch;
    while (!batch.full()) batch.Push(MakeFrame("flood"));
    far_->Transmit(0, &batch, &user.sink);
  }
  uint64_t received = 0;
  for (uint32_t n = 1; n != 0;) {
    PacketBatch batch;
    n = near_->Receive(0, &batch, &user.sink);
    received += n;
    for (Packet* packet : batch.packets()) user.sink.Recycle(packet);
    batch.ReleaseAll();
  }
  EXPECT_GT(received, 0u);
  EXPECT_LT(received, kFrames);
  EXPECT_EQ(received + near_->stats().rx_dropped, kFrames);
}

// The pool gets back the packets of the port and the kernel.
TEST_P(WirePortTest, ClosingGivesPacketsBack) {
  Open();
  if (near_ == nullptr) return;
  PacketBatch none;
  (void)near_->Receive(0, &none, &user.sink);
  Send(near_.get(), MakeFrame("last words"));
  near_.reset();
  far_.reset();
  std::vector<Packet*> all;
  while (Packet* packet = user.caches.small.Take()) all.push_back(packet);
  EXPECT_EQ(all.size(), pools.small.count());
  for (Packet* packet : all) user.caches.Give(packet);
}

INSTANTIATE_TEST_SUITE_P(All, WirePortTest, Values(kAfPacket, kAfXdp), [](const auto& param) {
  return param.param == kAfXdp ? "AfXdp" : "AfPacket";
});

class XdpPortTest : public WirePortTest {};

TEST_P(XdpPortTest, TwoQueuesSendAndReceive) {
  Open("numtxqueues 2 numrxqueues 2", 2);
  if (near_ == nullptr) return;
  ASSERT_EQ(near_->queues(), 2u);
  for (uint32_t queue = 0; queue < 2; ++queue) {
    PacketBatch none;
    (void)near_->Receive(queue, &none, &user.sink);
    PacketBatch batch;
    batch.Push(MakeFrame("by queue " + std::to_string(queue)));
    near_->Transmit(queue, &batch, &user.sink);
    ReceiveUntil(far_.get(), 0, [&](Packet* packet) {
      return TextOf(*packet) == "by queue " + std::to_string(queue);
    });
  }
  Send(far_.get(), MakeFrame("to one of them"));
  uint64_t received = 0;
  for (int turns = 0; turns < 1000 && received == 0; ++turns) {
    for (uint32_t queue = 0; queue < 2; ++queue) {
      PacketBatch batch;
      received += near_->Receive(queue, &batch, &user.sink);
      for (Packet* packet : batch.packets()) user.sink.Recycle(packet);
      batch.ReleaseAll();
    }
    if (received == 0) usleep(1000);
  }
  EXPECT_EQ(received, 1u);
}

TEST_P(XdpPortTest, QueuesWithoutAThreadAreRefused) {
  if (!MakeWire("numtxqueues 2 numrxqueues 2")) GTEST_SKIP() << "no network namespace of our own";
  const auto port = OpenWire(kAfXdp, Params("wa"));
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().message.find("wa has 2 receive queues, but 1 threads serve it"),
            std::string::npos)
      << port.error().message;
}

// A port that was opened for plain frames.
TEST_P(XdpPortTest, AWireThatBecomesAJumboOneStaysNarrow) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(near_->Follow({.ifindex = LinkOf("wa").ifindex, .mtu = 9000}));
  EXPECT_EQ(near_->mtu(), 2222u);
  Send(near_.get(), MakeFrame(std::string(8000, 'x'), 1000, true));
  EXPECT_EQ(user.drops.Get(DropReason::kPortTooBig), 1u);
}

TEST_P(XdpPortTest, ProgramOfAnotherIsNotReplaced) {
  if (!MakeWire("mtu 9000")) GTEST_SKIP() << "no network namespace of our own";
  const auto first = OpenWire(kAfXdp, Params("wa"));
  if (!first) GTEST_SKIP() << first.error().message;
  const auto second = OpenWire(kAfXdp, Params("wa"));
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another program"), std::string::npos)
      << second.error().message;
}

INSTANTIATE_TEST_SUITE_P(AfXdp, XdpPortTest, Values(kAfXdp));

TEST(ChooseWireTest, SaysWhy) {
  const struct {
    const char* kernel_driver;
    const char* reason;
  } cases[] = {
      {"veth", "super-packets"},
      {"tun", "super-packets"},
      {"virtio_net", "checksums"},
      {"ice", "not been measured on ice"},
      {"", "not been measured on this kind"},
  };
  for (const auto& c : cases) {
    WireFacts facts;
    facts.kernel_driver = c.kernel_driver;
    const auto choice = ChooseWire(facts);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->wire->name, kAfPacket) << c.kernel_driver;
    EXPECT_NE(choice->reason.find(c.reason), std::string::npos) << choice->reason;
  }
}

TEST(OpenWireTest, ACardIsNotAWire) {
  const auto port = OpenWire("sim_nic", {});
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().message, "unknown wire driver 'sim_nic'");
}

TEST(ProbeWireTest, NoSuchInterface) {
  EXPECT_FALSE(ProbeWire("no-such-if"));
  EXPECT_FALSE(ProbeWire(""));
  EXPECT_FALSE(ProbeWire("a-name-that-is-too-long"));
}

}  // namespace
}  // namespace cygnet
