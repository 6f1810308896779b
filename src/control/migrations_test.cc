// All or nothing; what moves is in migrate_test.cc.
#include "control/migrations.h"

#include <gtest/gtest.h>

#include "support/sas_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::Ip;
using test::MakePolicy;
using test::SaOptions;
using test::TemplateFor;

class MigrationsTest : public test::SasFixture {
 protected:
  MigrationsTest() {
    path_.spd.Insert(
        MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})}),
        clock_.WallSeconds());
  }
  static MigrateEntry Entry(uint32_t reqid, const std::string& to) {
    MigrateEntry entry;
    entry.old_saddr = entry.new_saddr = Ip("192.0.2.1");
    entry.old_daddr = Ip("192.0.2.2");
    entry.new_daddr = Ip(to);
    entry.old_family = entry.new_family = IpFamily::kV4;
    entry.proto = kProtoEsp;
    entry.mode = static_cast<uint8_t>(SaMode::kTunnel);
    entry.reqid = Reqid(reqid);
    return entry;
  }
  static Migration Move(std::vector<MigrateEntry> entries) {
    Migration migration;
    migration.selector = test::MakeSelector("10.1.0.1", "10.2.0.1");
    migration.entries = std::move(entries);
    return migration;
  }
  // One SA by its identity: to `to`, with this reqid.
  static SaMigration MoveOne(const SaOptions& options, const std::string& to, uint32_t reqid = 1) {
    SaMigration migration;
    migration.id = IdOf(options);
    migration.new_saddr = Ip("192.0.2.1");
    migration.new_daddr = Ip(to);
    migration.new_family = IpFamily::kV4;
    migration.new_reqid = Reqid(reqid);
    migration.selector = test::MakeSpec(options).selector;
    return migration;
  }
  const Template& TemplateNow() const { return path_.spd.List()[0]->spec.templates[0]; }

  Migrations migrations_{&path_, &announcer_, &device_policies_, &sas_};
};

TEST_F(MigrationsTest, SaAndTemplateMoveTogether) {
  ASSERT_NE(Add({}), nullptr);
  recorder_.Take();
  const uint64_t generation = path_.generation();
  ASSERT_TRUE(migrations_.Run(Move({Entry(1, "192.0.2.9")})));
  EXPECT_EQ(recorder_.Take(), Events{"migrated"});
  EXPECT_EQ(sas_.Named(IdOf({})), nullptr);
  EXPECT_NE(sas_.Named(IdOf({.dst = "192.0.2.9"})), nullptr);
  EXPECT_EQ(TemplateNow().daddr, Ip("192.0.2.9"));
  EXPECT_GT(path_.generation(), generation);
}

// Issue 18: kernel, xfrm_migrate_policy_find and xfrm_migrate_state_find.
TEST_F(MigrationsTest, WithAnIfIdOnlyWhatHasItMoves) {
  const auto other = Add({.spi = 0x100});
  SaSpec spec = test::MakeSpec({.spi = 0x200});
  spec.if_id = 7;
  ASSERT_TRUE(sas_.Add(std::move(spec), {}));
  Migration migration = Move({Entry(1, "192.0.2.9")});
  migration.if_id = 7;
  EXPECT_EQ(migrations_.Run(migration).error().code, Errc::kNoEntry) << "no policy has it";
  PolicySpec policy =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(SaOptions{})});
  policy.if_id = 7;
  path_.spd.Insert(policy, clock_.WallSeconds());
  ASSERT_TRUE(migrations_.Run(migration));
  EXPECT_EQ(sas_.Named(IdOf({.spi = 0x100})), other);
  const auto moved = sas_.Named(IdOf({.dst = "192.0.2.9", .spi = 0x200}));
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(moved->spec().if_id, 7u);
  for (const auto& now : path_.spd.List()) {
    EXPECT_EQ(now->spec.templates[0].daddr == Ip("192.0.2.9"), now->spec.if_id == 7);
  }
}

TEST_F(MigrationsTest, OneSaIsNamedByItsMarkAndGetsAnother) {
  SaSpec spec = test::MakeSpec({});
  spec.mark_value = 5;
  spec.mark_mask = 0xf;
  ASSERT_TRUE(sas_.Add(std::move(spec), {}));
  EXPECT_EQ(migrations_.RunOne(MoveOne({}, "192.0.2.9"), {}).error().code, Errc::kNoSuchProcess);
  SaMigration migration = MoveOne({}, "192.0.2.9");
  migration.id.mark = 5;
  migration.mark = MarkUnderMask{6, 0xff};
  migration.set_mark = MarkUnderMask{8, 0xff};
  ASSERT_TRUE(migrations_.RunOne(migration, {}));
  SaId id = IdOf({.dst = "192.0.2.9"});
  id.mark = 6;
  const auto moved = sas_.Named(id);
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(moved->spec().mark_mask, 0xffu);
  EXPECT_EQ(moved->spec().rare->set_mark_value, 8u);
}

