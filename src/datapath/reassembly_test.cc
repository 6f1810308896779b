// Fragments that are reassembled, and fragments that must not be.
#include "datapath/reassembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/fragment_builder.h"
#include "support/pools_test.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Cut;
using test::Frame;
using test::IpFields;
using test::IpPacket;
using test::Pattern;
using test::operator+;
using testing::ElementsAre;
using testing::IsEmpty;

const IpFields kV4{.src = "192.0.2.1", .dst = "192.0.2.2", .proto = kProtoEsp, .id = 0x1234};
const IpFields kV6{.src = "2001:db8::1", .dst = "2001:db8::2", .proto = kProtoEsp};

class ReassemblyBase : public test::PoolsTest {
 protected:
  ReassemblyBase() : reassembler_(std::in_place, &sink_, 0x5eed) {}
  void TearDown() override {
    reassembler_.reset();
    PoolsTest::TearDown();
  }

  // The reassembled packet, if any, as a frame.
  std::vector<Bytes> Add(const Bytes& frame, uint8_t interface = 0) {
    Packet* packet = test::MakePacket(&pools_, frame);
    packet->l3_offset = ParseL3(frame);
    packet->interface = interface;
    const auto ip = ParseIpPacket(packet->l3());
    if (!ip || !ip->fragment) {
      ADD_FAILURE() << "not a fragment";
      test::FreePacket(packet);
      return {};
    }
    Packet* whole = reassembler_->Add(packet, *ip, now_ms_);
    if (whole == nullptr) return {};
    last_interface_ = whole->interface;
    tailroom_ = whole->tailroom();
    jumbo_ = whole->pool == &pools_.jumbo;
    const std::vector<Bytes> out = {test::ToBytes(whole->bytes())};
    sink_.Recycle(whole);
    return out;
  }

  static uint16_t ParseL3(const Bytes& frame) {
    uint16_t at = 14;
    while (test::Get16(frame, at - 2u) == 0x8100) at = static_cast<uint16_t>(at + 4);
    return at;
  }

  std::optional<Reassembler> reassembler_;
  uint64_t now_ms_ = 1'000'000;
  uint8_t last_interface_ = 0;
  uint32_t tailroom_ = 0;
  bool jumbo_ = false;
};

// Both families.
class ReassemblyTest : public ReassemblyBase, public testing::WithParamInterface<IpFields> {
 protected:
  Bytes Piece(const Cut& cut, uint32_t id = 7) { return Frame(Raw(cut, id)); }
  Bytes Raw(const Cut& cut, uint32_t id = 7) {
    return test::FragmentOf(GetParam(), data_, cut, id);
  }
  Bytes Whole(uint16_t id = 7) const {
    IpFields f = GetParam();
    f.id = id;
    return Frame(IpPacket(f, data_));
  }
  bool v4() const { return test::Addr(GetParam().src).family == IpFamily::kV4; }

  Bytes data_ = Pattern(3000);
};

TEST_P(ReassemblyTest, AnyOrderGivesTheOriginal) {
  std::vector<Cut> cuts = {{0, 800}, {800, 1600}, {1600, 2400}, {2400, 3000, false}};
  std::vector<std::size_t> order = {0, 1, 2, 3};
  do {
    for (std::size_t i = 0; i < 3; ++i) EXPECT_THAT(Add(Piece(cuts[order[i]])), IsEmpty());
    EXPECT_THAT(Add(Piece(cuts[order[3]])), ElementsAre(Whole()));
    EXPECT_TRUE(jumbo_);
    EXPECT_TRUE(reassembler_->Idle());
    EXPECT_EQ(reassembler_->bytes_held(), 0u);
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(AllDrops(), 0u);
}

TEST_P(ReassemblyTest, WhatFitsTheFirstFragmentsBufferStaysThere) {
  data_ = Pattern(1601);
  EXPECT_THAT(Add(Piece({0, 1480})), IsEmpty());
  EXPECT_THAT(Add(Piece({1480, 1601, false})), ElementsAre(Whole()));
  EXPECT_FALSE(jumbo_);
  EXPECT_GE(tailroom_, kPacketTailroom);
}

TEST_P(ReassemblyTest, LargestPacketIsPutTogetherWithRoomBehindIt) {
  const std::size_t header = v4() ? 20 : 40;
  data_ = Pattern(65535 - header);
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < data_.size(); at += 1440) {
    EXPECT_THAT(out, IsEmpty());
    const std::size_t end = std::min(at + 1440, data_.size());
    out = Add(Piece({at, end, end < data_.size()}));
  }
  EXPECT_THAT(out, ElementsAre(Whole()));
  EXPECT_GE(tailroom_, kPacketTailroom);
}

