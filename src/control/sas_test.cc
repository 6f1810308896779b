// The life of an SA and what is kept of it; answers to clients are in control_plane_test.cc.
#include "control/sas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/sas_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::MakeSpec;
using testing::ElementsAre;
using testing::IsEmpty;

class SasTest : public test::SasFixture {};

TEST_F(SasTest, RemovedSaLeavesNothingBehind) {
  const auto sa = Add({.encap = test::NatT(4700, 4700),
                       .offload = OffloadRequest{OffloadMode::kCrypto, test::kNic0, false}});
  ASSERT_NE(sa, nullptr);
  EXPECT_NE(aevents_.View(sa).max_diff, 0u);
  EXPECT_NE(placement_.Find(sa->number), nullptr);
  EXPECT_THAT(path_.encap_ports(), ElementsAre(4500, 4700));
  sas_.Remove(sa);
  EXPECT_EQ(sa->state(), SaState::kDead);
  EXPECT_EQ(path_.sad.size(), 0u);
  EXPECT_EQ(aevents_.View(sa).max_diff, 0u);
  EXPECT_EQ(placement_.Find(sa->number), nullptr);
  EXPECT_THAT(path_.encap_ports(), ElementsAre(4500));
  path_.quiescence.Collect();
  EXPECT_THAT(nic_.HeldSas(), IsEmpty());
}

TEST_F(SasTest, NewSaHasTheSettingsOfItsTime) {
  const auto before = Add({.spi = 0x100});
  sas_.SetReplayWindowMin(512);
  sas_.SetAeventDefaults({.max_diff = 7, .max_age = 8});
  const auto after = Add({.spi = 0x101});
  EXPECT_EQ(before->spec().replay_at_least(), 1u);
  EXPECT_EQ(after->spec().replay_at_least(), 512u);
  EXPECT_EQ(aevents_.View(before).max_diff, AeventDefaults{}.max_diff);
  EXPECT_EQ(aevents_.View(after).max_diff, 7u);
}

TEST_F(SasTest, FillingInALarvalStateReplacesIt) {
  const auto larval = Reserve(0x500);
  ASSERT_NE(larval, nullptr);
  ASSERT_TRUE(sas_.Update(MakeSpec({.spi = 0x500}), {}));
  EXPECT_EQ(path_.sad.size(), 1u);
  EXPECT_EQ(larval->state(), SaState::kDead);
  EXPECT_EQ(sas_.Named(IdOf({.spi = 0x500}))->state(), SaState::kValid);
}

TEST_F(SasTest, RefusedSaLeavesTheLarvalStateForAnotherTry) {
  ASSERT_NE(Reserve(0x500), nullptr);
  nic_.SetOffloadUp(false);
  SaSpec foreign = MakeSpec({.spi = 0x500});
  foreign.selector.Change()->ifindex = 99;
  EXPECT_EQ(sas_.Update(std::move(foreign), {}).error().code, Errc::kNotSupported);
  EXPECT_EQ(sas_.Named(IdOf({.spi = 0x500}))->state(), SaState::kLarval);
}

TEST_F(SasTest, AddingReadsChangedAddressesFirst) {
  host_addresses_ = {
      {.at = test::Addr("192.0.2.1"), .ifindex = test::kNic0, .prefix_bits = 24, .peer = {}}};
  addresses_.OnLost();
  ASSERT_NE(Add({}), nullptr);
  EXPECT_EQ(path_.host_addresses().all().size(), 1u);
}

TEST_F(SasTest, RestoringDoesNotReadAddressesForEachSa) {
  host_addresses_ = {
      {.at = test::Addr("192.0.2.1"), .ifindex = test::kNic0, .prefix_bits = 24, .peer = {}}};
  addresses_.OnLost();
  ASSERT_TRUE(sas_.Restore({.spec = MakeSpec({.spi = 0x100})}));
  EXPECT_TRUE(path_.host_addresses().all().empty());
}

