// Who gets scarce slots, over a real software NIC with few of them.
#include "control/placement/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/sim_nic/sim_nic.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using testing::ElementsAre;

constexpr int32_t kNic0 = 7;
constexpr SchedulerParams kOn{.enabled = true,
                              .interval_seconds = 5,
                              .hysteresis_percent = 200,
                              .min_residence_seconds = 10,
                              .max_moves = 16};

class SlotSchedulerTest : public testing::Test {
 protected:
  explicit SlotSchedulerTest(uint32_t slots = 1, const SchedulerParams& params = kOn)
      : nic_("nic0", std::make_unique<MemoryPort>("wire0"), 1, &pools_, nullptr,
             SimNicOptions{.sa_limit = slots}),
        scheduler_(params, &placed_, &devices_, &clock_) {}
  ~SlotSchedulerTest() override {  // retired objects refer to engines and the device
    while (path_.quiescence.Collect() != 0) continue;
  }
  // An SA that asks for an outbound slot.
  SaPtr Add(uint32_t spi, uint32_t reqid = 1) {
    auto sa = MakeSharedSa(
        test::MakeSpec({.spi = spi,
                        .reqid = reqid,
                        .offload = OffloadRequest{OffloadMode::kCrypto, kNic0, false}}),
        clock_.WallSeconds(), uint64_t{1});
    sa->number = path_.sad.NextNumber();
    EXPECT_TRUE(placed_.Place(sa));
    return sa;
  }
  // The end of an interval in which this many packets passed.
  void Interval(const std::vector<std::pair<SaPtr, uint64_t>>& packets) {
    for (const auto& [sa, count] : packets) {
      LifetimeUsage usage = sa->lifetime().usage();
      usage.packets += count;
      sa->lifetime().SetUsage(usage);
    }
    clock_.wall_seconds += kOn.interval_seconds;
    scheduler_.Tick();
    path_.quiescence.Collect();  // the keys of demoted SAs are erased
  }
  std::string Where(const SaPtr& sa) {
    const PlacedHalf& half = placed_.Find(sa->number)->half(Half::kOutbound);
    return std::string(Name(half.binding->path)) + " " + half.reason().Text();
  }
  // The SA's key is erased, and the slot is known to be free.
  void Free(const SaPtr& sa) {
    placed_.Remove(sa->number);
    path_.quiescence.Collect();
    devices_.SetFreed(0, true);
  }

  PacketPools pools_{64, 2};
  test::FakeClock clock_;
  DataPath path_{1};
  EngineSet engines_ = *EngineSet::ForCpu("openssl");
  SimNic nic_;
  std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>(&clock_);
  PlacementDevices devices_{
      {{.name = "nic0", .ifindex = kNic0, .offload = &nic_}}, &path_, &engines_, nullptr, &clock_};
  const DeviceSelfTest& self_test_ = devices_.RunSelfTest(0);  // before its first SA
  PlacementRules rules_{{{.name = "keep", .reqid = Reqid(9), .pin = true}}};
  std::vector<uint32_t> moved_;  // SPIs
  PlacedSas placed_{
      {.path = &path_,
       .clock = &clock_,
       .ledger = ledger_,
       .keys = std::make_shared<PlacementKeys>(ledger_, &engines_),
       .host = {},
       .devices = &devices_,
       .rules = &rules_,
       .on_moved = [this](const auto& sa) { moved_.push_back(sa->spec().spi.value); }}};
  SlotScheduler scheduler_;
};

TEST_F(SlotSchedulerTest, BusierSaGetsTheSlotOnceTheKeyInItIsErased) {
  const auto idle = Add(0x100);
  const auto busy = Add(0x101);
  clock_.wall_seconds += kOn.min_residence_seconds;
  ASSERT_EQ(Where(busy), "software table-full");
  Interval({{busy, 1000}});
  EXPECT_EQ(Where(idle), "crypto requested") << "a rate needs two samples";
  Interval({{idle, 10}, {busy, 1000}});
  EXPECT_EQ(Where(idle), "software demoted");
  EXPECT_EQ(Where(busy), "software table-full") << "its turn is the next interval";
  EXPECT_EQ(placed_.Find(busy->number)->half(Half::kOutbound).due, ReasonCode::kPromoted);
  Interval({{idle, 10}, {busy, 1000}});
  EXPECT_EQ(Where(busy), "crypto promoted");
  EXPECT_EQ(placed_.Find(busy->number)->half(Half::kOutbound).due, std::nullopt);
  EXPECT_THAT(moved_, ElementsAre(0x100, 0x101));
}

TEST_F(SlotSchedulerTest, SmallDifferenceMovesNobody) {
  const auto first = Add(0x100);
  const auto second = Add(0x101);
  clock_.wall_seconds += kOn.min_residence_seconds;
  for (int i = 0; i < 4; ++i) Interval({{first, 100}, {second, 199}});
  EXPECT_EQ(Where(first), "crypto requested");
  Interval({{first, 100}, {second, 200}});
  EXPECT_EQ(Where(first), "software demoted") << "twice as busy";
}