TEST_P(ReassemblyTest, HeadersAndInterfaceAreTheFirstFragments) {
  const Bytes tags = {0x81, 0, 0, 5};
  Add(Piece({1600, 3000, false}), 2);
  const auto out = Add(Frame(Raw({0, 1600}), tags), 3);
  IpFields f = GetParam();
  f.id = 7;
  EXPECT_THAT(out, ElementsAre(Frame(IpPacket(f, data_), tags)));
  EXPECT_EQ(last_interface_, 3);
}

TEST_P(ReassemblyTest, EthernetPaddingIsNotData) {
  data_ = Pattern(24);
  EXPECT_THAT(Add(Piece({0, 16}) + Bytes(20, 0xee)), IsEmpty());
  EXPECT_THAT(Add(Piece({16, 24, false}) + Bytes(12, 0xee)), ElementsAre(Whole()));
}

TEST_P(ReassemblyTest, AnExactDuplicateIsNoLoss) {
  for (const Cut& cut :
       {Cut{0, 800}, Cut{0, 800}, Cut{1600, 3000, false}, Cut{1600, 3000, false}}) {
    EXPECT_THAT(Add(Piece(cut)), IsEmpty());
  }
  EXPECT_THAT(Add(Piece({800, 1600})), ElementsAre(Whole()));
  EXPECT_EQ(AllDrops(), 0u);
}

TEST_P(ReassemblyTest, SameRangeWithOtherBytesIsAnOverlap) {
  Add(Piece({0, 800}));
  Bytes forged = Piece({0, 800});
  forged.back() ^= 1;
  EXPECT_THAT(Add(forged), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInFragmentOverlap), 2u);
}

struct Clash {
  const char* name;
  Cut held;
  Cut added;
};
constexpr Clash kClashes[] = {
    {"reaches into the next", {800, 1600}, {0, 808}},
    {"begins in the one before", {0, 800}, {792, 1600}},
    {"lies within", {0, 800}, {8, 16}},
    {"lies around", {800, 1600}, {0, 2400}},
    {"same start, longer", {0, 800}, {0, 808}},
    {"same start, shorter", {0, 800}, {0, 792}},
    {"last and not the last", {800, 1600}, {800, 1600, false}},
    {"not the last and last", {800, 1600, false}, {800, 1600}},
    {"a second end, nearer", {1600, 2400, false}, {800, 1000, false}},
    {"a second end, further", {1600, 2400, false}, {2400, 3000, false}},
    {"beyond the end", {1600, 2400, false}, {2400, 2800}},
    {"an end before what is there", {1600, 2400}, {800, 1600, false}},
};

TEST_P(ReassemblyTest, FragmentsThatDoNotFitTakeTheDatagramWithThem) {
  uint64_t drops = 0;
  uint32_t id = 100;
  for (const Clash& clash : kClashes) {
    SCOPED_TRACE(clash.name);
    ++id;
    EXPECT_THAT(Add(Piece(clash.held, id)), IsEmpty());
    EXPECT_THAT(Add(Piece(clash.added, id)), IsEmpty());
    EXPECT_EQ(Drops(DropReason::kInFragmentOverlap), drops += 2);
    EXPECT_EQ(reassembler_->bytes_held(), 0u);
  }
  EXPECT_EQ(AllDrops(), drops);
}

TEST_P(ReassemblyTest, AfterAnOverlapNothingOfTheDatagramIsTakenUntilItsTimeIsUp) {
  Add(Piece({0, 800}));
  Add(Piece({792, 1600}));
  EXPECT_THAT(Add(Piece({0, 1600})), IsEmpty());
  EXPECT_THAT(Add(Piece({1600, 3000, false})), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInFragmentOverlap), 4u);
  now_ms_ += v4() ? Reassembler::kTimeoutV4Ms : Reassembler::kTimeoutV6Ms;
  EXPECT_THAT(Add(Piece({0, 1600})), IsEmpty());
  EXPECT_THAT(Add(Piece({1600, 3000, false})), ElementsAre(Whole()));
  EXPECT_EQ(AllDrops(), 4u);
}

