#include "device/drivers/wire_port.h"

#include <algorithm>
#include <iterator>

#include "device/drivers/port_test_support.h"

namespace cygnet {
namespace {

using testing::Values;

class WirePortTest : public test::PortTest, public testing::WithParamInterface<WireDriver> {
 protected:
  // The port under test on wa, an AF_PACKET port on wb.
  void Open(const std::string& link = "", uint32_t queues = 1) {
    if (!MakeWire(link)) GTEST_SKIP() << "no network namespace of our own";
    auto far = OpenWire(WireDriver::kAfPacket, Params("wb"), 1);
    ASSERT_TRUE(far) << far.error().message;
    far_ = *std::move(far);
    auto near = OpenWire(GetParam(), Params("wa", queues), queues);
    if (!near && GetParam() == WireDriver::kAfXdp) GTEST_SKIP() << near.error().message;
    ASSERT_TRUE(near) << near.error().message;
    near_ = *std::move(near);
  }
  void Send(Port* port, Packet* packet) {
    PacketBatch batch;
    batch.Push(packet);
    port->Transmit(0, &batch, &user.sink);
  }
  static PortLink LinkOf(const std::string& interface) {
    const auto facts = LookAtWire(interface);
    EXPECT_TRUE(facts);
    return {.ifindex = facts->ifindex, .mtu = facts->mtu, .mac = facts->mac};
  }
  // Every queue's thread looks once: it takes up what is new.
  void ReceiveNothing() {
    for (uint32_t queue = 0; queue < near_->queues(); ++queue) {
      PacketBatch batch;
      near_->Receive(queue, &batch, &user.sink);
      for (Packet* packet : batch.packets()) user.sink.Recycle(packet);
      batch.ReleaseAll();
    }
  }
  bool SomeQueueReceives(const std::string& text) {
    for (int turns = 0; turns < 1000; ++turns) {
      for (uint32_t queue = 0; queue < near_->queues(); ++queue) {
        PacketBatch batch;
        near_->Receive(queue, &batch, &user.sink);
        bool found = false;
        for (Packet* packet : batch.packets()) {
          found = found || (packet->length > kEthernetHeader + 28 && TextOf(*packet) == text);
          user.sink.Recycle(packet);
        }
        batch.ReleaseAll();
        if (found) return true;
      }
      usleep(1000);
    }
    return false;
  }
  void ClearDrops() {
    for (auto& count : user.drops.count) count.store(0);
  }
  std::unique_ptr<Port> far_, near_;
};

TEST_P(WirePortTest, FramesPassBothWaysInOrder) {
  Open();
  if (near_ == nullptr) return;
  Port* const ends[2] = {near_.get(), far_.get()};
  for (int way = 0; way < 2; ++way) {
    // Before the first frame: what is to be received into must be in the kernel's hands.
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
  EXPECT_EQ(near_->stats().tx_copied, GetParam() == WireDriver::kAfXdp ? 1u : 0u);
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

// The pool gets back what the port and the kernel had.
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

// With its peer's interface narrower, the driver says no to what is larger: that is lost, alone.
TEST_P(WirePortTest, WhatTheDriverRefusesHoldsUpNothing) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run("ip link set wb mtu 1300"));
  PacketBatch none;
  (void)far_->Receive(0, &none, &user.sink);
  constexpr uint32_t kLarge[] = {0, 1, 7, 20, 21, 63};  // at both ends, alone, and side by side
  PacketBatch batch;
  for (uint32_t i = 0; i < kMaxBatch; ++i) {
    const bool large = std::find(std::begin(kLarge), std::end(kLarge), i) != std::end(kLarge);
    batch.Push(MakeFrame(large ? std::string(1400, 'x') : "small " + std::to_string(i)));
  }
  near_->Transmit(0, &batch, &user.sink);
  EXPECT_EQ(user.drops.Get(DropReason::kPortRefused), std::size(kLarge));
  EXPECT_EQ(near_->stats().tx_packets, kMaxBatch - std::size(kLarge));
  Send(near_.get(), MakeFrame("the next burst"));
  std::vector<std::string> texts;
  ReceiveUntil(far_.get(), 0, [&](Packet* packet) {
    texts.push_back(TextOf(*packet));
    return texts.back() == "the next burst";
  });
  ASSERT_EQ(texts.size(), kMaxBatch - std::size(kLarge) + 1);
  EXPECT_EQ(texts[0], "small 2");
  EXPECT_EQ(texts[texts.size() - 2], "small 62");
}

// More refused frames than the ring has slots: it goes round, and goes on.
TEST_P(WirePortTest, AFloodOfRefusedFramesIsCounted) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run("ip link set wb mtu 1300"));
  PacketBatch none;
  (void)far_->Receive(0, &none, &user.sink);
  constexpr uint64_t kFrames = 64 * 40;
  for (uint64_t sent = 0; sent < kFrames; sent += kMaxBatch) {
    PacketBatch batch;
    while (!batch.full()) batch.Push(MakeFrame(std::string(1400, 'x')));
    near_->Transmit(0, &batch, &user.sink);
  }
  EXPECT_EQ(user.drops.Get(DropReason::kPortRefused), kFrames);
  EXPECT_EQ(near_->stats().tx_packets, 0u);
  if (GetParam() == WireDriver::kAfPacket) {
    EXPECT_EQ(near_->stats().tx_bytes, 0u);
  }
  Send(near_.get(), MakeFrame("after the flood"));
  ReceiveUntil(far_.get(), 0, [](Packet* packet) { return TextOf(*packet) == "after the flood"; });
}

