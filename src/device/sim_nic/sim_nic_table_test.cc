// The software NIC's tables and key store.
#include "device/sim_nic/sim_nic_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/test_sa.h"

namespace cygnet {
namespace {

constexpr uint64_t kNow = 1'700'000'000;

// Adds one half and starts it at once.
std::optional<DeviceRefusal> AddTo(SimNicTable* table, const SaSpec& spec, Half half,
                                   OffloadHandle* handle) {
  auto refusal = table->Add({spec, half, spec.replay.seq}, kNow, handle);
  if (!refusal) table->Start(*handle);
  return refusal;
}

using testing::IsEmpty;
using testing::SizeIs;

TEST(SimNicTableTest, TakesUpToItsLimitOfEachDirection) {
  SimNicTable table(3);
  OffloadHandle handle;
  for (const Half half : kHalves) {
    for (uint32_t spi = 1; spi <= 3; ++spi) {
      EXPECT_FALSE(AddTo(&table, test::MakeSpec({.spi = spi}), half, &handle).has_value());
    }
    const auto refusal = AddTo(&table, test::MakeSpec({.spi = 4}), half, &handle);
    ASSERT_TRUE(refusal.has_value());
    EXPECT_EQ(refusal->kind, InstallError::kTableFull);
    EXPECT_EQ(refusal->code, Errc::kNotSupported);  // "use software"
  }
  EXPECT_EQ(table.limit(), 3u);
  EXPECT_EQ(table.used(), 6u);
}

TEST(SimNicTableTest, ReleasedSlotIsFreeAgain) {
  SimNicTable table(1);
  OffloadHandle first;
  OffloadHandle second;
  ASSERT_FALSE(AddTo(&table, test::MakeSpec(), Half::kOutbound, &first).has_value());
  table.Release(first);
  EXPECT_EQ(table.used(), 0u);
  EXPECT_FALSE(AddTo(&table, test::MakeSpec(), Half::kOutbound, &second).has_value());
  EXPECT_NE(first, second);
}

TEST(SimNicTableTest, StaleHandleFindsNothingThroughManyTenants) {
  SimNicTable table(1);
  OffloadHandle first;
  ASSERT_FALSE(AddTo(&table, test::MakeSpec(), Half::kOutbound, &first).has_value());
  table.Release(first);
  for (int tenant = 0; tenant < 1000; ++tenant) {
    OffloadHandle next;
    ASSERT_FALSE(AddTo(&table, test::MakeSpec(), Half::kOutbound, &next).has_value());
    EXPECT_EQ(table.Find(first), nullptr);
    EXPECT_NE(table.Find(next), nullptr);
    table.Release(next);
  }
}

TEST(SimNicTableTest, ReleasingTwiceFreesOnce) {
  SimNicTable table(2);
  OffloadHandle a;
  OffloadHandle b;
  ASSERT_FALSE(AddTo(&table, test::MakeSpec({.spi = 1}), Half::kOutbound, &a).has_value());
  ASSERT_FALSE(AddTo(&table, test::MakeSpec({.spi = 2}), Half::kOutbound, &b).has_value());
  table.Release(a);
  table.Release(a);
  EXPECT_EQ(table.used(), 1u);
  EXPECT_NE(table.Find(b), nullptr);
}

TEST(SimNicTableTest, HandlesFromNowhereFindNothing) {
  SimNicTable table(2);
  OffloadHandle handle;
  ASSERT_FALSE(AddTo(&table, test::MakeSpec(), Half::kOutbound, &handle).has_value());
  for (const uint32_t value : {0u, handle.value + 1, handle.value + 100, 0xfffffu, ~0u}) {
    EXPECT_EQ(table.Find(OffloadHandle(value)), nullptr) << value;
    table.Stop(OffloadHandle(value));
    table.Release(OffloadHandle(value));
  }
  EXPECT_EQ(table.used(), 1u);
}

TEST(SimNicTableTest, KeyIsWipedOnRelease) {
  SimNicTable table(1);
  OffloadHandle handle;
  const SaSpec spec = test::MakeSpec();
  ASSERT_FALSE(AddTo(&table, spec, Half::kInbound, &handle).has_value());
  SimNicTable::Slot* slot = table.Find(handle);
  ASSERT_NE(slot, nullptr);
  EXPECT_TRUE(slot->key == spec.aead.key);
  const uint8_t* where = slot->key.bytes().data();
  EXPECT_NE(where, spec.aead.key.bytes().data());  // its own copy
  table.Release(handle);
  EXPECT_THAT(table.Held(), IsEmpty());
  EXPECT_TRUE(slot->key.empty());
  EXPECT_EQ(slot->session, nullptr);
  EXPECT_EQ(slot->params.salt, (std::array<uint8_t, 4>{}));
  // The end of a free slot of key memory has the address of another one.
  EXPECT_TRUE(std::all_of(where, where + 14, [](uint8_t b) { return b == 0; }));
}

TEST(SimNicTableTest, StoppedSlotMatchesNoArrivalAndStillSeals) {
  SimNicTable table(1);
  OffloadHandle in;
  OffloadHandle out;
  OffloadHandle found;
  const SaSpec spec = test::MakeSpec();
  ASSERT_FALSE(AddTo(&table, spec, Half::kInbound, &in).has_value());
  ASSERT_FALSE(AddTo(&table, spec, Half::kOutbound, &out).has_value());
  EXPECT_NE(table.FindInbound(0x1000, spec.daddr, spec.family, &found), nullptr);
  EXPECT_EQ(found, in);
  table.Stop(in);
  table.Stop(out);
  EXPECT_EQ(table.FindInbound(0x1000, spec.daddr, spec.family, &found), nullptr);
  EXPECT_NE(table.Find(out), nullptr);
}

TEST(SimNicTableTest, OldSaThatGoesLeavesItsSuccessorOfTheSameSpi) {
  SimNicTable table(2);
  OffloadHandle old_handle;
  OffloadHandle new_handle;
  OffloadHandle found;
  const SaSpec spec = test::MakeSpec();
  ASSERT_FALSE(AddTo(&table, spec, Half::kInbound, &old_handle).has_value());
  ASSERT_FALSE(AddTo(&table, spec, Half::kInbound, &new_handle).has_value());
  table.Release(old_handle);
  EXPECT_NE(table.FindInbound(0x1000, spec.daddr, spec.family, &found), nullptr);
  EXPECT_EQ(found, new_handle);
}

TEST(SimNicTableTest, OutboundSaMatchesNoArrival) {
  SimNicTable table(1);
  OffloadHandle handle;
  const SaSpec spec = test::MakeSpec();
  ASSERT_FALSE(AddTo(&table, spec, Half::kOutbound, &handle).has_value());
  EXPECT_EQ(table.FindInbound(0x1000, spec.daddr, spec.family, &handle), nullptr);
}

// --- Receive addresses ---

TEST(SimNicTableTest, ReceiveAddressesAreALimitOfTheirOwn) {
  SimNicTable table(8, 2);
  OffloadHandle handle;
  const auto to = [](const char* daddr, uint32_t spi) {
    return test::MakeSpec({.src = "192.0.2.9", .dst = daddr, .spi = spi});
  };
  OffloadHandle first;
  ASSERT_FALSE(AddTo(&table, to("192.0.2.1", 1), Half::kInbound, &first).has_value());
  ASSERT_FALSE(
      AddTo(&table, to("192.0.2.1", 2), Half::kInbound, &handle).has_value());  // the same one
  ASSERT_FALSE(AddTo(&table, to("192.0.2.2", 3), Half::kInbound, &handle).has_value());
  const auto refusal = AddTo(&table, to("192.0.2.3", 4), Half::kInbound, &handle);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->kind, InstallError::kAddressTableFull);
  EXPECT_EQ(refusal->code, Errc::kNotSupported);
  EXPECT_EQ(refusal->text, "2 of 2 receive addresses in use");
  EXPECT_FALSE(AddTo(&table, to("192.0.2.3", 5), Half::kOutbound, &handle)
                   .has_value());  // outbound needs none
  EXPECT_EQ(table.addresses_used(), 2u);
  table.Release(first);
  EXPECT_EQ(table.addresses_used(), 2u);  // SPI 2 still exists
}

TEST(SimNicTableTest, ReceiveAddressGoesWithItsLastSa) {
  SimNicTable table(8, 1);
  OffloadHandle handle;
  ASSERT_FALSE(
      AddTo(&table, test::MakeSpec({.dst = "192.0.2.1"}), Half::kInbound, &handle).has_value());
  table.Release(handle);
  EXPECT_EQ(table.addresses_used(), 0u);
  EXPECT_EQ(table.addresses_high_water(), 1u);
  EXPECT_FALSE(
      AddTo(&table, test::MakeSpec({.dst = "192.0.2.2"}), Half::kInbound, &handle).has_value());
}

// --- Key log ---

TEST(SimNicTableTest, KeyLogTellsWhatWasOfferedTakenAndErased) {
  SimNicTable table(1);
  OffloadHandle handle;
  ASSERT_FALSE(AddTo(&table, test::MakeSpec({.spi = 1}), Half::kInbound, &handle).has_value());
  ASSERT_TRUE(AddTo(&table, test::MakeSpec({.spi = 2}), Half::kInbound, &handle).has_value());
  auto log = table.KeyLog();
  ASSERT_THAT(log, SizeIs(2));
  EXPECT_EQ(log[0].id.spi, Spi(1));
  EXPECT_EQ(log[0].time, kNow);
  EXPECT_TRUE(log[0].half == Half::kInbound && log[0].taken && !log[0].erased);
  EXPECT_EQ(log[1].id.spi, Spi(2));
  EXPECT_FALSE(log[1].taken || log[1].erased);
  table.Release(handle);
  log = table.KeyLog();
  EXPECT_TRUE(log[0].erased);
  EXPECT_FALSE(log[1].erased);
}

TEST(SimNicTableTest, KeyLogKeepsTheLast) {
  SimNicTable table(2);
  OffloadHandle early;
  ASSERT_FALSE(AddTo(&table, test::MakeSpec({.spi = 7}), Half::kInbound, &early).has_value());
  for (uint32_t i = 0; i < SimNicKeyLog::kEntries; ++i) {
    OffloadHandle handle;
    ASSERT_FALSE(
        AddTo(&table, test::MakeSpec({.spi = 1000 + i}), Half::kInbound, &handle).has_value());
    table.Release(handle);
  }
  table.Release(early);  // its entry is gone, and another one is not mistaken for it
  const auto log = table.KeyLog();
  ASSERT_THAT(log, SizeIs(SimNicKeyLog::kEntries));
  EXPECT_EQ(log.front().id.spi, Spi(1000));
  EXPECT_EQ(log.back().id.spi, Spi(1000 + SimNicKeyLog::kEntries - 1));
}

// --- Wipe ---

TEST(SimNicTableTest, WipeTakesEverythingAndTellsWhat) {
  SimNicTable table(2);
  OffloadHandle in;
  OffloadHandle out;
  ASSERT_FALSE(AddTo(&table, test::MakeSpec({.spi = 1}), Half::kInbound, &in).has_value());
  ASSERT_FALSE(AddTo(&table, test::MakeSpec({.spi = 2}), Half::kOutbound, &out).has_value());
  table.Wipe();
  EXPECT_EQ(table.used(), 0u);
  EXPECT_EQ(table.addresses_used(), 0u);
  EXPECT_EQ(table.Find(in), nullptr);
  EXPECT_THAT(table.TakeErased(), testing::UnorderedElementsAre(in, out));
  EXPECT_THAT(table.TakeErased(), IsEmpty());
  for (const KeyLogEntry& entry : table.KeyLog()) EXPECT_TRUE(entry.erased);
}

TEST(SimNicTableTest, WipedHandleIsToldFromAReleasedOne) {
  SimNicTable table(1);
  OffloadHandle released;
  OffloadHandle older;
  OffloadHandle wiped;
  OffloadHandle newer;
  const SaSpec spec = test::MakeSpec();
  ASSERT_FALSE(AddTo(&table, spec, Half::kOutbound, &released).has_value());
  table.Release(released);
  EXPECT_FALSE(table.WasWiped(released));
  ASSERT_FALSE(AddTo(&table, spec, Half::kOutbound, &older).has_value());
  table.Wipe();
  ASSERT_FALSE(AddTo(&table, spec, Half::kOutbound, &wiped).has_value());
  table.Wipe();
  ASSERT_FALSE(AddTo(&table, spec, Half::kOutbound, &newer).has_value());
  EXPECT_TRUE(table.WasWiped(older));  // two resets in a row
  EXPECT_TRUE(table.WasWiped(wiped));
  EXPECT_FALSE(table.WasWiped(newer));
  table.Release(newer);
  EXPECT_FALSE(table.WasWiped(newer));
  for (const uint32_t value : {0u, 0xfffffu, ~0u}) {
    EXPECT_FALSE(table.WasWiped(OffloadHandle(value))) << value;
  }
}

}  // namespace
}  // namespace cygnet