TEST_P(ReassemblyTest, ALengthThatIsNoMultipleOf8IsForTheLastAlone) {
  Add(Piece({0, 801}));
  EXPECT_EQ(Drops(DropReason::kInBadHeader), 1u);
  Add(Piece({800, 800, false}));  // empty
  Add(Piece({0, 0}));
  EXPECT_EQ(Drops(DropReason::kInBadHeader), 3u);
  EXPECT_TRUE(reassembler_->Idle());
}

TEST_P(ReassemblyTest, NothingReachesBeyond65535Bytes) {
  data_ = Pattern(65536 + 8);
  Add(Piece({65528, 65536, false}));
  Add(Piece({65504, 65528}));
  EXPECT_EQ(Drops(DropReason::kInBadHeader), 2u);
  EXPECT_TRUE(reassembler_->Idle());
}

TEST_P(ReassemblyTest, TheRestMustComeInTime) {
  const uint64_t timeout = v4() ? 30'000 : 60'000;
  Add(Piece({0, 800}));
  now_ms_ += timeout - 1;
  Add(Piece({800, 1600}));  // does not extend the time
  reassembler_->Expire(now_ms_);
  EXPECT_FALSE(reassembler_->Idle());
  now_ms_ += 1;
  reassembler_->Expire(now_ms_);
  EXPECT_TRUE(reassembler_->Idle());
  EXPECT_EQ(Drops(DropReason::kInFragmentTimeout), 2u);
  EXPECT_EQ(AllDrops(), 2u);
}

TEST_P(ReassemblyTest, TheOldestDatagramMakesRoomForOneTooMany) {
  for (uint32_t id = 1; id <= Reassembler::kMaxDatagrams; ++id) Add(Piece({0, 8}, id));
  EXPECT_EQ(AllDrops(), 0u);
  Add(Piece({0, 8}, 1000));
  EXPECT_EQ(Drops(DropReason::kInFragmentMemory), 1u);
  EXPECT_EQ(reassembler_->in_progress(), Reassembler::kMaxDatagrams);
  data_ = Pattern(16);
  EXPECT_THAT(Add(Piece({8, 16, false}, 2)), ElementsAre(Whole(2)));
  EXPECT_THAT(Add(Piece({8, 16, false}, 1)), IsEmpty());
}

TEST_P(ReassemblyTest, BytesHeldAreBounded) {
  data_ = Pattern(64 * 8);
  uint64_t added = 0;
  for (uint32_t id = 1; id <= 20; ++id) {
    for (std::size_t i = 0; i < 60; ++i, ++added) {
      Add(Piece({i * 8, i * 8 + 8}, id));
      ASSERT_LE(reassembler_->bytes_held(), Reassembler::kMaxBytes);
    }
  }
  EXPECT_GT(reassembler_->bytes_held(), Reassembler::kMaxBytes * 8 / 10);
  const uint64_t held = reassembler_->bytes_held() / kSmallPacketBytes;
  EXPECT_EQ(Drops(DropReason::kInFragmentMemory), added - held);
  EXPECT_EQ(AllDrops(), added - held);
}

TEST_P(ReassemblyTest, OneDatagramMayNotHoldEverything) {
  const std::size_t n = Reassembler::kMaxFragments;
  data_ = Pattern((n + 1) * 8);
  for (std::size_t i = 0; i < n; ++i) EXPECT_THAT(Add(Piece({i * 8, i * 8 + 8})), IsEmpty());
  EXPECT_EQ(AllDrops(), 0u);
  EXPECT_THAT(Add(Piece({n * 8, n * 8 + 8, false})), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInFragmentMemory), n + 1);
  EXPECT_EQ(reassembler_->bytes_held(), 0u);
}

TEST_P(ReassemblyTest, ADatagramThatIsTheOldestGoesWithTheFragmentThatFindsNoRoom) {
  data_ = Pattern(20 * 3000);
  for (std::size_t i = 0; i < 15; ++i) Add(Piece({i * 3000, i * 3000 + 3000}));  // in jumbo buffers
  EXPECT_EQ(AllDrops(), 0u);
  EXPECT_THAT(Add(Piece({45000, 48000})), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInFragmentMemory), 16u);
  EXPECT_TRUE(reassembler_->Idle());
  EXPECT_EQ(reassembler_->bytes_held(), 0u);
}

TEST_P(ReassemblyTest, AsManyFragmentsAsAllowedMakeAPacket) {
  const std::size_t n = Reassembler::kMaxFragments;
  data_ = Pattern(n * 8);
  for (std::size_t i = n - 1; i > 0; --i) Add(Piece({i * 8, i * 8 + 8, i + 1 < n}));
  EXPECT_THAT(Add(Piece({0, 8})), ElementsAre(Whole()));
}