TEST_F(SlotSchedulerTest, SaThatSendsNothingGetsNoSlot) {
  const auto first = Add(0x100);
  const auto second = Add(0x101);
  clock_.wall_seconds += kOn.min_residence_seconds;
  for (int i = 0; i < 4; ++i) Interval({});
  EXPECT_EQ(Where(first), "crypto requested");
  EXPECT_EQ(Where(second), "software table-full");
}

TEST_F(SlotSchedulerTest, NewResidentStaysForItsMinimumTime) {
  const auto idle = Add(0x100);
  const auto busy = Add(0x101);
  Interval({{busy, 1000}});
  clock_.wall_seconds -= 1;
  Interval({{busy, 1000}});  // 9 s after it was placed
  EXPECT_EQ(Where(idle), "crypto requested");
  Interval({{busy, 1000}});
  EXPECT_EQ(Where(idle), "software demoted");
}

TEST_F(SlotSchedulerTest, PinnedHalfKeepsItsSlot) {
  const auto pinned = Add(0x100, 9);
  const auto busy = Add(0x101);
  ASSERT_TRUE(placed_.Find(pinned->number)->half(Half::kOutbound).request.pinned);
  clock_.wall_seconds += kOn.min_residence_seconds;
  for (int i = 0; i < 4; ++i) Interval({{busy, 1000}});
  EXPECT_EQ(Where(pinned), "crypto requested");
  EXPECT_EQ(Where(busy), "software table-full");
}

TEST_F(SlotSchedulerTest, DeviceThatIsDownGetsNobody) {
  const auto idle = Add(0x100);
  const auto busy = Add(0x101);
  clock_.wall_seconds += kOn.min_residence_seconds;
  nic_.SetOffloadUp(false);
  for (int i = 0; i < 3; ++i) Interval({{busy, 1000}});
  EXPECT_EQ(Where(idle), "crypto requested") << "moving it is not the scheduler's task";
  EXPECT_EQ(Where(busy), "software table-full");
}

class FewMovesTest : public SlotSchedulerTest {
 protected:
  static constexpr SchedulerParams kOneMove{.enabled = true,
                                            .interval_seconds = kOn.interval_seconds,
                                            .hysteresis_percent = 200,
                                            .min_residence_seconds = 10,
                                            .max_moves = 1};
  FewMovesTest() : SlotSchedulerTest(2, kOneMove) {}
};

TEST_F(FewMovesTest, BusiestComesFirstAndTheLeastBusyGoesFirst) {
  const auto a = Add(0x100);
  const auto b = Add(0x101);
  const auto c = Add(0x102);
  const auto d = Add(0x103);
  clock_.wall_seconds += kOn.min_residence_seconds;
  Interval({});
  Interval({{a, 20}, {b, 10}, {c, 500}, {d, 1000}});
  EXPECT_EQ(Where(b), "software demoted");
  EXPECT_EQ(Where(a), "crypto requested") << "one move an interval";
  EXPECT_EQ(placed_.Find(d->number)->half(Half::kOutbound).due, ReasonCode::kPromoted);
  EXPECT_EQ(placed_.Find(c->number)->half(Half::kOutbound).due, std::nullopt);
  Interval({{a, 20}, {b, 10}, {c, 500}, {d, 1000}});
  EXPECT_EQ(Where(d), "crypto promoted");
  EXPECT_EQ(Where(a), "crypto requested");
  Interval({{a, 20}, {b, 10}, {c, 500}, {d, 1000}});
  EXPECT_EQ(Where(a), "software demoted");
}

class SchedulerOffTest : public SlotSchedulerTest {
 protected:
  SchedulerOffTest() : SlotSchedulerTest(1, {}) {}
};

TEST_F(SchedulerOffTest, FreedSlotGoesToTheOldestThatWaits) {
  const auto first = Add(0x100);
  const auto second = Add(0x101);
  const auto third = Add(0x102);
  Interval({{third, 1000}});
  EXPECT_EQ(Where(first), "crypto requested") << "the busier takes nothing";
  Free(first);
  Interval({{third, 1000}});
  EXPECT_EQ(Where(second), "crypto requested");
  EXPECT_EQ(Where(third), "software table-full");
}

TEST_F(SchedulerOffTest, WithoutAFreedSlotNobodyIsTried) {
  const auto first = Add(0x100);
  const auto second = Add(0x101);
  placed_.Remove(first->number);
  path_.quiescence.Collect();
  Interval({});
  EXPECT_EQ(Where(second), "software table-full") << "nobody reported the slot";
}

TEST_F(SchedulerOffTest, SettingsMayChange) {
  const auto idle = Add(0x100);
  const auto busy = Add(0x101);
  clock_.wall_seconds += kOn.min_residence_seconds;
  scheduler_.SetParams(kOn);
  Interval({{busy, 1000}});
  Interval({{busy, 1000}});
  EXPECT_EQ(Where(idle), "software demoted");
}

}  // namespace
}  // namespace cygnet
