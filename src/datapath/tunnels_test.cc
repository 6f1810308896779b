// Tunnel interfaces: which policies and SAs their packets find, in both directions.
#include "datapath/tunnels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "support/test_host.h"

namespace cygnet {
namespace {

using enum PolicyDirection;
using test::Bytes;
using test::Frame;
using test::MakePolicy;
using test::Pattern;
using test::TemplateFor;
using test::TestHost;
using test::Udp;
using testing::IsEmpty;
using testing::SizeIs;

// A port in memory that a worker always finds ready.
class ReadyPort final : public Port {
 public:
  explicit ReadyPort(MemoryPort* memory) : memory_(*memory), event_(eventfd(1, EFD_CLOEXEC)) {}
  std::string_view name() const override { return memory_.name(); }
  MacAddress mac() const override { return {}; }
  uint32_t mtu() const override { return memory_.mtu(); }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return memory_.stats(); }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    return memory_.Receive(queue, out, sink);
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    memory_.Transmit(queue, batch, sink);
  }
  int wait_fd(uint32_t) const override { return event_.get(); }
  bool PrepareWait(uint32_t) override { return true; }
  void FinishWait(uint32_t) override {}

 private:
  MemoryPort& memory_;
  const UniqueFd event_;
};

class TunnelsTest : public testing::Test {
 protected:
  TunnelsTest() { host_.SetAddresses({"192.0.2.1", "10.1.0.1"}); }

  // A tunnel with its policies and both of its SAs.
  uint16_t Add(uint32_t if_id, uint32_t mark, MemoryPort* port) {
    const uint16_t number = AddBare(if_id, mark, port);
    for (const bool out : {true, false}) {
      const test::SaOptions options = OptionsOf(if_id + mark, out);
      SaSpec spec = test::MakeSpec(options);
      spec.if_id = if_id;
      const auto sa = host_.Add(std::move(spec));
      sa->tunnel = number;
      sa->outbound()->next_hop.Set({2, 0, 0, 0, 0, 2}, 0);
      PolicySpec policy = out ? MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16")
                              : MakePolicy(kIn, "10.2.0.0/16", "10.1.0.0/16");
      policy.templates = {TemplateFor(options)};
      policy.if_id = if_id;
      policy.mark_value = mark;
      policy.mark_mask = mark == 0 ? 0 : ~uint32_t{0};
      policies_.push_back(host_.AddPolicy(std::move(policy)));
    }
    return number;
  }
  static test::SaOptions OptionsOf(uint32_t identity, bool out) {
    return {.src = out ? "192.0.2.1" : "192.0.2.2",
            .dst = out ? "192.0.2.2" : "192.0.2.1",
            .spi = 0x100 * identity + (out ? 0u : 1u),
            .reqid = identity};
  }
  // What the far end, which has no tunnels, sends by the SA.
  Bytes FromPeer(uint32_t identity) {
    TestHost peer(&pools_);
    peer.SetAddresses({"192.0.2.2", "10.2.0.1"});
    const test::SaOptions options = OptionsOf(identity, false);
    peer.Add(options);
    peer.AddPolicy(MakePolicy(kOut, "10.2.0.0/16", "10.1.0.0/16", {TemplateFor(options)}));
    return peer.Send(Frame(Udp({.src = "10.2.0.1", .dst = "10.1.0.1"}, 2000, 1000, Pattern(40))))
        .at(0);
  }
  uint16_t AddBare(uint32_t if_id, uint32_t mark, MemoryPort* port) {
    return (*host_.path.tunnels.Add({.if_id = if_id, .mark = mark, .mark_in = mark},
                                    std::make_unique<ReadyPort>(port)))
        ->number;
  }
  static Bytes Out() {
    return Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1000, 2000, Pattern(40)));
  }
  // The SPIs of what leaves if the host sends one packet through the tunnel.
  std::vector<uint32_t> SpisOf(MemoryPort* port) {
    port->arriving.push_back(test::MakePacket(&pools_, Out()));
    host_.Run();
    std::vector<uint32_t> spis;
    wire_ = host_.ToWire();
    for (const Bytes& frame : wire_) spis.push_back(LoadBe32(frame.data() + 34));
    return spis;
  }

  PacketPools pools_{512, 16};
  MemoryPort red_{"red"};
  MemoryPort blue_{"blue"};
  TestHost host_{&pools_};
  std::vector<std::shared_ptr<Policy>> policies_;
  std::vector<Bytes> wire_;
};

TEST_F(TunnelsTest, TheSameFlowUsesThePoliciesOfItsTunnel) {
  Add(7, 0, &red_);
  Add(8, 0, &blue_);
  for (int i = 0; i < 2; ++i) {  // the second time from the cache
    EXPECT_EQ(SpisOf(&red_), std::vector{0x700u});
    EXPECT_EQ(SpisOf(&blue_), std::vector{0x800u});
  }
  EXPECT_THAT(host_.Send(Out()), SizeIs(1))
      << "no policy is for the interface in front of the wire";
}

TEST_F(TunnelsTest, AMarkSelectsAsAnIdDoes) {
  Add(0, 4, &red_);
  Add(0, 5, &blue_);
  EXPECT_EQ(SpisOf(&red_), std::vector{0x400u});
  EXPECT_EQ(SpisOf(&blue_), std::vector{0x500u});
}

