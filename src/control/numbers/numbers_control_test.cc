// The number store under a whole control plane: keys that are deleted and come back, and SAs that
// move to other addresses.
#include <gtest/gtest.h>

#include "support/control_plane_fixture.h"
#include "support/memory_number_store.h"

namespace cygnet {
namespace {

using test::IdOf;

class NumbersControlTest : public test::ControlPlaneTest {
 protected:
  NumbersControlTest()
      : ControlPlaneTest(2, PlacementMode::kNo,
                         [this](ControlPlaneParams* params) { params->numbers = &store_; }) {}

  // The key does not depend on the SPI.
  std::shared_ptr<const Sa> Add(uint32_t spi) {
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

}  // namespace
}  // namespace cygnet
