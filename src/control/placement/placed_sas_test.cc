// One SA placed, moved and removed, over a real engine and a real software NIC.
#include "control/placement/placed_sas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/sim_nic/sim_nic.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakeSpec;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int32_t kNic0 = 7;

class PlacedSasTest : public testing::Test {
 protected:
  ~PlacedSasTest() override {  // retired objects refer to engines and the device
    while (path_.quiescence.Collect() != 0) continue;
  }
  SaPtr MakeSa(const test::SaOptions& options) {
    auto sa = MakeSharedSa(MakeSpec(options), clock_.WallSeconds(), uint64_t{1});
    sa->number = path_.sad.NextNumber();
    return sa;
  }
  static test::SaOptions Offloaded() {
    return {.offload = OffloadRequest{OffloadMode::kCrypto, kNic0, false}};
  }
  static bool Any(const PlacedSa&, const PlacedHalf&) { return true; }

  PacketPools pools_{64, 2};
  test::FakeClock clock_;
  DataPath path_{1};
  EngineSet engines_ = *EngineSet::ForCpu("openssl");
  SimNic nic_{"nic0",  std::make_unique<MemoryPort>("wire0"), 1, &pools_,
              nullptr, SimNicOptions{.sa_limit = 2}};
  std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>(&clock_);
  PlacementDevices devices_{
      {{.name = "nic0", .ifindex = kNic0, .offload = &nic_}}, &path_, &engines_, nullptr, &clock_};
  const DeviceSelfTest& self_test_ = devices_.RunSelfTest(0);  // before its first SA
  PlacementRules rules_{{}};
  std::vector<SaPtr> moved_;
  PlacedSas placed_{{.path = &path_,
                     .clock = &clock_,
                     .ledger = ledger_,
                     .keys = std::make_shared<PlacementKeys>(ledger_, &engines_),
                     .host = {},
                     .devices = &devices_,
                     .rules = &rules_,
                     .on_moved = [this](const auto& sa) { moved_.push_back(sa); }}};
};

TEST_F(PlacedSasTest, PlacingIsOneStep) {
  const auto sa = MakeSa(Offloaded());
  ASSERT_TRUE(placed_.Place(sa));
  const PlacedSa* placed = placed_.Find(sa->number);
  ASSERT_NE(placed, nullptr);
  EXPECT_EQ(placed->half(Half::kOutbound).binding.get(), sa->outbound()->binding.load())
      << "published";
  EXPECT_EQ(placed->half(Half::kOutbound).request.by, RequestedBy::kClient);
  EXPECT_EQ(placed->half(Half::kOutbound).reason().Text(), "requested");
  EXPECT_EQ(placed->half(Half::kOutbound).since, clock_.WallSeconds());
  EXPECT_THAT(ledger_->Report({}).placements, SizeIs(1));
  placed_.Remove(sa->number);
  EXPECT_EQ(placed_.Find(sa->number), nullptr);
  path_.quiescence.Collect();
  EXPECT_THAT(nic_.HeldSas(), IsEmpty());
  EXPECT_EQ(ledger_->Report({}).placements.back().effective, "removed");
}

TEST_F(PlacedSasTest, OfAnSaThatCannotBePlacedNothingIsKept) {
  ASSERT_TRUE(
      rules_.SetCommand({.spi = MakeSpec({}).spi, .mode = PlacementMode::kRequired}, kNic0));
  nic_.SetOffloadUp(false);
  const auto sa = MakeSa({});
  EXPECT_FALSE(placed_.Place(sa));
  EXPECT_THAT(placed_.all(), IsEmpty());
  EXPECT_THAT(ledger_->Report({}).placements, IsEmpty());
}

TEST_F(PlacedSasTest, MoveReplacesTheBindingAndKeepsTheWayThere) {
  const auto sa = MakeSa(Offloaded());
  ASSERT_TRUE(placed_.Place(sa));
  const SaBinding* first = sa->outbound()->binding.load();
  clock_.wall_seconds += 10;
  devices_.SetEnabled(0, false);
  const MoveReport report = placed_.MoveEach(Any, ReasonCode::kRequested);
  EXPECT_EQ(report.moved, 1u);
  EXPECT_THAT(moved_, SizeIs(1));
  const PlacedHalf& half = placed_.Find(sa->number)->half(Half::kOutbound);
  EXPECT_NE(half.binding.get(), first);
  EXPECT_EQ(half.reason().Text(), "operator-disabled");
  EXPECT_EQ(half.since, clock_.WallSeconds());
  EXPECT_EQ(half.due, ReasonCode::kReturned);
  EXPECT_TRUE(placed_.AnyIsDue());
  ASSERT_THAT(half.rare().history, SizeIs(1));
  EXPECT_EQ(half.rare().history[0].effective, "crypto");
  placed_.Remove(sa->number);
  EXPECT_FALSE(placed_.AnyIsDue());
}

TEST_F(PlacedSasTest, HalfThatStaysKeepsItsBindingAndLearnsWhatIsAsked) {
  const auto sa = MakeSa(Offloaded());
  ASSERT_TRUE(placed_.Place(sa));
  const SaBinding* first = sa->outbound()->binding.load();
  ASSERT_TRUE(rules_.SetCommand({.spi = sa->spec().spi, .mode = PlacementMode::kAuto}, 0));
  EXPECT_EQ(placed_.MoveEach(Any, ReasonCode::kReturned).stayed, 1u);
  EXPECT_EQ(sa->outbound()->binding.load(), first);
  EXPECT_EQ(placed_.Find(sa->number)->half(Half::kOutbound).request.by, RequestedBy::kOperator);
  EXPECT_EQ(placed_.Find(sa->number)->half(Half::kOutbound).reason().Text(), "requested");
  placed_.Remove(sa->number);
}

}  // namespace
}  // namespace cygnet