// Four bytes beyond the MTU are for an 802.1Q tag, and for nothing else.
TEST_P(WirePortTest, OnlyATaggedFrameIsFourBytesLonger) {
  Open();
  if (near_ == nullptr) return;
  for (const uint16_t kind : {uint16_t{0x0800}, uint16_t{0x8100}, uint16_t{0x88a8}}) {
    for (uint32_t over = 0; over <= 5; ++over) {
      Packet* packet = MakeFrame(std::string(1472 + over, 'x'));
      StoreBe16(packet->data() + 12, kind);
      const uint64_t dropped = user.drops.Get(DropReason::kPortTooBig);
      const uint64_t sent = near_->stats().tx_packets;
      Send(near_.get(), packet);
      const bool fits = over == 0 || (kind == 0x8100 && over <= 4);
      EXPECT_EQ(user.drops.Get(DropReason::kPortTooBig) - dropped, fits ? 0u : 1u)
          << std::hex << kind << " " << over;
      EXPECT_EQ(near_->stats().tx_packets - sent, fits ? 1u : 0u)
          << std::hex << kind << " " << over;
    }
  }
  EXPECT_EQ(user.drops.Get(DropReason::kPortRefused), 0u) << "the kernel agrees";
  int arrived = 0;
  ReceiveUntil(far_.get(), 0, [&arrived](Packet*) { return ++arrived == 7; });
}

// The kernel's word: the wire became narrower, and nobody has told the port yet.
TEST_P(WirePortTest, AFrameAboveTheKernelsMtuIsCounted) {
  Open();
  if (near_ == nullptr || GetParam() == WireDriver::kAfXdp) return;  // which does not look
  ASSERT_TRUE(Run("ip link set wa mtu 1300"));
  PacketBatch batch;
  batch.Push(MakeFrame("before"));
  batch.Push(MakeFrame(std::string(1400, 'x')));
  batch.Push(MakeFrame("behind"));
  near_->Transmit(0, &batch, &user.sink);
  EXPECT_EQ(user.drops.Get(DropReason::kPortRefused), 1u);
  EXPECT_EQ(near_->stats().tx_packets, 2u);
  ReceiveUntil(far_.get(), 0, [](Packet* packet) { return TextOf(*packet) == "behind"; });
}

