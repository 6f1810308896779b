#include "sa/sa.h"

#include <gtest/gtest.h>

#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakeSa;
using test::SaOptions;

TEST(SaTest, HalvesFollowTheDirection) {
  struct Case {
    const char* name;
    SaDirection direction;
    std::optional<bool> offload_inbound;
    bool outbound;
    bool inbound;
  };
  const Case cases[] = {{"not said", SaDirection::kUnspec, {}, true, true},
                        {"out", SaDirection::kOut, {}, true, false},
                        {"in", SaDirection::kIn, {}, false, true},
                        {"offloaded out", SaDirection::kUnspec, false, true, false},
                        {"offloaded in", SaDirection::kUnspec, true, false, true}};
  for (const Case& c : cases) {
    SaOptions o{.direction = c.direction};
    if (c.offload_inbound) o.offload = OffloadRequest{OffloadMode::kCrypto, 1, *c.offload_inbound};
    const auto sa = MakeSa(o);
    EXPECT_EQ(sa->outbound() != nullptr, c.outbound) << c.name;
    EXPECT_EQ(sa->inbound() != nullptr, c.inbound) << c.name;
  }
}

TEST(SaTest, LengthsComeFromTheAlgorithm) {
  const auto sa = MakeSa({.icv_bytes = 12, .encap = test::NatT()});
  EXPECT_EQ(sa->outbound()->layout.iv, 8);
  EXPECT_EQ(sa->outbound()->layout.icv, 12);
  EXPECT_EQ(sa->outbound()->layout.align, 4);
  EXPECT_EQ(sa->outbound()->layout.udp, 8);
  EXPECT_EQ(sa->outbound()->header_length, 20 + 8 + 4);
}

TEST(SaTest, SaltIsTheEndOfTheKeyMaterial) {
  const auto sa = MakeSa({.key_bytes = 32});
  const auto key = sa->spec().aead.key.bytes();
  EXPECT_TRUE(std::equal(key.end() - 4, key.end(), sa->outbound()->salt.begin()));
  EXPECT_TRUE(std::equal(key.end() - 4, key.end(), sa->inbound()->salt.begin()));
}

TEST(SaTest, LarvalHasNoHalves) {
  const Sa sa(test::MakeSpec(), 5, Sa::Larval{});
  EXPECT_EQ(sa.state(), SaState::kLarval);
  EXPECT_FALSE(sa.usable());
  EXPECT_EQ(sa.outbound(), nullptr);
  EXPECT_EQ(sa.inbound(), nullptr);
  EXPECT_EQ(sa.lifetime().usage().add_time, 5u);
}

TEST(SaTest, StatsAreSumsOfDrops) {
  const auto sa = MakeSa();
  sa->CountDrop(DropReason::kInReplayOld);
  sa->CountDrop(DropReason::kInReplayZero);
  sa->CountDrop(DropReason::kInReplayDuplicate);
  sa->CountDrop(DropReason::kInAuthFailed);
  sa->CountDrop(DropReason::kInLateBeyondWindow);
  sa->CountDrop(DropReason::kInBadTrailer);
  EXPECT_EQ(sa->stats().replay_window, 2u);
  EXPECT_EQ(sa->stats().replay, 1u);
  EXPECT_EQ(sa->stats().integrity_failed, 2u);
  EXPECT_EQ(sa->drops(DropReason::kInBadTrailer), 1u);
}

TEST(SaTest, ExportedCountersMoveWithTraffic) {
  const auto sa = MakeSa({.window = 64});
  sa->outbound()->sequence.Reserve(10);
  sa->inbound()->replay.Commit(3);
  const ReplayState state = sa->ExportReplay();
  EXPECT_EQ(state.oseq, 10u);
  EXPECT_EQ(state.seq, 3u);
  EXPECT_EQ(state.bitmap[0], 1u << 2);
}

TEST(SaTest, ReplayWindowIsAtLeastWhatTheOperatorSays) {
  const auto widened = [](uint32_t window) {
    SaSpec spec = test::MakeSpec({.window = window});
    spec.SetReplayAtLeast(8192);
    return spec;
  };
  const Sa sa(widened(64), 1000, 0);
  EXPECT_EQ(sa.inbound()->replay.window(), 8192u);
  EXPECT_EQ(sa.ExportReplay().window, 64u);
  EXPECT_EQ(MakeSa({.window = 64})->inbound()->replay.window(), 64u);
  const Sa none(widened(0), 1000, 0);
  EXPECT_EQ(none.inbound()->replay.window(), 0u);
}

