// What the ledger keeps in memory; its file is tested in daemon/store.
#include "control/ledger.h"

#include <gtest/gtest.h>

#include <string>

#include "support/fake_clock.h"

namespace cygnet {
namespace {

// Words are shared while they are among the last used, and their numbers are used again.
TEST(LedgerTest, EachPlacementHasItsOwnWordsHoweverManyThereWere) {
  test::FakeClock clock;
  Ledger ledger(&clock);
  const auto reason_of = [](uint32_t n) {
    return n % 3 == 0 ? "requested" : "reason " + std::to_string(n % 3 == 1 ? n % 40 : n);
  };
  const auto most = static_cast<uint32_t>(Ledger::kMaxPlacements);
  const uint32_t count = most * 2 + 500;
  for (uint32_t n = 0; n < count; ++n) {
    PlacementEntry entry;
    entry.half.spi = Spi(n);
    entry.where = "engine";
    entry.reason = reason_of(n);
    ledger.Placed(entry);
  }
  const LedgerReport report = ledger.Report({});
  EXPECT_EQ(report.dropped, count - most);
  ASSERT_EQ(report.placements.size(), most);
  uint32_t n = count - most;
  for (const PlacementEntry& entry : report.placements) {
    ASSERT_EQ(entry.half.spi.value, n);
    ASSERT_EQ(entry.reason, reason_of(n));
    ASSERT_EQ(entry.where, "engine");
    ++n;
  }
}

}  // namespace
}  // namespace cygnet
