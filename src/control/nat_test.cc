// NAT keep-alives are sent on time and parse; MAPPING is sent once a second for each address.
#include "control/nat.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/endian.h"
#include "datapath/path_mtu.h"
#include "net/checksum.h"
#include "net/flow_key.h"
#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::MakeSpec;

class NatTest : public test::ControlPlaneTest {
 protected:
  ~NatTest() override { (void)TakeFrames(); }

  void Add(const std::string& src, const std::string& dst, uint32_t interval) {
    SaSpec spec = MakeSpec({.src = src,
                            .dst = dst,
                            .spi = 0x100,
                            .encap = test::NatT(4500, 1024),
                            .direction = SaDirection::kOut});
    if (interval != 0) spec.rare.Change()->nat_keepalive = interval;
    const SaId id{.daddr = spec.daddr, .spi = spec.spi, .proto = kProtoEsp, .family = spec.family};
    ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
    sa_ = *control_->GetSa(id);
    sa_->outbound()->next_hop.Set({2, 0, 0, 0, 0, 9}, 0);
  }
  std::vector<std::vector<uint8_t>> TakeFrames() {
    std::vector<std::vector<uint8_t>> frames;
    Packet* packet = nullptr;
    while (path_.injected.Pop({&packet, 1}) == 1) {
      EXPECT_EQ(packet->interface, 0);
      frames.emplace_back(packet->bytes().begin(), packet->bytes().end());
      pools_.small.Give(&packet, 1);
    }
    return frames;
  }
  std::size_t FramesAfter(uint64_t seconds) {
    Pass(seconds);
    return TakeFrames().size();
  }
  void SendPacket() {
    const uint32_t size = 100;
    const Sa* sa = sa_.get();
    (void)const_cast<Sa*>(sa)->lifetime().Charge({&size, 1}, clock_.WallSeconds());
  }

  ConstSaPtr sa_;
};

TEST_F(NatTest, KeepalivesComeAnIntervalAfterTheLastUse) {
  Add("192.0.2.1", "192.0.2.2", 20);
  EXPECT_EQ(FramesAfter(1), 1u) << "a new mapping is made at once";
  EXPECT_EQ(FramesAfter(19), 0u);
  EXPECT_EQ(FramesAfter(1), 1u);
  Pass(10);
  SendPacket();
  EXPECT_EQ(FramesAfter(19), 0u) << "traffic does a keep-alive's work";
  EXPECT_EQ(FramesAfter(1), 1u);
}

TEST_F(NatTest, AWallClockThatIsSetBackSilencesNoKeepalives) {
  Add("192.0.2.1", "192.0.2.2", 20);
  SendPacket();
  EXPECT_EQ(FramesAfter(1), 0u);
  clock_.wall_seconds -= 3600;
  EXPECT_EQ(FramesAfter(18), 0u);
  EXPECT_EQ(FramesAfter(1), 1u);
  EXPECT_EQ(FramesAfter(19), 0u);
  clock_.wall_seconds -= 3600;
  EXPECT_EQ(FramesAfter(1), 1u);
  SendPacket();
  EXPECT_EQ(FramesAfter(19), 0u) << "an earlier time is a use as well";
  EXPECT_EQ(FramesAfter(1), 1u);
}

TEST_F(NatTest, NoKeepalivesWithoutIntervalOrNextHop) {
  Add("192.0.2.1", "192.0.2.2", 0);
  EXPECT_EQ(FramesAfter(100), 0u);
  ASSERT_TRUE(control_->FlushSas(0, {}));
  Add("192.0.2.1", "192.0.2.2", 20);
  sa_->outbound()->next_hop.Clear();
  EXPECT_EQ(FramesAfter(100), 0u);
  sa_->outbound()->next_hop.Set({2, 0, 0, 0, 0, 9}, 0);
  EXPECT_EQ(FramesAfter(1), 1u);
}

TEST_F(NatTest, KeepalivesThatNobodyTakesDoNotUseThePoolUp) {
  Add("192.0.2.1", "192.0.2.2", 1);
  for (int i = 0; i < 1000; ++i) Pass(1);
  EXPECT_LE(TakeFrames().size(), 256u);
}

void ExpectKeepalive(const std::vector<uint8_t>& frame, const MacAddress& own) {
  ASSERT_GT(frame.size(), kEthernetHeader);
  EXPECT_EQ(MacAddress({2, 0, 0, 0, 0, 9}), *ReadAt<MacAddress>(frame, 0));
  EXPECT_EQ(own, *ReadAt<MacAddress>(frame, 6));
  const std::span<const uint8_t> l3 = std::span(frame).subspan(kEthernetHeader);
  const auto ip = ParseIpPacket(l3);
  ASSERT_TRUE(ip.has_value());
  EXPECT_EQ(ip->flow.proto, kProtoUdp);
  EXPECT_EQ(ip->flow.sport, 4500);
  EXPECT_EQ(ip->flow.dport, 1024);
  EXPECT_EQ(ip->total_length, l3.size());
  const auto udp = l3.subspan(ip->header_length);
  ASSERT_EQ(udp.size(), 9u);
  EXPECT_EQ(LoadBe16(udp.data() + 4), 9);
  EXPECT_EQ(udp[8], 0xff);
  EXPECT_NE(LoadBe16(udp.data() + 6), 0);
  EXPECT_EQ(ChecksumFinish(ChecksumAdd(udp, PseudoHeaderSum(ip->flow.saddr, ip->flow.daddr,
                                                            ip->flow.family, kProtoUdp, 9))),
            0);
}

