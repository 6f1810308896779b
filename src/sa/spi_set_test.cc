#include "sa/spi_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace cygnet {
namespace {

TEST(SpiSetTest, HoldsEachAsOftenAsItWasAdded) {
  SpiSet spis;
  EXPECT_FALSE(spis.Has(0x100));
  EXPECT_FALSE(spis.Has(0));
  spis.Add(0x100);
  spis.Add(0x100);
  spis.Add(0x100);
  spis.Remove(0x100);
  spis.Remove(0x100);
  EXPECT_FALSE(spis.Has(0)) << "no SPI";
  spis.Remove(0);
  EXPECT_TRUE(spis.Has(0x100));
  EXPECT_FALSE(spis.Has(0x101));
  spis.Remove(0x100);
  EXPECT_FALSE(spis.Has(0x100));
  spis.Add(0x101);
  EXPECT_TRUE(spis.Has(0x101));
}

// Against std::multiset. Few SPIs, so that slots collide, are freed and filled again.
TEST(SpiSetTest, DoesWhatAMultisetDoes) {
  std::mt19937 random(1);
  for (const uint32_t different : {40U, 4000U}) {
    SpiSet spis;
    std::multiset<uint32_t> model;
    for (int i = 0; i < 40'000; ++i) {
      const uint32_t spi = 1 + static_cast<uint32_t>(random()) % different;
      const auto known = model.find(spi);
      if (known != model.end() && random() % 2 == 0) {
        spis.Remove(spi);
        model.erase(known);
      } else if (model.size() < different / 2) {
        spis.Add(spi);
        model.insert(spi);
      }
      const uint32_t other = 1 + static_cast<uint32_t>(random()) % different;
      ASSERT_EQ(spis.Has(other), model.contains(other)) << i;
      ASSERT_EQ(spis.Has(spi), model.contains(spi)) << i;
    }
    while (!model.empty()) {
      spis.Remove(*model.begin());
      model.erase(model.begin());
    }
    for (uint32_t spi = 1; spi <= different; ++spi) ASSERT_FALSE(spis.Has(spi));
  }
}

}  // namespace
}  // namespace cygnet
