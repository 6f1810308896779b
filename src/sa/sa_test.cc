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
  sa->CountDrop(DropReason::kInBadTrailer);
  EXPECT_EQ(sa->stats().replay_window, 2u);
  EXPECT_EQ(sa->stats().replay, 1u);
  EXPECT_EQ(sa->stats().integrity_failed, 1u);
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

TEST(SaTest, NewLimitsBringADyingSaBack) {
  const auto sa = MakeSa({.limits = {.soft_packets = 1}});
  sa->set_state(SaState::kDying);
  sa->soft_time_signalled = true;
  sa->UpdateLimits({.soft_packets = 100});
  EXPECT_EQ(sa->state(), SaState::kValid);
  EXPECT_FALSE(sa->soft_time_signalled);
  EXPECT_EQ(sa->spec().limits.soft_packets, 100u);
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
