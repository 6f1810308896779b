#include "daemon/cluster/sealed_entry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace cygnet {
namespace {

using testing::HasSubstr;

constexpr const char* kName = "sa/00112233445566778899aabbccddeeff/spec";

WrappingKeys Keys(std::vector<uint8_t> fills) {
  std::vector<KeyMaterial> keys;
  for (const uint8_t fill : fills) keys.emplace_back(std::vector<uint8_t>(32, fill));
  return WrappingKeys(std::move(keys));
}

Entry Sample() {
  return {.kind = EntryKind::kSa,
          .place = {.epoch = 7, .serial = 3},
          .era = 2,
          .clear = {1, 2, 3},
          .secret = {9, 8, 7, 6, 5}};
}

class SealedEntryTest : public testing::Test {
 protected:
  std::string Why(const std::string& name, const std::string& value) {
    const auto entry = seal_.Open(name, value);
    return entry ? std::string("opened") : entry.error().message;
  }
  EntrySeal seal_{Keys({1}), "paris"};
};

TEST_F(SealedEntryTest, ComesBackAsItWas) {
  const auto value = seal_.Seal(kName, Sample());
  ASSERT_TRUE(value);
  const auto entry = seal_.Open(kName, *value);
  ASSERT_TRUE(entry) << entry.error().message;
  EXPECT_EQ(entry->kind, EntryKind::kSa);
  EXPECT_EQ(entry->place, (EntryPlace{7, 3}));
  EXPECT_EQ(entry->era, 2u);
  EXPECT_EQ(entry->clear, (std::vector<uint8_t>{1, 2, 3}));
  EXPECT_TRUE(entry->secret == Sample().secret);
  EXPECT_EQ(value->find("\x09\x08\x07\x06\x05"), std::string::npos) << "a key is readable";
}

TEST_F(SealedEntryTest, AnEntryWithoutKeysIsAuthenticatedAsWell) {
  Entry entry = Sample();
  entry.secret.clear();
  const auto value = seal_.Seal("policy/1", entry);
  ASSERT_TRUE(value);
  const auto back = seal_.Open("policy/1", *value);
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->secret.empty());
}

TEST_F(SealedEntryTest, NoChangedBitAndNoMissingByteIsAccepted) {
  const std::string value = *seal_.Seal(kName, Sample());
  for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string changed = value;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(seal_.Open(kName, changed)) << bit;
  }
  for (std::size_t size = 0; size < value.size(); ++size) {
    EXPECT_FALSE(seal_.Open(kName, value.substr(0, size))) << size;
  }
  EXPECT_FALSE(seal_.Open(kName, value + "x"));
}

TEST_F(SealedEntryTest, BelongsToItsPlaceInItsCluster) {
  const std::string value = *seal_.Seal(kName, Sample());
  EXPECT_THAT(Why("sa/ffffffffffffffffffffffffffffffff/spec", value), HasSubstr("changed"));
  const EntrySeal other(Keys({1}), "lyon");
  EXPECT_FALSE(other.Open(kName, value));
}

TEST_F(SealedEntryTest, KeysRotate) {
  const EntrySeal rotated(Keys({2, 1}), "paris");
  const std::string old = *seal_.Seal(kName, Sample());
  const std::string fresh = *rotated.Seal(kName, Sample());
  EXPECT_TRUE(rotated.Open(kName, old));
  EXPECT_TRUE(rotated.Open(kName, fresh));
  EXPECT_THAT(Why(kName, fresh), HasSubstr("under a key that this node does not have"));
  const EntrySeal done(Keys({2}), "paris");
  EXPECT_TRUE(done.Open(kName, fresh));
  EXPECT_FALSE(done.Open(kName, old));
}

}  // namespace
}  // namespace cygnet