TEST_P(ReassemblyTest, WithoutAJumboBufferTheDatagramIsDropped) {
  std::array<Packet*, 32> taken;
  const uint32_t n = pools_.jumbo.Take(taken.data(), 32);
  Add(Piece({0, 1480}));
  EXPECT_THAT(Add(Piece({1480, 3000, false})), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInFragmentMemory), 2u);
  EXPECT_TRUE(reassembler_->Idle());
  EXPECT_EQ(reassembler_->bytes_held(), 0u);
  pools_.jumbo.Give(taken.data(), n);
}

TEST_P(ReassemblyTest, FragmentsOfOthersStayApart) {
  IpFields other = GetParam();
  other.src = v4() ? "192.0.2.9" : "2001:db8::9";
  Add(Piece({0, 1600}, 7));
  EXPECT_THAT(Add(Piece({1600, 3000, false}, 8)), IsEmpty());
  EXPECT_THAT(Add(Frame(test::FragmentOf(other, data_, {1600, 3000, false}, 7))), IsEmpty());
  EXPECT_EQ(reassembler_->in_progress(), 3u);
  other = GetParam();
  other.proto = kProtoIpcomp;  // distinguishes IPv4 datagrams, not IPv6 ones (RFC 8200)
  const auto out = Add(Frame(test::FragmentOf(other, data_, {1600, 3000, false}, 7)));
  EXPECT_EQ(out.empty(), v4());
}

// Not-ECT 0, ECT(1) 1, ECT(0) 2, CE 3.
TEST_P(ReassemblyTest, CongestionMarksAreKept) {
  struct Case {
    uint8_t first, second;
    std::optional<uint8_t> whole;
  };
  for (const Case& c :
       {Case{2, 3, 3}, Case{3, 2, 3}, Case{1, 3, 3}, Case{3, 3, 3}, Case{2, 2, 2}, Case{0, 0, 0},
        Case{2, 1, 2}, Case{0, 3, std::nullopt}, Case{3, 0, std::nullopt}}) {
    SCOPED_TRACE(testing::Message() << int{c.first} << " " << int{c.second});
    IpFields f = GetParam();
    f.id = 7;
    f.tos = static_cast<uint8_t>(0xb8 | c.first);
    Add(Frame(test::FragmentOf(f, data_, {0, 1600}, 7)));
    f.tos = static_cast<uint8_t>(0xb8 | c.second);
    const auto out = Add(Frame(test::FragmentOf(f, data_, {1600, 3000, false}, 7)));
    if (c.whole) {
      f.tos = static_cast<uint8_t>(0xb8 | *c.whole);
      EXPECT_THAT(out, ElementsAre(Frame(IpPacket(f, data_))));
    } else {
      EXPECT_THAT(out, IsEmpty());
    }
  }
  EXPECT_EQ(Drops(DropReason::kInFragmentOverlap), 4u);
  EXPECT_EQ(AllDrops(), 4u);
}

TEST_P(ReassemblyTest, WhatIsHeldAtTheEndGoesBack) {
  Add(Piece({0, 800}));
  Add(Piece({800, 1600}, 8));
  reassembler_.reset();
  EXPECT_EQ(AllDrops(), 0u);  // TearDown checks the pools
}

INSTANTIATE_TEST_SUITE_P(Families, ReassemblyTest, testing::Values(kV4, kV6),
                         [](const auto& f) { return f.index == 0 ? "V4" : "V6"; });

// --- Cases of one family ---

class ReassemblyV4Test : public ReassemblyBase {};
class ReassemblyV6Test : public ReassemblyBase {};

TEST_F(ReassemblyV4Test, OptionsAreTheFirstFragments) {
  IpFields with = kV4;
  with.options = {7, 7, 4, 0, 0, 0, 0, 0};
  const Bytes data = Pattern(1000);
  Add(Frame(test::FragmentOf(kV4, data, {800, 1000, false})));
  EXPECT_THAT(Add(Frame(test::FragmentOf(with, data, {0, 800}))),
              ElementsAre(Frame(IpPacket(with, data))));
}

