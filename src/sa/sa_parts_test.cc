// The parts of a spec that take no memory of their own in the usual case.
#include <gtest/gtest.h>

#include "sa/replay_bits.h"
#include "sa/sa_selector.h"
#include "sa/sa_spec.h"

namespace cygnet {
namespace {

TEST(ReplayBitsTest, ZerosAreCountedAndOthersKept) {
  static_assert(sizeof(ReplayBits) == 8);
  ReplayBits bits;
  EXPECT_TRUE(bits.empty());
  bits.assign(4, 0);
  EXPECT_EQ(bits.size(), 4u);
  EXPECT_EQ(bits.front(), 0u);
  EXPECT_EQ(bits[3], 0u);
  EXPECT_EQ(bits.words(), std::vector<uint32_t>(4, 0));
  EXPECT_EQ(bits, (ReplayBits{0, 0, 0, 0}));
  EXPECT_FALSE(bits == (ReplayBits{0, 0, 0}));
  const ReplayBits seen = {0, 6};
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1], 6u);
  EXPECT_EQ(seen.words(), (std::vector<uint32_t>{0, 6}));
  bits.assign(2, ~uint32_t{0});
  EXPECT_EQ(bits.front(), ~uint32_t{0});
}

TEST(SaSelectorTest, ReadsAsWhatWasGiven) {
  static_assert(sizeof(SaSelector) == 8);
  EXPECT_EQ(SaSelector(), Selector());
  for (const IpFamily family : {IpFamily::kUnspec, IpFamily::kV4, IpFamily::kV6}) {
    Selector given;
    given.family = family;
    EXPECT_EQ(SaSelector(given), given);
    given.user = 7;  // carried, never matched
    const SaSelector all = given;
    EXPECT_EQ(all, given);
    EXPECT_TRUE(all->SaysNothing());
  }
  Selector odd;
  odd.family = static_cast<IpFamily>(3);
  EXPECT_EQ(SaSelector(odd), odd);
  SaSelector changed;
  changed.Change()->ifindex = 4;
  EXPECT_EQ(changed->ifindex, 4);
  EXPECT_EQ(SaSelector(), Selector()) << "others stay as they were";
}

TEST(SaSpecTest, CloneHasWhatFewSasHave) {
  SaSpec spec;
  spec.rare.Set(&SaRare::tfc_pad, 0u);
  EXPECT_EQ(spec.rare, SaRare());
  spec.rare.Set(&SaRare::tfc_pad, 9u);
  spec.rare.Change()->initial_usage = LifetimeUsage{.bytes = 1};
  spec.selector.Change()->proto = 17;
  spec.replay.bitmap = {5};
  const SaSpec copy = spec.Clone();
  EXPECT_EQ(copy.rare, spec.rare);
  EXPECT_EQ(copy.rare->tfc_pad, 9u);
  EXPECT_EQ(copy.rare->initial_usage->bytes, 1u);
  EXPECT_EQ(copy.selector, spec.selector);
  EXPECT_EQ(copy.replay, spec.replay);
}

}  // namespace
}  // namespace cygnet