TEST_F(MigrationsTest, SecondMoveThatFailsUndoesTheFirst) {
  const auto first = Add({.spi = 0x100});
  ASSERT_NE(Add({.spi = 0x200, .reqid = 2}), nullptr);
  ASSERT_NE(Add({.dst = "192.0.2.9", .spi = 0x200, .reqid = 3}), nullptr);
  recorder_.Take();
  const Status moved = migrations_.Run(Move({Entry(1, "192.0.2.9"), Entry(2, "192.0.2.9")}));
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code, Errc::kNoData);
  EXPECT_EQ(recorder_.Take(), Events{});
  EXPECT_EQ(sas_.Named(IdOf({.spi = 0x100})), first);
  EXPECT_TRUE(first->usable());
  EXPECT_EQ(placement_.all().size(), 3u) << "the place of the first is released";
  EXPECT_EQ(TemplateNow().daddr, Ip("192.0.2.2"));
}

TEST_F(MigrationsTest, OneSaMovesWithoutItsPolicy) {
  const auto from = Add({});
  EXPECT_EQ(from->outbound()->sequence.Reserve(41).count, 41u);
  for (const uint64_t seq : {3u, 9u}) (void)from->inbound()->replay.Commit(seq);
  from->lifetime().SetUsage({.bytes = 4100, .packets = 41, .add_time = 5, .use_time = 6});
  from->lifetime().SetLastUsed(77);
  recorder_.Take();
  const uint64_t generation = path_.generation();
  ASSERT_TRUE(migrations_.RunOne(MoveOne({}, "192.0.2.9", 5), {.seq = 3, .pid = 4}));
  EXPECT_EQ(recorder_.Take(), Events{"sa-migrated"});
  EXPECT_EQ(recorder_.origins.back().seq, 3u);
  EXPECT_EQ(recorder_.origins.back().pid, 4u);
  EXPECT_GT(path_.generation(), generation);
  EXPECT_EQ(TemplateNow().daddr, Ip("192.0.2.2")) << "policies are key management's matter";
  EXPECT_EQ(sas_.Named(IdOf({})), nullptr);
  const auto to = sas_.Named(IdOf({.dst = "192.0.2.9"}));
  ASSERT_NE(to, nullptr);
  EXPECT_EQ(to->spec().reqid, Reqid(5));
  EXPECT_EQ(to->outbound()->sequence.Reserve(1).first, 42u);
  EXPECT_EQ(from->outbound()->sequence.Reserve(1).count, 0u) << "closed";
  EXPECT_EQ(to->outbound()->iv_mask, from->outbound()->iv_mask);
  EXPECT_EQ(to->inbound()->replay.Check(9), DropReason::kInReplayDuplicate);
  EXPECT_EQ(to->inbound()->replay.Check(8), DropReason::kNone);
  EXPECT_EQ(to->lifetime().usage().packets, 41u);
  EXPECT_EQ(to->lifetime().last_used(), 77u);
}

// The identity stays, so both objects have it for a moment.
TEST_F(MigrationsTest, OneSaGetsAnotherReqidWhereItIs) {
  const auto from = Add({});
  EXPECT_EQ(from->outbound()->sequence.Reserve(41).count, 41u);
  ASSERT_TRUE(migrations_.RunOne(MoveOne({}, "192.0.2.2", 5), {}));
  const auto to = sas_.Named(IdOf({}));
  ASSERT_NE(to, nullptr);
  EXPECT_NE(to, from);
  EXPECT_EQ(path_.sad.size(), 1u);
  EXPECT_EQ(path_.sad.LookupInbound(Spi(0x1000), Ip("192.0.2.2"), IpFamily::kV4, kProtoEsp),
            to.get());
  EXPECT_EQ(to->outbound()->sequence.Reserve(1).first, 42u);
  EXPECT_EQ(placement_.all().size(), 1u);
}

TEST_F(MigrationsTest, TheOperatorsWordStaysWithAnSaThatStays) {
  ASSERT_NE(Add({}), nullptr);
  PlacementCommand command;
  command.spi = Spi(0x1000);
  command.daddr = Ip("192.0.2.2");
  command.mode = PlacementMode::kCrypto;
  ASSERT_TRUE(placement_.SetOverride(command).has_value());
  ASSERT_TRUE(migrations_.RunOne(MoveOne({}, "192.0.2.2", 5), {}));
  const auto to = sas_.Named(IdOf({}));
  EXPECT_EQ(placement_.Find(to->number)->half(Half::kOutbound).request.by, RequestedBy::kOperator);
  ASSERT_TRUE(migrations_.RunOne(MoveOne({}, "192.0.2.2", 6), {}));
  EXPECT_EQ(placement_.Find(sas_.Named(IdOf({}))->number)->half(Half::kOutbound).request.by,
            RequestedBy::kOperator)
      << "the command was forgotten with the first object";
}

