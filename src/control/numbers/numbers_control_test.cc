// The number store under a whole control plane: keys that are deleted and come back, and SAs that
// move to other addresses.
#include <gtest/gtest.h>

#include "support/control_plane_fixture.h"
#include "support/memory_number_store.h"

namespace cygnet {
namespace {

class NumbersControlTest : public test::ControlPlaneTest {
 protected:
  NumbersControlTest()
      : ControlPlaneTest(2, PlacementMode::kNo,
                         [this](ControlPlaneParams* params) { params->numbers = &store_; }) {}
  ~NumbersControlTest() override { control_.reset(); }  // it uses the store

  // The key does not depend on the SPI.
  ConstSaPtr Add(uint32_t spi) {
    SaSpec spec = test::MakeSpec({.spi = spi});
    spec.aead.key = test::MakeSpec().aead.key.Clone();
    if (!control_->AddSa(std::move(spec), {})) return nullptr;
    const auto sa = control_->GetSa(IdOf(spi));
    return sa ? *sa : nullptr;
  }

  test::MemoryNumberStore::Content content_;
  test::MemoryNumberStore store_{&content_};
};

TEST_F(NumbersControlTest, AKeyThatIsDeletedAndComesBackContinuesWithItsMask) {
  const auto first = Add(1);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->outbound()->sequence.Reserve(41).first, 1u);
  ASSERT_TRUE(control_->DeleteSa(IdOf(1), {}));
  const auto second = Add(2);
  EXPECT_EQ(second->outbound()->sequence.Reserve(9).first, 42u);
  EXPECT_EQ(second->outbound()->iv_mask, first->outbound()->iv_mask);
  EXPECT_TRUE(control_->FlushSas(0, {}));
  EXPECT_EQ(Add(3)->outbound()->sequence.Reserve(1).first, 51u);
}

TEST_F(NumbersControlTest, AnSaIsRefusedWhileTheStoreGivesNothing) {
  store_.answer = test::MemoryNumberStore::Answer::kRefused;
  EXPECT_EQ(Add(1), nullptr);
  EXPECT_TRUE(control_->ListSas().empty());
  store_.answer = test::MemoryNumberStore::Answer::kGiven;
  EXPECT_NE(Add(1), nullptr);
}

TEST_F(NumbersControlTest, AWorkersEventBringsTheNextBlock) {
  const auto sa = Add(1);
  const uint64_t edge = sa->outbound()->sequence.edge();
  const SequenceRange range = sa->outbound()->sequence.Reserve(static_cast<uint32_t>(edge / 2));
  EXPECT_TRUE(range.low);
  const DataPathEvent event{.kind = DataPathEvent::Kind::kNumbersLow, .sa_number = sa->number};
  ASSERT_EQ(path_.events[0]->Push({&event, 1}), 1u);
  control_->OnBell();
  EXPECT_GT(sa->outbound()->sequence.edge(), edge);
}

TEST_F(NumbersControlTest, AClientThatSetsTheCountersGetsNumbersBehindThem) {
  const auto sa = Add(1);
  ReplayState replay = sa->ExportReplay();
  replay.oseq = 10'000'000;
  replay.seq = 20'000'000;
  AeventChange change{.id = IdOf(1)};
  change.replay = replay;
  ASSERT_TRUE(control_->UpdateAevent(change, {}));
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).first, 10'000'001u);
  EXPECT_EQ(sa->inbound()->replay.highest(), 20'000'000u);
  EXPECT_GT(sa->inbound()->replay.mark(), 20'000'000u);
}

