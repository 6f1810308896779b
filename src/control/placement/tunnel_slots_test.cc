#include "control/placement/tunnel_slots.h"

#include <gtest/gtest.h>

#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakeSpec;

TEST(TunnelSlotsTest, RekeyIsAnSaOfTheSameEndsAndReqidInTheSameDirection) {
  TunnelSlots slots;
  slots.Add(0, Half::kOutbound, MakeSpec({.spi = 1, .reqid = 5}));
  EXPECT_TRUE(slots.Has(0, Half::kOutbound, MakeSpec({.spi = 2, .reqid = 5})));
  EXPECT_FALSE(slots.Has(0, Half::kInbound, MakeSpec({.spi = 2, .reqid = 5})));
  EXPECT_FALSE(slots.Has(1, Half::kOutbound, MakeSpec({.spi = 2, .reqid = 5})));
  EXPECT_FALSE(slots.Has(0, Half::kOutbound, MakeSpec({.spi = 2, .reqid = 6})));
  EXPECT_FALSE(slots.Has(0, Half::kOutbound, MakeSpec({.dst = "192.0.2.9", .reqid = 5})));
}

TEST(TunnelSlotsTest, LastOneOfATunnelEndsIt) {
  TunnelSlots slots;
  const SaSpec spec = MakeSpec({.reqid = 5});
  slots.Add(0, Half::kInbound, spec);
  slots.Add(0, Half::kInbound, spec);
  slots.Remove(0, Half::kInbound, spec);
  EXPECT_TRUE(slots.Has(0, Half::kInbound, spec));
  slots.Remove(0, Half::kInbound, spec);
  EXPECT_FALSE(slots.Has(0, Half::kInbound, spec));
}

}  // namespace
}  // namespace cygnet
