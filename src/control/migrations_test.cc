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
  const Template& TemplateNow() const { return path_.spd.List()[0]->spec.templates[0]; }

  Migrations migrations_{&path_, &announcer_, &placement_, &device_policies_, &sas_};
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

TEST_F(MigrationsTest, WithoutAPolicyNothingMoves) {
  ASSERT_NE(Add({}), nullptr);
  Migration other = Move({Entry(1, "192.0.2.9")});
  other.selector = test::MakeSelector("10.7.0.1", "10.8.0.1");
  EXPECT_EQ(migrations_.Run(other).error().code, Errc::kNoEntry);
  EXPECT_NE(sas_.Named(IdOf({})), nullptr);
}

}  // namespace
}  // namespace cygnet