TEST_F(NumbersControlTest, AnSaThatMovesToOtherAddressesSharesTheKeysCounter) {
  const auto from = Add(1);
  EXPECT_EQ(from->outbound()->sequence.Reserve(41).count, 41u);
  for (const uint64_t seq : {3u, 9u}) (void)from->inbound()->replay.Commit(seq);
  ASSERT_TRUE(
      control_->AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                           {test::TemplateFor(test::SaOptions{})}),
                          {}));
  MigrateEntry entry;
  entry.old_saddr = test::Ip("192.0.2.1");
  entry.old_daddr = test::Ip("192.0.2.2");
  entry.new_saddr = test::Ip("192.0.2.3");
  entry.new_daddr = test::Ip("192.0.2.4");
  entry.old_family = entry.new_family = IpFamily::kV4;
  entry.proto = kProtoEsp;
  entry.mode = static_cast<uint8_t>(SaMode::kTunnel);
  entry.reqid = Reqid(1);
  Migration migration;
  migration.selector = test::MakeSelector("10.1.0.1", "10.2.0.1");
  migration.entries = {entry};
  const Status moved = control_->Migrate(migration);
  ASSERT_TRUE(moved) << moved.error().message;
  SaId id = IdOf(1);
  id.daddr = entry.new_daddr;
  const auto to = control_->GetSa(id);
  ASSERT_TRUE(to.has_value());
  EXPECT_EQ((*to)->outbound()->iv_mask, from->outbound()->iv_mask);
  EXPECT_EQ((*to)->outbound()->sequence.Reserve(1).first, NumberSizes().smallest_block + 1);
  EXPECT_EQ(from->outbound()->sequence.Reserve(1).count, 0u);
  EXPECT_EQ((*to)->inbound()->replay.Check(9), DropReason::kInReplayDuplicate);
  EXPECT_EQ((*to)->inbound()->replay.Commit(8), DropReason::kNone);
  EXPECT_GT((*to)->inbound()->replay.mark(), 9u);
}

// MIGRATE_STATE may leave the identity as it is: both objects use the key's row for a moment.
TEST_F(NumbersControlTest, AnSaThatGetsAnotherReqidSharesTheKeysCounter) {
  const auto from = Add(1);
  EXPECT_EQ(from->outbound()->sequence.Reserve(41).count, 41u);
  for (const uint64_t seq : {3u, 9u}) (void)from->inbound()->replay.Commit(seq);
  SaMigration migration;
  migration.id = IdOf(1);
  migration.new_saddr = from->spec().saddr;
  migration.new_daddr = from->spec().daddr;
  migration.new_family = IpFamily::kV4;
  migration.new_reqid = Reqid(5);
  migration.selector = from->spec().selector;
  const Status moved = control_->MigrateSa(migration, {});
  ASSERT_TRUE(moved) << moved.error().message;
  const auto to = *control_->GetSa(IdOf(1));
  EXPECT_EQ(to->spec().reqid, Reqid(5));
  EXPECT_EQ(to->outbound()->iv_mask, from->outbound()->iv_mask);
  EXPECT_EQ(to->outbound()->sequence.Reserve(1).first, NumberSizes().smallest_block + 1);
  EXPECT_EQ(from->outbound()->sequence.Reserve(1).count, 0u);
  EXPECT_EQ(to->inbound()->replay.Check(9), DropReason::kInReplayDuplicate);
  EXPECT_EQ(to->inbound()->replay.Commit(8), DropReason::kNone);
  EXPECT_GT(to->inbound()->replay.mark(), 9u);
  // The key's row goes on when the SA moves once more.
  migration.new_reqid = Reqid(6);
  ASSERT_TRUE(control_->MigrateSa(migration, {}));
  EXPECT_EQ((*control_->GetSa(IdOf(1)))->outbound()->sequence.Reserve(1).first,
            2 * NumberSizes().smallest_block + 1);
}

// Other nodes know the numbers of a group's SAs from its store alone.
TEST_F(NumbersControlTest, AnSaDoesNotMoveIntoAGroup) {
  const auto from = Add(1);
  store_.group = 7;  // of the new addresses
  SaMigration migration;
  migration.id = IdOf(1);
  migration.new_saddr = from->spec().saddr;
  migration.new_daddr = test::Ip("192.0.2.9");
  migration.new_family = IpFamily::kV4;
  migration.new_reqid = Reqid(1);
  migration.selector = from->spec().selector;
  EXPECT_EQ(control_->MigrateSa(migration, {}).error().message,
            "An SA cannot move into or out of a cluster group: make a new one");
  EXPECT_EQ(*control_->GetSa(IdOf(1)), from);
  EXPECT_EQ(from->outbound()->sequence.Reserve(1).count, 1u);
}

}  // namespace
}  // namespace cygnet