TEST_F(TunnelsTest, WhatComesInIsOfTheTunnelOfItsSa) {
  Add(7, 0, &red_);
  Add(8, 0, &blue_);
  host_.FromWire(FromPeer(8));
  host_.Run();
  EXPECT_EQ(blue_.sent.size(), 1u);
  EXPECT_TRUE(red_.sent.empty());
  EXPECT_THAT(host_.ToHost(), IsEmpty());
}

TEST_F(TunnelsTest, APacketWhoseTunnelIsGoneIsDropped) {
  const uint16_t number = Add(7, 0, &red_);
  const Bytes frame = FromPeer(7);
  host_.path.tunnels.Remove(number);
  EXPECT_THAT(host_.Receive(frame), IsEmpty());
  EXPECT_EQ(host_.Drops(DropReason::kInNoTunnel), 1u);
}

TEST_F(TunnelsTest, NothingLeavesInClearAndTheSenderIsTold) {
  AddBare(7, 0, &red_);
  PolicySpec pass = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16");
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(SpisOf(&red_), IsEmpty());
    ASSERT_EQ(red_.sent.size(), static_cast<std::size_t>(i + 1));
    const Packet& answer = *red_.sent[static_cast<std::size_t>(i)];
    EXPECT_EQ(answer.l3()[9], kProtoIcmp);
    EXPECT_EQ(answer.l3()[20], 3) << "destination unreachable";
    EXPECT_EQ(answer.l3()[21], 1) << "host";
    pass.if_id = 7;
    policies_.push_back(host_.AddPolicy(pass));  // one that would let it pass
    pass.selector.proto = 17;
  }
  EXPECT_EQ(host_.Drops(DropReason::kOutNoTunnelPolicy), 2u);
  EXPECT_EQ(host_.path.tunnels.at(1)->unprotected.load(), 2u);
}

class WaitForNextHopTest : public TunnelsTest {
 protected:
  WaitForNextHopTest() {
    Add(7, 0, &red_);
    Add(8, 0, &blue_);
    host_.path.sad.ForEach([this](const SaPtr& sa) {
      if (sa->spec().spi.value != 0x700) return;
      sa->outbound()->next_hop.Clear();
      waits_for_ = sa->outbound();
    });
  }
  void Learn() {
    waits_for_->next_hop.Set({2, 0, 0, 0, 0, 9}, 0);
    host_.path.BumpNextHops();
    host_.Run();
  }
  OutboundSa* waits_for_ = nullptr;
};

TEST_F(WaitForNextHopTest, PacketsWaitAndLeaveInOrder) {
  for (int i = 0; i < 3; ++i) EXPECT_THAT(SpisOf(&red_), IsEmpty());
  EXPECT_EQ(SpisOf(&blue_), std::vector{0x800u}) << "other tunnels do not wait";
  const auto events = host_.Events();
  ASSERT_FALSE(events.empty());
  EXPECT_LE(events.size(), 2u) << "control is not asked for each packet";
  EXPECT_EQ(events[0].kind, DataPathEvent::Kind::kNoNextHop);
  EXPECT_EQ(events[0].sa_number, waits_for_->sa->number);
  Learn();
  const auto frames = host_.ToWire();
  ASSERT_THAT(frames, SizeIs(3));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(frames[i][5], 9) << "to the neighbour";
    EXPECT_EQ(LoadBe32(frames[i].data() + 38), i + 1) << "sequence numbers";
  }
  EXPECT_EQ(SpisOf(&red_), std::vector{0x700u});
  EXPECT_EQ(host_.AllDrops(), 0u);
}

TEST_F(WaitForNextHopTest, TheSenderIsToldWhenNobodyAnswers) {
  for (int i = 0; i < 2; ++i) EXPECT_THAT(SpisOf(&red_), IsEmpty());
  host_.clock.monotonic_ns += (OutboundAdmission::kWaitForHopMs - 1) * 1'000'000;
  host_.Run();
  EXPECT_EQ(host_.AllDrops(), 0u);
  host_.clock.monotonic_ns += 1'000'000;
  host_.Run();
  EXPECT_EQ(host_.Drops(DropReason::kOutNoNextHop), 2u);
  ASSERT_EQ(red_.sent.size(), 2u);
  EXPECT_EQ(red_.sent[0]->l3()[20], 3) << "destination unreachable";
  EXPECT_EQ(red_.sent[0]->l3()[21], 1) << "host";
  EXPECT_EQ(host_.path.tunnels.at(1)->unprotected.load(), 0u);
  EXPECT_THAT(SpisOf(&red_), IsEmpty()) << "the next one waits again";
  Learn();
  EXPECT_THAT(host_.ToWire(), SizeIs(1));
}

TEST_F(WaitForNextHopTest, OneTunnelTakesAPartOfTheRoomOnly) {
  for (int i = 0; i < 65; ++i) EXPECT_THAT(SpisOf(&red_), IsEmpty());
  EXPECT_EQ(host_.Drops(DropReason::kOutHoldFull), 1u);
  Learn();
  EXPECT_THAT(host_.ToWire(), SizeIs(64));
}

TEST(TunnelNumbersTest, ANumberIsNotGivenAgainSoon) {
  DataPath path(1);
  MemoryPort memory("t");
  const auto add = [&] {
    return (*path.tunnels.Add({.if_id = 1}, std::make_unique<ReadyPort>(&memory)))->number;
  };
  const uint16_t first = add();
  path.tunnels.Remove(first);
  EXPECT_EQ(path.tunnels.at(first), nullptr);
  EXPECT_NE(add(), first);
  EXPECT_EQ(path.tunnels.size(), 1u);
}

}  // namespace
}  // namespace cygnet
