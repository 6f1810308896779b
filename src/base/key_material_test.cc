#include "base/key_material.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "base/locked_memory.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CYGNET_MLOCK_IS_PLAYED 1
#endif
#endif

namespace cygnet {
namespace {

#ifdef CYGNET_MLOCK_IS_PLAYED
constexpr bool kMlockIsPlayed = true;
#else
constexpr bool kMlockIsPlayed = false;
#endif

static_assert(!std::is_copy_constructible_v<KeyMaterial>);
static_assert(!std::is_copy_assignable_v<KeyMaterial>);

const std::array<uint8_t, 20> kKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

// The end of a free slot has the address of another one.
bool IsWiped(const uint8_t* key) {
  return std::all_of(key, key + 14, [](uint8_t b) { return b == 0; });
}

TEST(KeyMaterialTest, WipeOverwritesTheBytes) {
  KeyMaterial key(kKey);
  const uint8_t* where = key.bytes().data();
  key.Wipe();
  EXPECT_TRUE(key.empty());
  // The slot stays mapped in its arena, and nobody has reused it meanwhile.
  EXPECT_TRUE(IsWiped(where));
}

TEST(KeyMaterialTest, DestructionWipes) {
  const uint8_t* where = nullptr;
  {
    const KeyMaterial key(kKey);
    where = key.bytes().data();
    EXPECT_EQ(where[0], 1);
  }
  EXPECT_TRUE(IsWiped(where));
}

TEST(KeyMaterialTest, NothingOfAKeyOfAnyLengthStays) {
  for (std::size_t size = 1; size <= KeyMaterial::kMaxBytes; ++size) {
    const std::vector<uint8_t> bytes(size, 0xee);
    KeyMaterial key(bytes);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), key.bytes().begin())) << size;
    const uint8_t* where = key.bytes().data();
    key.Wipe();
    // One byte of an address may be the same by chance.
    EXPECT_LE(std::count(where, where + size, 0xee), 6) << size;
    EXPECT_NE(where[0], 0xee) << size;
  }
}

TEST(KeyMaterialTest, MoveLeavesNothingBehind) {
  KeyMaterial a(kKey);
  const uint8_t* where = a.bytes().data();
  KeyMaterial b(std::move(a));
  EXPECT_TRUE(a.empty());  // NOLINT: the state of a moved-from key is the point
  EXPECT_EQ(b.bytes().data(), where);
  KeyMaterial c(std::array<uint8_t, 3>{9, 9, 9});
  const uint8_t* old = c.bytes().data();
  c = std::move(b);
  EXPECT_EQ(old[0], 0);
  EXPECT_EQ(c.size(), kKey.size());
}

TEST(KeyMaterialTest, CloneIsAnotherCopy) {
  KeyMaterial a(kKey);
  KeyMaterial b = a.Clone();
  EXPECT_TRUE(a == b);
  EXPECT_NE(a.bytes().data(), b.bytes().data());
  a.Wipe();
  EXPECT_EQ(b.bytes()[9], 10);
  EXPECT_FALSE(a == b);
}

TEST(KeyMaterialTest, EqualityLooksAtEveryByteAndTheLength) {
  const KeyMaterial a(kKey);
  for (std::size_t i = 0; i < kKey.size(); ++i) {
    std::array<uint8_t, 20> other = kKey;
    other[i] ^= 0x80;
    EXPECT_FALSE(a == KeyMaterial(other)) << i;
  }
  EXPECT_FALSE(a == KeyMaterial(std::span<const uint8_t>(kKey).first(19)));
  EXPECT_TRUE(KeyMaterial() == KeyMaterial());
}

TEST(KeyMaterialTest, ThousandsOfKeysAreKeptApart) {
  std::vector<KeyMaterial> keys;
  for (uint32_t i = 0; i < 3000; ++i) {
    const std::array<uint8_t, 4> bytes = {static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8)};
    keys.emplace_back(bytes);
  }
  for (uint32_t i = 0; i < 3000; ++i) {
    EXPECT_EQ(keys[i].bytes()[0], i & 0xff);
    EXPECT_EQ(keys[i].bytes()[1], i >> 8);
  }
}

// A user who may not lock memory can see it.
TEST(KeyMaterialTest, MemoryThatCannotBeLockedIsCounted) {
  if (kMlockIsPlayed) GTEST_SKIP() << "sanitizers turn mlock() into a no-op that succeeds";
  const auto take_keys = [] {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) _exit(2);
    const std::size_t before = UnlockedKeyBytes();
    std::vector<KeyMaterial> keys;  // more than the free slots of an existing arena
    for (int i = 0; i < 10'000; ++i) keys.emplace_back(kKey);
    _exit(UnlockedKeyBytes() > before ? 0 : 1);
  };
  EXPECT_EXIT(take_keys(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace cygnet
