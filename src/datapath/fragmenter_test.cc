// Packets cut into fragments, and reassembled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "datapath/fragment.h"
#include "datapath/reassembly.h"
#include "net/ip_protocol.h"
#include "support/fragment_builder.h"
#include "support/pools_test.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Get16;
using test::Get32;
using test::IpFields;
using test::IpPacket;
using test::Pattern;
using test::operator+;
using testing::ElementsAre;
using testing::SizeIs;

const IpFields kV4{.src = "192.0.2.1", .dst = "192.0.2.2", .proto = kProtoEsp, .id = 0xbeef};
const IpFields kV6{.src = "2001:db8::1", .dst = "2001:db8::2", .proto = kProtoEsp};

class FragmenterTest : public test::PoolsTest {
 protected:
  DropReason Cut(Packet* packet, uint32_t mtu, uint32_t id = 0xabcd1234) {
    const auto ip = ParseIpPacket(packet->l3());
    return FragmentPacket(packet, *ip, mtu, id, &sink_,
                          [this](Packet* fragment) { cut_.push_back(fragment); });
  }
  std::vector<Bytes> CutFrame(const Bytes& frame, uint32_t mtu) {
    EXPECT_EQ(Cut(test::MakePacket(&pools_, frame), mtu), DropReason::kNone);
    return Frames();
  }
  std::vector<Bytes> Frames() {
    std::vector<Bytes> out;
    for (Packet* packet : cut_) {
      out.push_back(test::ToBytes(packet->bytes()));
      sink_.Recycle(packet);
    }
    cut_.clear();
    return out;
  }

  std::vector<Packet*> cut_;
};

TEST_F(FragmenterTest, Ipv4FragmentsAreWhatRfc791Says) {
  const Bytes data = Pattern(3000);
  const auto f = [&](std::size_t begin, std::size_t end, bool more) {
    return Frame(test::FragmentOf(kV4, data, {begin, end, more}, kV4.id));
  };
  EXPECT_THAT(CutFrame(Frame(IpPacket(kV4, data)), 1500),
              ElementsAre(f(0, 1480, true), f(1480, 2960, true), f(2960, 3000, false)));
  EXPECT_EQ(AllDrops(), 0u);
}

TEST_F(FragmenterTest, Ipv6FragmentsAreWhatRfc8200Says) {
  const Bytes data = Pattern(3000);
  const auto f = [&](std::size_t begin, std::size_t end, bool more) {
    return Frame(test::FragmentOf(kV6, data, {begin, end, more}, 0xabcd1234));
  };
  EXPECT_THAT(CutFrame(Frame(IpPacket(kV6, data)), 1500),
              ElementsAre(f(0, 1448, true), f(1448, 2896, true), f(2896, 3000, false)));
}

TEST_F(FragmenterTest, TheLastPieceMayFillTheMtuToTheByte) {
  const auto frames = CutFrame(Frame(IpPacket(kV4, Pattern(976 + 979))), 999);
  ASSERT_THAT(frames, SizeIs(2));
  EXPECT_EQ(frames[0].size(), 14u + 20 + 976);
  EXPECT_EQ(frames[1].size(), 14u + 999);
}

TEST_F(FragmenterTest, OnlyOptionsMarkedForItAreInLaterFragments) {
  IpFields f = kV4;
  // Record route (not copied), no-op, router alert (copied), end.
  f.options = {7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0, 0, 0, 0, 0};
  const auto frames = CutFrame(Frame(IpPacket(f, Pattern(1200))), 600);
  ASSERT_THAT(frames, SizeIs(3));
  EXPECT_EQ(Bytes(frames[0].begin() + 34, frames[0].begin() + 50), f.options);
  for (const std::size_t i : {1u, 2u}) {
    EXPECT_EQ(frames[i][14], 0x46);
    EXPECT_EQ(Bytes(frames[i].begin() + 34, frames[i].begin() + 38), (Bytes{0x94, 4, 0, 0}));
    EXPECT_TRUE(test::Ipv4HeaderChecksumHolds(std::span(frames[i]).subspan(14)));
  }
}

