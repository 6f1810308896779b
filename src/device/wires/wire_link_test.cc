// The behaviour of ports when the wire refuses frames, changes, disappears and comes back.
#include <algorithm>
#include <iterator>

#include "support/wire_port_fixture.h"

namespace cygnet {
namespace {

using test::kAfPacket;
using test::kAfXdp;
using testing::Values;

class WireLinkTest : public test::WirePortTest {};

// If its peer's MTU is smaller, the driver refuses larger frames: only those are lost.
TEST_P(WireLinkTest, WhatTheDriverRefusesHoldsUpNothing) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run("ip link set wb mtu 1300"));
  PacketBatch none;
  (void)far_->Receive(0, &none, &user.sink);
  constexpr uint32_t kLarge[] = {0, 1, 7, 20, 21, 63};  // at both ends, single, and adjacent
  PacketBatch batch;
  for (uint32_t i = 0; i < kMaxBatch; ++i) {
    const bool large = std::find(std::begin(kLarge), std::end(kLarge), i) != std::end(kLarge);
    batch.Push(MakeFrame(large ? std::string(1400, 'x') : "small " + std::to_string(i)));
  }
  near_->Transmit(0, &batch, &user.sink);
  EXPECT_EQ(user.drops.Get(DropReason::kPortRefused), std::size(kLarge));
  EXPECT_EQ(near_->stats().tx_packets, kMaxBatch - std::size(kLarge));
  Send(near_.get(), MakeFrame("the next batch"));
  std::vector<std::string> texts;
  ReceiveUntil(far_.get(), 0, [&](Packet* packet) {
    texts.push_back(TextOf(*packet));
    return texts.back() == "the next batch";
  });
  ASSERT_EQ(texts.size(), kMaxBatch - std::size(kLarge) + 1);
  EXPECT_EQ(texts[0], "small 2");
  EXPECT_EQ(texts[texts.size() - 2], "small 62");
}

// More refused frames than ring slots: the ring wraps and continues.
TEST_P(WireLinkTest, AFloodOfRefusedFramesIsCounted) {
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
  if (GetParam() == kAfPacket) {
    EXPECT_EQ(near_->stats().tx_bytes, 0u);
  }
  Send(near_.get(), MakeFrame("after the flood"));
  ReceiveUntil(far_.get(), 0, [](Packet* packet) { return TextOf(*packet) == "after the flood"; });
}

// Four bytes beyond the MTU are allowed for an 802.1Q tag only.
TEST_P(WireLinkTest, OnlyATaggedFrameIsFourBytesLonger) {
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

// The wire's MTU was reduced, and the port does not know yet.
TEST_P(WireLinkTest, AFrameAboveTheKernelsMtuIsCounted) {
  Open();
  if (near_ == nullptr || GetParam() == kAfXdp) return;  // does not check the MTU
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

TEST_P(WireLinkTest, WithoutALinkNothingIsSentAndNothingWaits) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run("ip link set wa down"));
  Send(near_.get(), MakeFrame("the port does not know yet"));
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

TEST_P(WireLinkTest, TheMtuFollowsTheWire) {
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

class PacketSocketTest : public test::WirePortTest {};

// Deleted and created again with the same name: another interface, which the old sockets do not
// serve.
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
      auto far = OpenWire(kAfPacket, Params("wb"));
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

// Moved to another namespace and back: the index is unchanged, but the sockets are dead.
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

INSTANTIATE_TEST_SUITE_P(AfPacket, PacketSocketTest, Values(kAfPacket));

INSTANTIATE_TEST_SUITE_P(All, WireLinkTest, Values(kAfPacket, kAfXdp), [](const auto& param) {
  return param.param == kAfXdp ? "AfXdp" : "AfPacket";
});

}  // namespace
}  // namespace cygnet
