#include "daemon/cluster/key_wrap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/hex.h"

namespace cygnet {
namespace {

using testing::HasSubstr;

struct Vector {
  const char* key;
  const char* secret;
  const char* wrapped;
};
// RFC 5649, section 6; the last one was made by another implementation, for AES-256.
constexpr Vector kVectors[] = {
    {"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "c37b7e6492584340bed12207808941155068f738",
     "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
    {"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "466f7250617369",
     "afbeb0f07dfbf5419200f2ccb50bb24f"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "808182838485868788898a8b8c8d8e8f90919293",
     "20966d139876afd74f1ddc9d3bda9a62fbea1781d7555f278c3342198d658f8d"},
};

KeyMaterial KeyOf(const std::string& hex) { return KeyMaterial(test::FromHex(hex)); }

TEST(KeyWrapTest, VectorsOfRfc5649) {
  for (const Vector& v : kVectors) {
    const auto wrapped = AesWrap(KeyOf(v.key), test::FromHex(v.secret));
    ASSERT_TRUE(wrapped);
    EXPECT_EQ(*wrapped, test::FromHex(v.wrapped));
    const auto secret = AesUnwrap(KeyOf(v.key), *wrapped);
    ASSERT_TRUE(secret);
    EXPECT_EQ(std::vector<uint8_t>(secret->begin(), secret->end()), test::FromHex(v.secret));
  }
}

TEST(KeyWrapTest, EachLengthOfAKeyComesBackAndNoChangedBitDoes) {
  const KeyMaterial key = KeyOf(kVectors[2].key);
  for (std::size_t size = 1; size <= kMaxWrappedBytes; size += size < 64 ? 1 : 61) {
    std::vector<uint8_t> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + size);
    auto wrapped = AesWrap(key, bytes);
    ASSERT_TRUE(wrapped) << size;
    const auto back = AesUnwrap(key, *wrapped);
    ASSERT_TRUE(back) << size;
    EXPECT_EQ(std::vector<uint8_t>(back->begin(), back->end()), bytes);
    (*wrapped)[size % wrapped->size()] ^= 1;
    EXPECT_FALSE(AesUnwrap(key, *wrapped)) << size;
  }
  EXPECT_FALSE(AesWrap(key, {}));
  EXPECT_FALSE(AesUnwrap(key, {}));
  EXPECT_FALSE(AesUnwrap(key, std::vector<uint8_t>(15)));
  EXPECT_FALSE(AesUnwrap(key, std::vector<uint8_t>(2000)));
}

TEST(KeyWrapTest, PartsAreNotConfused) {
  const KeyMaterial key = KeyOf(kVectors[2].key);
  const std::vector<uint8_t> a{1, 2};
  const std::vector<uint8_t> b{3};
  const std::vector<uint8_t> c{1};
  const std::vector<uint8_t> d{2, 3};
  const std::array<std::span<const uint8_t>, 2> one{a, b};
  const std::array<std::span<const uint8_t>, 2> other{c, d};
  EXPECT_NE(HashParts(key, one), HashParts(key, other));
}

class WrappingKeysTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, std::size_t size, mode_t mode = 0600) {
    const std::string path = testing::TempDir() + "wrapping_" + name;
    (void)remove(path.c_str());
    std::ofstream(path, std::ios::binary) << std::string(size, name.front());
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    files_.push_back(path);
    return path;
  }
  void TearDown() override {
    for (const std::string& file : files_) (void)remove(file.c_str());
  }
  std::vector<std::string> files_;
};

TEST_F(WrappingKeysTest, TheFirstWrapsAndAllAreFound) {
  const std::string a = Write("a", 32);
  const std::string b = Write("b", 32, 0400);
  const auto keys = WrappingKeys::Load({a, b});
  ASSERT_TRUE(keys) << keys.error().message;
  const auto turned = WrappingKeys::Load({b, a});
  ASSERT_TRUE(turned);
  EXPECT_NE(keys->first(), turned->first());
  EXPECT_TRUE(*keys->Find(keys->first()) == KeyMaterial(std::vector<uint8_t>(32, 'a')));
  EXPECT_TRUE(*keys->Find(turned->first()) == KeyMaterial(std::vector<uint8_t>(32, 'b')));
  EXPECT_EQ(keys->Find({}), nullptr);
}

TEST_F(WrappingKeysTest, FilesThatCannotBeTrustedAreRefused) {
  const auto why = [](const std::string& file) {
    const auto keys = WrappingKeys::Load({file});
    return keys ? std::string() : keys.error().message;
  };
  EXPECT_THAT(why(Write("short", 31)), HasSubstr("exactly 32 bytes"));
  EXPECT_THAT(why(Write("long", 33)), HasSubstr("exactly 32 bytes"));
  EXPECT_THAT(why(Write("readable", 32, 0640)), HasSubstr("others may read it"));
  EXPECT_THAT(why("/nowhere/key"), HasSubstr("/nowhere/key"));
  EXPECT_FALSE(WrappingKeys::Load({}));
}

}  // namespace
}  // namespace cygnet