// RFC 4303 section 3.3.3: the counter must not cycle; with oseq-may-wrap only its low half may.
TEST(SaTest, SequenceNumbersEndWhereTheSaSays) {
  struct Case {
    const char* name;
    uint8_t flags;
    uint32_t extra_flags;
    uint64_t oseq;
    uint32_t left;  // of 10 requested
  };
  const Case cases[] = {
      {"32 bits", 0, 0, 0xfffffffd, 2},
      {"32 bits, all used", 0, 0, 0xffffffff, 0},
      {"32 bits, beyond", 0, 0, 0x1'00000000, 0},
      {"may wrap", 0, kSaExtraOseqMayWrap, 0xfffffffd, 10},
      {"may wrap, but not the 64 bits behind", 0, kSaExtraOseqMayWrap, ~uint64_t{0} - 1, 1},
      {"ESN", kSaFlagEsn, 0, 0xfffffffd, 10},
      {"ESN ends too", kSaFlagEsn, 0, ~uint64_t{0} - 3, 3},
  };
  for (const Case& c : cases) {
    const auto sa = MakeSa({.flags = c.flags, .extra_flags = c.extra_flags, .oseq = c.oseq});
    const SequenceRange range = sa->outbound()->sequence.Reserve(10);
    EXPECT_EQ(range.count, c.left) << c.name;
    if (c.left > 0) {
      EXPECT_EQ(range.first, c.oseq + 1) << c.name;
    }
  }
}

TEST(SaTest, BeetHasTheInnerAddressesOfItsSelector) {
  const auto cross =
      MakeSa({.mode = SaMode::kBeet, .inner_src = "fd01::1", .inner_dst = "fd02::1"});
  EXPECT_EQ(cross->outbound()->inner_family, IpFamily::kV6);
  EXPECT_EQ(cross->outbound()->family, IpFamily::kV4);
  EXPECT_EQ(cross->outbound()->header_length, 20 + 4);
  EXPECT_EQ(cross->inbound()->beet->family, IpFamily::kV6);
  EXPECT_EQ(cross->inbound()->beet->saddr, test::Ip("fd01::1"));
  EXPECT_EQ(cross->inbound()->beet->daddr, test::Ip("fd02::1"));
  SaSpec unspec = test::MakeSpec({.mode = SaMode::kBeet});
  unspec.selector = Selector();
  EXPECT_EQ(BeetInnerOf(unspec).family, IpFamily::kV4);
  EXPECT_FALSE(MakeSa()->inbound()->beet.has_value());
}

TEST(SaTest, TfcPaddingIsForTunnels) {
  EXPECT_EQ(MakeSa({.tfc_pad = 1000})->outbound()->tfc_pad, 1000u);
  EXPECT_EQ(MakeSa({.mode = SaMode::kTransport, .tfc_pad = 1000})->outbound()->tfc_pad, 0u);
}

// The flag concerns only AH.
TEST(SaTest, Align4ChangesNothingOfEsp) {
  const auto plain = MakeSa();
  const auto align4 = MakeSa({.flags = kSaFlagAlign4});
  EXPECT_EQ(align4->outbound()->layout.align, plain->outbound()->layout.align);
  EXPECT_EQ(align4->outbound()->header, plain->outbound()->header);
}

TEST(SaTest, NewLimitsBringADyingSaBack) {
  const auto sa = MakeSa({.limits = {.soft_packets = 1}});
  sa->set_state(SaState::kDying);
  sa->lifetime().SetSoftTimeSignalled(true);
  sa->UpdateLimits({.soft_packets = 100});
  EXPECT_EQ(sa->state(), SaState::kValid);
  EXPECT_FALSE(sa->lifetime().soft_time_signalled());
  EXPECT_EQ(sa->spec().limits->soft_packets, 100u);
}

TEST(NextHopTest, KeepsMacAndInterface) {
  NextHop hop;
  MacAddress mac{};
  uint8_t interface = 0;
  EXPECT_FALSE(hop.Get(&mac, &interface));
  for (const uint8_t i : {uint8_t{0}, uint8_t{1}, uint8_t{255}}) {
    hop.Set({0xff, 2, 3, 4, 5, 0xfe}, i);
    ASSERT_TRUE(hop.Get(&mac, &interface));
    EXPECT_EQ(mac, (MacAddress{0xff, 2, 3, 4, 5, 0xfe}));
    EXPECT_EQ(interface, i);
  }
  hop.Clear();
  EXPECT_FALSE(hop.Get(&mac, &interface));
}

TEST(SaTest, DescriptionNamesNoKey) {
  const std::string text = Describe(test::MakeSpec());
  EXPECT_EQ(text, "src 192.0.2.1 dst 192.0.2.2 spi 0x00001000 proto esp");
}

}  // namespace
}  // namespace cygnet
