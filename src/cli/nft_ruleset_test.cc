#include "cli/nft_ruleset.h"

#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

namespace cygnet {
namespace {

TEST(NftRulesetTest, AsksTheLibraryOnlyForWhatItKnows) {
  EXPECT_TRUE(IsReadable({NFPROTO_INET, "filter"}));
  EXPECT_TRUE(IsReadable({NFPROTO_INET, "libvirt_network.1-a", NFT_TABLE_F_DORMANT}));
  EXPECT_TRUE(IsReadable({NFPROTO_INET, "firewalld", kNftOwner}));
  EXPECT_FALSE(IsReadable({NFPROTO_INET, "firewalld", kNftOwner | kNftPersist}));
  EXPECT_FALSE(IsReadable({NFPROTO_INET, "x", 0x80}));
}

// The name of a table becomes part of a command.
TEST(NftRulesetTest, NamesAreNotCommands) {
  for (const char* name : {"", "x; flush ruleset", "x\nflush ruleset", "1", "x{", "\"x\"", "x y"}) {
    EXPECT_FALSE(IsReadable({NFPROTO_INET, name})) << name;
  }
}

}  // namespace
}  // namespace cygnet
