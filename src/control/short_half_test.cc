#include "control/short_half.h"

#include <gtest/gtest.h>

#include <utility>

namespace cygnet {
namespace {

TEST(ShortHalfTest, GivesBackTheWholeName) {
  for (const char* address : {"192.0.2.1", "0.0.0.0", "::", "2001:db8::1", "c000:201::"}) {
    const ParsedAddress at = *ParseAddress(address);
    const SaHalf half{.saddr = at.address,
                      .daddr = ParseAddress("203.0.113.9")->address,
                      .family = at.family,
                      .spi = Spi(7),
                      .proto = 50,
                      .reqid = Reqid(8),
                      .half = Half::kInbound};
    ShortHalf first(half);
    EXPECT_EQ(first.Whole(), half) << address;
    ShortHalf second(std::move(first));
    EXPECT_EQ(second.Whole(), half) << address;
    second = ShortHalf(SaHalf());
    EXPECT_EQ(second.Whole(), SaHalf()) << address;
    second = ShortHalf(half);
    EXPECT_EQ(second.Whole(), half) << address;
  }
  EXPECT_EQ(ShortHalf().Whole(), SaHalf());
}

}  // namespace
}  // namespace cygnet