TEST_F(FragmenterTest, MalformedOptionsEndTheList) {
  for (const Bytes& options :
       {Bytes{0x94, 0, 0, 0}, Bytes{0x94, 5, 0, 0}, Bytes{1, 1, 1, 0x94}, Bytes{0x94, 1, 0, 0}}) {
    IpFields f = kV4;
    f.options = options;
    const auto frames = CutFrame(Frame(IpPacket(f, Pattern(1000))), 600);
    ASSERT_THAT(frames, SizeIs(2));
    EXPECT_EQ(frames[1][14], 0x45);
  }
}

// RFC 8200 section 4.5: hop-by-hop options and what precedes a routing header go into every
// fragment, later destination options only into the first.
TEST_F(FragmenterTest, Ipv6PerFragmentHeadersAreRepeated) {
  IpFields f = kV6;
  f.proto = kProtoEsp;
  f.first_header = kProtoHopByHop;
  f.options = {kProtoDestOpts, 0, 1, 4, 0, 0, 0, 0, kProtoEsp, 0, 1, 4, 0, 0, 0, 0};
  const auto frames = CutFrame(Frame(IpPacket(f, Pattern(1500))), 1280);
  ASSERT_THAT(frames, SizeIs(2));
  for (const Bytes& frame : frames) {
    EXPECT_EQ(frame[14 + 6], kProtoHopByHop);
    EXPECT_EQ(frame[14 + 40], kProtoFragment);
    EXPECT_EQ(frame[14 + 48], kProtoDestOpts);
  }
  EXPECT_EQ(frames[0][14 + 56], kProtoEsp);  // the destination options, at the head of the data
  EXPECT_EQ(Get16(frames[1], 14 + 50) & 0xfff8, 1224);
}

TEST_F(FragmenterTest, FragmentsAreAsSealedAsThePacketWas) {
  Packet* packet = test::MakePacket(&pools_, Frame(IpPacket(kV4, Pattern(2000))));
  packet->interface = 3;
  packet->offload.status = OffloadStatus::kSealed;
  ASSERT_EQ(Cut(packet, 1500), DropReason::kNone);
  ASSERT_THAT(cut_, SizeIs(2));
  for (const Packet* fragment : cut_) {
    EXPECT_EQ(fragment->offload.status, OffloadStatus::kSealed);
    EXPECT_EQ(fragment->interface, 3);
    EXPECT_EQ(fragment->l3_offset, 14);
  }
  Frames();
}

TEST_F(FragmenterTest, WhatMayNotBeCutIsDropped) {
  IpFields df = kV4;
  df.dont_fragment = true;
  IpFields fragment = kV4;
  fragment.fragment = 5;
  IpFields chain = kV6;  // headers longer than the first fragment
  chain.first_header = kProtoDestOpts;
  chain.options = Bytes(1304, 0);
  chain.options[0] = kProtoEsp;
  chain.options[1] = 162;
  IpFields repeated = chain;  // no room for data after the repeated headers
  repeated.first_header = kProtoHopByHop;
  for (const IpFields& f : {df, fragment, chain, repeated}) {
    EXPECT_EQ(Cut(test::MakePacket(&pools_, Frame(IpPacket(f, Pattern(1500)))), 1280),
              DropReason::kOutTooBig);
  }
  EXPECT_EQ(Cut(test::MakePacket(&pools_, Frame(IpPacket(kV4, Pattern(1480)))), 1500),
            DropReason::kOutTooBig);  // it fits
  EXPECT_EQ(Cut(test::MakePacket(&pools_, Frame(IpPacket(kV4, Pattern(1480)))), 27),
            DropReason::kOutTooBig);
  EXPECT_EQ(Drops(DropReason::kOutTooBig), 6u);
  EXPECT_TRUE(cut_.empty());
}