TEST_P(WirePortTest, WithoutALinkNothingIsSentAndNothingWaits) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run("ip link set wa down"));
  Send(near_.get(), MakeFrame("nobody has told the port"));
  EXPECT_EQ(user.drops.Get(DropReason::kPortDown), 1u);
  PortLink link = LinkOf("wa");
  link.status = LinkStatus::kDown;
  ASSERT_TRUE(near_->Follow(link));
  EXPECT_EQ(near_->link(), LinkStatus::kDown);
  for (int i = 0; i < 100; ++i) Send(near_.get(), MakeFrame("while it is down"));
  EXPECT_EQ(user.drops.Get(DropReason::kPortDown), 101u);
  EXPECT_EQ(near_->stats().tx_packets, 0u);
  ASSERT_TRUE(Run("ip link set wa up"));
  ASSERT_TRUE(near_->Follow(LinkOf("wa")));
  PacketBatch none;
  (void)far_->Receive(0, &none, &user.sink);
  Send(near_.get(), MakeFrame("up again"));
  ReceiveUntil(far_.get(), 0, [](Packet* packet) {
    EXPECT_EQ(TextOf(*packet), "up again") << "stale";
    return TextOf(*packet) == "up again";
  });
  EXPECT_EQ(near_->stats().link_changes, 2u);
}

TEST_P(WirePortTest, TheMtuFollowsTheWire) {
  Open("mtu 2000");
  if (near_ == nullptr) return;
  EXPECT_EQ(near_->mtu(), 2000u);
  for (const uint32_t mtu : {1280u, 1500u, 2000u}) {
    ASSERT_TRUE(Run("ip link set wa mtu " + std::to_string(mtu)));
    ASSERT_TRUE(near_->Follow(LinkOf("wa")));
    EXPECT_EQ(near_->mtu(), mtu);
    ClearDrops();
    Send(near_.get(), MakeFrame(std::string(mtu - 27, 'x')));
    EXPECT_EQ(user.drops.Get(DropReason::kPortTooBig), 1u);
    Send(near_.get(), MakeFrame(std::string(mtu - 28, 'y')));
    ReceiveUntil(far_.get(), 0, [mtu](Packet* packet) { return packet->length == mtu + 14; });
  }
}

class PacketSocketTest : public WirePortTest {};

// Deleted, made anew by the same name: another interface, which the old sockets do not serve.
TEST_P(PacketSocketTest, AnInterfaceThatCameBackIsBoundAnew) {
  for (const uint32_t queues : {1u, 2u}) {
    near_.reset();
    far_.reset();
    Open("", queues);
    if (near_ == nullptr) return;
    for (int turn = 0; turn < 3; ++turn) {
      far_.reset();
      ASSERT_TRUE(Run("ip link del wa"));
      ASSERT_TRUE(near_->Follow({.status = LinkStatus::kGone}));
      Send(near_.get(), MakeFrame("into the void"));
      ASSERT_TRUE(Run("ip link add wa type veth peer name wb"));
      ASSERT_TRUE(Run("ip link set wa up") && Run("ip link set wb up"));
      ASSERT_TRUE(near_->Follow(LinkOf("wa")));
      EXPECT_EQ(near_->mac(), LinkOf("wa").mac);
      auto far = OpenWire(WireDriver::kAfPacket, Params("wb"), 1);
      ASSERT_TRUE(far);
      far_ = *std::move(far);
      ReceiveNothing();
      for (uint32_t queue = 0; queue < queues; ++queue) {
        PacketBatch batch;
        batch.Push(MakeFrame("by queue " + std::to_string(queue)));
        near_->Transmit(queue, &batch, &user.sink);
        ReceiveUntil(far_.get(), 0, [&](Packet* packet) {
          return TextOf(*packet) == "by queue " + std::to_string(queue);
        });
      }
      Send(far_.get(), MakeFrame("to one of them"));
      EXPECT_TRUE(SomeQueueReceives("to one of them"));
    }
    EXPECT_EQ(user.drops.Get(DropReason::kPortDown), 3u);
    ClearDrops();
  }
}