TEST_F(SasTest, UpdateMovesTheUdpPort) {
  ASSERT_NE(Add({.encap = test::NatT(4700, 4700)}), nullptr);
  ASSERT_TRUE(sas_.Update(MakeSpec({.encap = test::NatT(4800, 4800)}), {}));
  EXPECT_THAT(path_.encap_ports(), ElementsAre(4500, 4800));
}

TEST_F(SasTest, ReplacedSaContinuesItsNumbers) {
  const auto from = Add({});
  ASSERT_TRUE(aevents_.Update(from, {.id = from->id(), .max_diff = 99}, {}));
  from->outbound()->sequence.AdvanceTo(41);
  SaSpec spec = from->spec().Clone();
  spec.daddr = test::Ip("192.0.2.9");
  const SaPtr to = *sas_.Make(std::move(spec), from->outbound()->iv_mask);
  EXPECT_EQ(path_.sad.size(), 1u) << "nobody finds it yet";
  ASSERT_TRUE(placement_.Place(to));
  sas_.Replace(from, to);
  EXPECT_EQ(path_.sad.List(), std::vector<SaPtr>{to});
  EXPECT_EQ(to->outbound()->sequence.last_sent(), 41u);
  EXPECT_EQ(aevents_.View(to).max_diff, 99u);
  EXPECT_EQ(placement_.Find(from->number), nullptr);
}

TEST_F(SasTest, ExpiryByTimeIsSoftOnceThenHard) {
  const auto sa = Add({.limits = {.soft_add_seconds = 10, .hard_add_seconds = 20}});
  recorder_.Take();
  const uint64_t start = clock_.WallSeconds();
  sas_.CheckTimes(sa, start + 9);
  EXPECT_EQ(recorder_.Take(), Events{});
  sas_.CheckTimes(sa, start + 10);
  sas_.CheckTimes(sa, start + 11);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired soft"});
  EXPECT_EQ(sa->state(), SaState::kDying);
  sas_.CheckTimes(sa, start + 20);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"});
  EXPECT_EQ(path_.sad.size(), 0u);
}

TEST_F(SasTest, ClockSetForwardLeavesTimeToReplaceTheSa) {
  const auto by_add = Add({.spi = 1, .limits = {.soft_add_seconds = 10, .hard_add_seconds = 20}});
  const auto hard_only = Add({.spi = 2, .limits = {.hard_add_seconds = 20}});
  recorder_.Take();
  const uint64_t later = clock_.WallSeconds() + 7'200;
  sas_.CheckTimes(by_add, later);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired soft"});
  sas_.CheckTimes(hard_only, later);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"}) << "it has no soft limit";
  sas_.CheckTimes(by_add, later + 9);
  EXPECT_EQ(recorder_.Take(), Events{});
  sas_.CheckTimes(by_add, later + 10);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"});
}

TEST_F(SasTest, ClockSetForwardLeavesTimeByUseToo) {
  const auto sa = Add({.limits = {.soft_use_seconds = 10, .hard_use_seconds = 15}});
  const uint64_t start = clock_.WallSeconds();
  sa->lifetime().AddUsage(1, 100, start);
  recorder_.Take();
  sas_.CheckTimes(sa, start + 7'200);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired soft"});
  EXPECT_EQ(sa->lifetime().usage().bytes, 100u);
  sas_.CheckTimes(sa, start + 7'205);
  EXPECT_EQ(recorder_.Take(), Events{"sa-expired hard"});
}

TEST_F(SasTest, FlushTakesLarvalStatesToo) {
  ASSERT_NE(Reserve(0x500), nullptr);
  ASSERT_NE(Add({.spi = 0x100}), nullptr);
  EXPECT_TRUE(sas_.Flush(kProtoEsp, {}));
  EXPECT_EQ(path_.sad.size(), 0u);
  EXPECT_FALSE(sas_.Flush(0, {}));
}

}  // namespace
}  // namespace cygnet