TEST_F(FragmenterTest, PacketThatADeviceIsToSealIsNotCut) {
  Packet* packet = test::MakePacket(&pools_, Frame(IpPacket(kV4, Pattern(2000))));
  packet->offload.status = OffloadStatus::kSealRequested;
  EXPECT_EQ(Cut(packet, 1500), DropReason::kOutTooBig);
}

TEST_F(FragmenterTest, WithoutBuffersTheRestIsDropped) {
  Packet* packet = test::MakePacket(&pools_, Frame(IpPacket(kV4, Pattern(4000))));
  std::vector<Packet*> taken;
  while (Packet* p = caches_->small.Take()) taken.push_back(p);
  sink_.Recycle(taken.back());
  taken.pop_back();
  EXPECT_EQ(Cut(packet, 1500), DropReason::kNoBuffers);
  EXPECT_THAT(cut_, SizeIs(1));
  EXPECT_EQ(Drops(DropReason::kNoBuffers), 1u);
  Frames();
  for (Packet* p : taken) sink_.Recycle(p);
}

// Fragments of any packet, in any order, make the original.
class RoundTripOfFragmentsTest : public FragmenterTest,
                                 public testing::WithParamInterface<IpFields> {};

TEST_P(RoundTripOfFragmentsTest, ShuffledFragmentsMakeTheOriginal) {
  std::mt19937 random(42);
  const auto pick = [&](uint32_t from, uint32_t to) {
    return from + static_cast<uint32_t>(random() % (to - from + 1));
  };
  Reassembler reassembler(&sink_, 1);
  for (uint32_t i = 0; i < 2000; ++i) {
    const uint32_t mtu = pick(GetParam().options.empty() ? 552 : 1280, i % 4 == 0 ? 9000 : 1500);
    const uint32_t headers = static_cast<uint32_t>(IpPacket(GetParam(), {}).size());
    const uint32_t most = std::min(65535u - headers, mtu * 8);
    const Bytes data = Pattern(pick(mtu, most), static_cast<uint8_t>(i));
    const Bytes original = Frame(IpPacket(GetParam(), data));
    ASSERT_EQ(Cut(test::MakePacket(&pools_, original), mtu, i), DropReason::kNone);
    std::shuffle(cut_.begin(), cut_.end(), random);
    Packet* whole = nullptr;
    for (Packet* fragment : cut_) {
      ASSERT_EQ(whole, nullptr);
      ASSERT_LE(fragment->l3().size(), mtu);
      const auto ip = ParseIpPacket(fragment->l3());
      ASSERT_TRUE(ip && ip->fragment);
      ASSERT_EQ(ip->total_length, fragment->l3().size());
      whole = reassembler.Add(fragment, *ip, i);
    }
    cut_.clear();
    ASSERT_NE(whole, nullptr);
    ASSERT_EQ(test::ToBytes(whole->bytes()), original);
    ASSERT_TRUE(reassembler.Idle());
    sink_.Recycle(whole);
  }
  EXPECT_EQ(AllDrops(), 0u);
}

IpFields WithOptions(IpFields f) {
  if (test::Addr(f.src).family == IpFamily::kV4) {
    f.options = {0x94, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0};
  } else {
    f.first_header = kProtoHopByHop;
    f.options = {kProtoRouting, 0, 1, 4, 0, 0, 0, 0, kProtoDestOpts, 0, 0, 0, 0, 0, 0, 0};
    f.options = f.options + Bytes{kProtoEsp, 1, 1, 12} + Bytes(12, 0);
  }
  return f;
}

INSTANTIATE_TEST_SUITE_P(Families, RoundTripOfFragmentsTest,
                         testing::Values(kV4, WithOptions(kV4), kV6, WithOptions(kV6)),
                         [](const auto& f) {
                           const std::string family = f.index < 2 ? "V4" : "V6";
                           return family + (f.index % 2 == 0 ? "Plain" : "Options");
                         });

}  // namespace
}  // namespace cygnet