TEST_F(NatTest, TheFrameParsesInBothFamilies) {
  Add("192.0.2.1", "192.0.2.2", 20);
  Pass(1);
  auto frames = TakeFrames();
  ASSERT_EQ(frames.size(), 1u);
  ExpectKeepalive(frames[0], host_.mac());
  const auto header = std::span(frames[0]).subspan(kEthernetHeader, 20);
  EXPECT_EQ(Checksum(header), 0);
  ASSERT_TRUE(control_->FlushSas(0, {}));
  Add("2001:db8::1", "2001:db8::2", 20);
  Pass(1);
  frames = TakeFrames();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].size(), kEthernetHeader + 40 + 9);
  ExpectKeepalive(frames[0], host_.mac());
}

// --- ICMP errors that do not reach the SPI (RFC 792) ---

class ShortQuoteTest : public test::ControlPlaneTest {
 protected:
  ConstSaPtr Add(uint32_t spi, uint16_t dport) {
    EXPECT_TRUE(
        control_->AddSa(MakeSpec({.spi = spi, .encap = test::NatT(4500, dport)}), {}).has_value());
    return *control_->GetSa(IdOf(spi));
  }
  void NotifyMtu(uint32_t mtu) {
    const DataPathEvent event{.kind = DataPathEvent::Kind::kShortQuote,
                              .flow = {.saddr = test::Ip("192.0.2.1"),
                                       .daddr = test::Ip("192.0.2.2"),
                                       .sport = 4500,
                                       .dport = 4500,
                                       .family = IpFamily::kV4,
                                       .proto = kProtoUdp},
                              .mtu = mtu};
    path_.events[0]->Push({&event, 1});
    control_->OnBell();
  }
  uint32_t Learnt(const Sa& sa) { return LearntPathMtu(*sa.outbound(), clock_.WallSeconds()); }
};

TEST_F(ShortQuoteTest, IsAboutAllSasOfItsAddressesAndPorts) {
  const auto one = Add(0x100, 4500);
  const auto two = Add(0x101, 4500);
  const auto other = Add(0x102, 4501);
  NotifyMtu(1280);
  EXPECT_EQ(Learnt(*one), 1280u);
  EXPECT_EQ(Learnt(*two), 1280u);
  EXPECT_EQ(Learnt(*other), 0u);
}

TEST_F(ShortQuoteTest, TenASecondAreLookedAt) {
  const auto sa = Add(0x100, 4500);
  NotifyMtu(1400);
  NotifyMtu(1280);
  EXPECT_EQ(Learnt(*sa), 1400u);
  clock_.monotonic_ns += 100'000'000;
  NotifyMtu(1280);
  EXPECT_EQ(Learnt(*sa), 1280u);
}

// --- MAPPING ---

class MappingTest : public test::ControlPlaneTest {
 protected:
  void Add(std::optional<uint32_t> max_age) {
    SaSpec spec = MakeSpec({.spi = 0x100, .encap = test::NatT(4500, 4500)});
    spec.rare.Change()->mapping_max_age = max_age;
    ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
    recorder_.Take();
  }
  Events PacketFrom(const std::string& address, uint16_t port) {
    const DataPathEvent event{.kind = DataPathEvent::Kind::kMapping,
                              .sa_number = (*control_->GetSa(IdOf(0x100)))->number,
                              .flow = {.saddr = test::Ip(address),
                                       .daddr = test::Ip("192.0.2.2"),
                                       .sport = port,
                                       .dport = 4500,
                                       .family = IpFamily::kV4,
                                       .proto = kProtoUdp}};
    path_.events[0]->Push({&event, 1});
    control_->OnBell();
    return recorder_.Take();
  }
  void After(uint64_t seconds) { clock_.monotonic_ns += seconds * 1'000'000'000; }
};

TEST_F(MappingTest, IsToldOnceASecondForEachAddressAndChangesNothing) {
  Add(std::nullopt);
  EXPECT_EQ(PacketFrom("192.0.2.9", 1024), Events{"mapping 192.0.2.9 1024"});
  EXPECT_EQ(PacketFrom("192.0.2.9", 1024), Events{});
  EXPECT_EQ(PacketFrom("192.0.2.9", 1025), Events{"mapping 192.0.2.9 1025"});
  After(1);
  EXPECT_EQ(PacketFrom("192.0.2.9", 1024), Events{"mapping 192.0.2.9 1024"});
  EXPECT_EQ((*control_->GetSa(IdOf(0x100)))->spec().encap->sport, 4500);
}

TEST_F(MappingTest, TheSasOwnIntervalHolds) {
  Add(10);
  EXPECT_EQ(PacketFrom("192.0.2.9", 1024).size(), 1u);
  After(9);
  EXPECT_EQ(PacketFrom("192.0.2.9", 1024), Events{});
  After(1);
  EXPECT_EQ(PacketFrom("192.0.2.9", 1024).size(), 1u);
}

TEST_F(MappingTest, APeerThatMovesAlwaysIsToldOfAFewTimesASecond) {
  Add(std::nullopt);
  std::size_t told = 0;
  for (uint16_t port = 1; port <= 100; ++port) told += PacketFrom("192.0.2.9", port).size();
  EXPECT_EQ(told, 4u);
  After(1);
  EXPECT_EQ(PacketFrom("192.0.2.9", 200).size(), 1u);
}

TEST_F(MappingTest, WhatTheSaSaysByNowIsNoNews) {
  Add(std::nullopt);
  EXPECT_EQ(PacketFrom("192.0.2.1", 4500), Events{});
}

// --- Held packets ---

TEST_F(MappingTest, LarvalDropIsReadAtEachTick) {
  EXPECT_FALSE(path_.hold_larval.load());
  settings_.larval_drop = false;
  control_->Tick();
  EXPECT_TRUE(path_.hold_larval.load());
  settings_.larval_drop = true;
  control_->Tick();
  EXPECT_FALSE(path_.hold_larval.load());
}

}  // namespace
}  // namespace cygnet