// Moved to another namespace and back, it has the index it had, and the sockets are dead.
TEST_P(PacketSocketTest, AnInterfaceThatWasElsewhereIsBoundAnew) {
  Open();
  if (near_ == nullptr) return;
  const int before = LinkOf("wa").ifindex;
  if (!Run("ip netns add elsewhere")) GTEST_SKIP() << "no named namespaces here";
  const bool moved = Run("ip link set wa netns elsewhere") &&
                     Run("ip -n elsewhere link set wa netns " + std::to_string(getpid()));
  EXPECT_TRUE(Run("ip netns del elsewhere"));
  ASSERT_TRUE(moved);
  ASSERT_TRUE(Run("ip link set wa up"));
  EXPECT_EQ(LinkOf("wa").ifindex, before);
  ASSERT_TRUE(near_->Follow(LinkOf("wa")));
  Send(near_.get(), MakeFrame("back home"));
  ReceiveUntil(far_.get(), 0, [](Packet* packet) { return TextOf(*packet) == "back home"; });
}

TEST_P(PacketSocketTest, WhatCannotBeBoundLeavesThePortAsItWas) {
  Open();
  if (near_ == nullptr) return;
  PortLink link = LinkOf("wa");
  link.ifindex = 9999;
  const Status status = near_->Follow(link);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("wa"), std::string::npos) << status.error().message;
  Send(near_.get(), MakeFrame("still there"));
  ReceiveUntil(far_.get(), 0, [](Packet* packet) { return TextOf(*packet) == "still there"; });
}

INSTANTIATE_TEST_SUITE_P(AfPacket, PacketSocketTest, Values(WireDriver::kAfPacket));

INSTANTIATE_TEST_SUITE_P(All, WirePortTest, Values(WireDriver::kAfPacket, WireDriver::kAfXdp),
                         [](const auto& param) {
                           return param.param == WireDriver::kAfXdp ? "AfXdp" : "AfPacket";
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
  const auto port = OpenWire(WireDriver::kAfXdp, Params("wa"), 1);
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().message.find("wa has 2 receive queues and is to be served by 1 threads"),
            std::string::npos)
      << port.error().message;
}

TEST_P(XdpPortTest, MtuAboveAPacketIsRefused) {
  if (!MakeWire("mtu 9000")) GTEST_SKIP() << "no network namespace of our own";
  const auto port = OpenWire(WireDriver::kAfXdp, Params("wa"), 1);
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().message.find("MTU 9000 of wa"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(AfXdp, XdpPortTest, Values(WireDriver::kAfXdp));

TEST(ChooseWireDriverTest, SaysWhy) {
  const struct {
    const char* kernel_driver;
    WireDriver expected;
    const char* reason;
  } cases[] = {
      {"veth", WireDriver::kAfPacket, "super-packets"},
      {"tun", WireDriver::kAfPacket, "super-packets"},
      {"virtio_net", WireDriver::kAfPacket, "checksums"},
      {"ice", WireDriver::kAfPacket, "not been measured on ice"},
      {"", WireDriver::kAfPacket, "not been measured on this kind"},
  };
  for (const auto& c : cases) {
    WireFacts facts;
    facts.kernel_driver = c.kernel_driver;
    const WireChoice choice = ChooseWireDriver(facts);
    EXPECT_EQ(choice.driver, c.expected) << c.kernel_driver;
    EXPECT_NE(choice.reason.find(c.reason), std::string::npos) << choice.reason;
  }
}

TEST(LookAtWireTest, NoSuchInterface) {
  EXPECT_FALSE(LookAtWire("no-such-if"));
  EXPECT_FALSE(LookAtWire(""));
  EXPECT_FALSE(LookAtWire("a-name-that-is-too-long"));
}

}  // namespace
}  // namespace cygnet
