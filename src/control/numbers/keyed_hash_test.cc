#include "control/numbers/keyed_hash.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace cygnet {
namespace {

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string HashText(std::span<const uint8_t> key, std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  for (const uint8_t byte : KeyedHash(KeyMaterial(key), Bytes(text))) {
    digits += kDigits[byte >> 4];
    digits += kDigits[byte & 15];
  }
  return digits;
}

// RFC 4231, test cases 1 and 2.
TEST(KeyedHashTest, KnownAnswers) {
  EXPECT_EQ(HashText(std::vector<uint8_t>(20, 0x0b), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(HashText(Bytes("Jefe"), "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

// One key leaves nothing behind for the next one.
TEST(KeyedHashTest, EachKeyBeginsAnew) {
  const std::string before = HashText(Bytes("Jefe"), "a");
  (void)HashText(Bytes("another key, and a longer one"), "b");
  EXPECT_EQ(HashText(Bytes("Jefe"), "a"), before);
}

TEST(KeyedHashTest, SeveralUnderOneKey) {
  const KeyMaterial key(Bytes("Jefe"));
  KeyedHasher hasher(key);
  for (const std::string_view text : {"", "a", "what do ya want for nothing?", "a"}) {
    EXPECT_EQ(hasher.Hash(Bytes(text)), KeyedHash(key, Bytes(text))) << text;
  }
}

}  // namespace
}  // namespace cygnet