TEST_F(MigrationsTest, OneSaStaysWhereThePlaceIsTaken) {
  const auto from = Add({});
  ASSERT_NE(Add({.dst = "192.0.2.9"}), nullptr);
  recorder_.Take();
  const Status taken = migrations_.RunOne(MoveOne({}, "192.0.2.9"), {});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::kExists);
  EXPECT_EQ(taken.error().message, "New SA tuple already occupied");
  EXPECT_EQ(recorder_.Take(), Events{});
  EXPECT_EQ(from->outbound()->sequence.Reserve(1).first, 1u);
}

// What the probe for support relies on.
TEST_F(MigrationsTest, AnUnknownSaIsNotThere) {
  const Status unknown = migrations_.RunOne(MoveOne({}, "192.0.2.9"), {});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::kNoSuchProcess);
  EXPECT_EQ(unknown.error().message, "Can not find state");
}

TEST_F(MigrationsTest, AReservedSpiDoesNotMove) {
  ASSERT_NE(Reserve(0x300), nullptr);
  EXPECT_EQ(migrations_.RunOne(MoveOne({.spi = 0x300}, "192.0.2.9"), {}).error().code,
            Errc::kInvalid);
  EXPECT_NE(sas_.Named(IdOf({.spi = 0x300})), nullptr);
}

TEST_F(MigrationsTest, OneSaStaysOnItsDeviceUnlessTheRequestClearsIt) {
  const SaOptions options{.offload = OffloadRequest{OffloadMode::kCrypto, test::kNic0, false}};
  ASSERT_NE(Add(options), nullptr);
  ASSERT_TRUE(migrations_.RunOne(MoveOne(options, "192.0.2.9"), {}));
  const auto there = sas_.Named(IdOf({.dst = "192.0.2.9"}));
  EXPECT_TRUE(sas_.Inspect(*there).offload.has_value());
  SaMigration back = MoveOne({.dst = "192.0.2.9"}, "192.0.2.2");
  back.clears_offload = true;
  ASSERT_TRUE(migrations_.RunOne(back, {}));
  EXPECT_FALSE(sas_.Inspect(*sas_.Named(IdOf({}))).offload.has_value());
}

// The second request of a series makes an index; another change of an SA ends it.
TEST_F(MigrationsTest, EachRequestOfASeriesMovesTheNewest) {
  ASSERT_NE(Add({.spi = 0x100}), nullptr);
  ASSERT_NE(Add({.spi = 0x200}), nullptr);
  const auto move = [&](const std::string& from, const std::string& to) {
    MigrateEntry entry = Entry(1, to);
    entry.old_daddr = Ip(from);
    EXPECT_TRUE(migrations_.Run(Move({entry})));
    migrations_.Tick();
  };
  const auto is_at = [&](uint32_t spi, const std::string& address) {
    return sas_.Named(IdOf({.dst = address, .spi = spi})) != nullptr;
  };
  for (int i = 0; i < 3; ++i) {
    move("192.0.2.2", "192.0.2.9");
    EXPECT_TRUE(is_at(0x200, "192.0.2.9"));
    EXPECT_TRUE(is_at(0x100, "192.0.2.2"));
    move("192.0.2.9", "192.0.2.2");
    EXPECT_TRUE(is_at(0x200, "192.0.2.2"));
  }
  ASSERT_NE(Add({.spi = 0x300}), nullptr);
  move("192.0.2.2", "192.0.2.9");
  EXPECT_TRUE(is_at(0x300, "192.0.2.9")) << "it is the newest now";
  ASSERT_TRUE(sas_.Delete(IdOf({.dst = "192.0.2.9", .spi = 0x300}), {}));
  move("192.0.2.9", "192.0.2.2");
  migrations_.Tick();
  migrations_.Tick();  // the series has ended
  move("192.0.2.2", "192.0.2.9");
  move("192.0.2.9", "192.0.2.2");
  EXPECT_TRUE(is_at(0x200, "192.0.2.2"));
  EXPECT_TRUE(is_at(0x100, "192.0.2.2"));
  EXPECT_EQ(path_.sad.size(), 2u);
}

TEST_F(MigrationsTest, WithoutAPolicyNothingMoves) {
  ASSERT_NE(Add({}), nullptr);
  Migration other = Move({Entry(1, "192.0.2.9")});
  other.selector = test::MakeSelector("10.7.0.1", "10.8.0.1");
  EXPECT_EQ(migrations_.Run(other).error().code, Errc::kNoEntry);
  EXPECT_NE(sas_.Named(IdOf({})), nullptr);
}

}  // namespace
}  // namespace cygnet