TEST_F(ReassemblyV4Test, FirstHeaderThatMakesItTooLongIsRefused) {
  IpFields with = kV4;
  with.options = Bytes(40, 1);
  const Bytes data = Pattern(65515);
  for (std::size_t at = 1440; at < data.size(); at += 1440) {
    const std::size_t end = std::min(at + 1440, data.size());
    Add(Frame(test::FragmentOf(kV4, data, {at, end, end < data.size()})));
  }
  EXPECT_EQ(AllDrops(), 0u);
  EXPECT_THAT(Add(Frame(test::FragmentOf(with, data, {0, 1440}))), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInBadHeader), 46u);
  EXPECT_TRUE(reassembler_->Idle());
}

TEST_F(ReassemblyV6Test, HeadersOnBothSidesOfTheFragmentHeaderStay) {
  // Hop-by-hop options before the fragment header; destination options after it, as data.
  const Bytes data = Bytes{kProtoEsp, 0, 1, 4, 0, 0, 0, 0} + Pattern(1000);
  IpFields f = kV6;
  f.proto = kProtoDestOpts;
  f.first_header = kProtoHopByHop;
  f.options = {44, 0, 1, 4, 0, 0, 0, 0};
  Add(Frame(test::FragmentOf(f, data, {800, 1008, false})));
  const auto out = Add(Frame(test::FragmentOf(f, data, {0, 800})));
  f.options[0] = kProtoDestOpts;
  EXPECT_THAT(out, ElementsAre(Frame(IpPacket(f, data))));
}

TEST_F(ReassemblyV6Test, AnAtomicFragmentWaitsForNobody) {
  const Bytes data = Pattern(200);
  Add(Frame(test::FragmentOf(kV6, data, {0, 80})));
  EXPECT_THAT(Add(Frame(test::FragmentOf(kV6, data, {0, 200, false}))),
              ElementsAre(Frame(IpPacket(kV6, data))));
  EXPECT_EQ(reassembler_->in_progress(), 1u);
  EXPECT_EQ(AllDrops(), 0u);
}

TEST_F(ReassemblyV6Test, TheFirstFragmentHoldsTheHeaderChain) {  // RFC 7112
  IpFields f = kV6;
  f.proto = kProtoTcp;
  Add(Frame(test::FragmentOf(f, Pattern(100), {0, 16})));
  EXPECT_EQ(Drops(DropReason::kInBadHeader), 1u);
  Add(Frame(test::FragmentOf(f, Pattern(100), {0, 24})));
  EXPECT_EQ(AllDrops(), 1u);
  EXPECT_EQ(reassembler_->in_progress(), 1u);
}

TEST_F(ReassemblyV6Test, AFragmentOfAFragmentIsRefused) {
  IpFields f = kV6;
  f.proto = kProtoFragment;
  for (const bool more : {false, true}) {
    const Bytes data = test::FragmentHeader(kProtoEsp, 0, true, 9) + Pattern(64);
    EXPECT_THAT(Add(Frame(test::FragmentOf(f, data, {0, 72, more}))), IsEmpty());
  }
  const Bytes later = test::FragmentHeader(kProtoEsp, 800, true, 9) + Pattern(64);
  EXPECT_THAT(Add(Frame(test::FragmentOf(f, later, {0, 72, false}))), IsEmpty());
  // Held like any first fragment; detected when the datagram is whole.
  EXPECT_EQ(Drops(DropReason::kInBadHeader), 2u);
  const Bytes data = test::FragmentHeader(kProtoEsp, 0, true, 9) + Pattern(72);
  EXPECT_THAT(Add(Frame(test::FragmentOf(f, data, {72, 80, false}))), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInBadHeader), 3u);
  EXPECT_TRUE(reassembler_->Idle());
}

TEST_F(ReassemblyV6Test, TheOldestOfBothFamiliesGoesFirst) {
  Add(Frame(test::FragmentOf(kV6, Pattern(64), {0, 64}, 1)));
  ++now_ms_;
  for (uint32_t id = 1; id <= Reassembler::kMaxDatagrams; ++id) {
    Add(Frame(test::FragmentOf(kV4, Pattern(64), {0, 64}, id)));
  }
  EXPECT_EQ(Drops(DropReason::kInFragmentMemory), 1u);
  Add(Frame(test::FragmentOf(kV6, Pattern(64), {0, 64}, 2)));
  Add(Frame(test::FragmentOf(kV6, Pattern(64), {0, 64}, 1)));
  EXPECT_EQ(Drops(DropReason::kInFragmentMemory), 3u);
}

}  // namespace
}  // namespace cygnet
