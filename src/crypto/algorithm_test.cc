// Compares the table with the names and lengths of Linux and iproute2.
#include "crypto/algorithm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace cygnet {
namespace {

constexpr AlgorithmKind kAead = AlgorithmKind::kAead;
constexpr AlgorithmKind kCipher = AlgorithmKind::kCipher;
constexpr AlgorithmKind kAuth = AlgorithmKind::kAuth;

enum class Fips { kYes, kNo };

// A client's request and the expected row; lengths in bits, as in XFRM attributes.
struct Expected {
  AlgorithmKind kind;
  std::string_view name;
  std::string_view alias;
  std::vector<std::size_t> material_bits;  // key ‖ salt
  std::vector<std::size_t> icv_bits;       // AEAD: all allowed; authenticator: full, default
  uint8_t salt;
  uint8_t iv;
  uint8_t block;
  IvForm form;
  Fips fips;
};

const Expected kExpected[] = {
    {kAead,
     "rfc4106(gcm(aes))",
     "",
     {160, 224, 288},
     {128, 96, 64},
     4,
     8,
     1,
     IvForm::kCounter,
     Fips::kYes},
    {kAead,
     "rfc4309(ccm(aes))",
     "",
     {152, 216, 280},
     {128, 96, 64},
     3,
     8,
     1,
     IvForm::kCounter,
     Fips::kYes},
    {kAead, "rfc4543(gcm(aes))", "", {160, 224, 288}, {128}, 4, 8, 1, IvForm::kCounter, Fips::kYes},
    {kAead,
     "rfc7539esp(chacha20,poly1305)",
     "",
     {288},
     {128},
     4,
     8,
     1,
     IvForm::kCounter,
     Fips::kNo},
    {kCipher, "ecb(cipher_null)", "cipher_null", {0}, {}, 0, 0, 1, IvForm::kNone, Fips::kNo},
    {kCipher, "cbc(aes)", "aes", {128, 192, 256}, {}, 0, 16, 16, IvForm::kSealed, Fips::kYes},
    {kCipher, "cbc(des3_ede)", "des3_ede", {192}, {}, 0, 8, 8, IvForm::kSealed, Fips::kNo},
    {kCipher, "rfc3686(ctr(aes))", "", {160, 224, 288}, {}, 4, 8, 1, IvForm::kCounter, Fips::kYes},
    {kAuth, "hmac(sha1)", "sha1", {160}, {160, 96}, 0, 0, 1, IvForm::kNone, Fips::kYes},
    {kAuth, "hmac(sha256)", "sha256", {256}, {256, 96}, 0, 0, 1, IvForm::kNone, Fips::kYes},
    {kAuth, "hmac(sha384)", "", {384}, {384, 192}, 0, 0, 1, IvForm::kNone, Fips::kYes},
    {kAuth, "hmac(sha512)", "", {512}, {512, 256}, 0, 0, 1, IvForm::kNone, Fips::kYes},
    {kAuth, "xcbc(aes)", "", {128}, {128, 96}, 0, 0, 1, IvForm::kNone, Fips::kNo},
    {kAuth, "cmac(aes)", "", {128}, {128, 96}, 0, 0, 1, IvForm::kNone, Fips::kYes},
};

TEST(AlgorithmTest, EveryRowIsAsLinuxHasIt) {
  EXPECT_EQ(AllAlgorithms().size(), std::size(kExpected));
  for (const Expected& e : kExpected) {
    SCOPED_TRACE(e.name);
    const AlgorithmDescriptor* row = FindAlgorithm(e.kind, e.name);
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->alias, e.alias);
    if (!e.alias.empty()) {
      EXPECT_EQ(FindAlgorithm(e.kind, e.alias), row);
    }
    EXPECT_EQ(row->salt_bytes, e.salt);
    EXPECT_EQ(row->iv_bytes, e.iv);
    EXPECT_EQ(row->block_bytes, e.block);
    EXPECT_EQ(row->iv_form, e.form);
    EXPECT_EQ(row->fips_approved, e.fips == Fips::kYes);
    EXPECT_EQ(row->iv_in_aad, e.name == "rfc4543(gcm(aes))");
    EXPECT_FALSE(row->rfc.empty());
    EXPECT_LE(row->nonce_bytes(), 16);  // fits CryptoJob::nonce
  }
}

TEST(AlgorithmTest, TakesTheKeyLengthsOfLinuxAndNoOthers) {
  for (const Expected& e : kExpected) {
    SCOPED_TRACE(e.name);
    const AlgorithmDescriptor* row = FindAlgorithm(e.kind, e.name);
    ASSERT_NE(row, nullptr);
    for (std::size_t bytes = 0; bytes <= 300; ++bytes) {
      const bool listed = std::ranges::count(e.material_bits, bytes * 8) != 0;
      const bool hmac = e.name.starts_with("hmac");  // RFC 2104: a key of any length except zero
      EXPECT_EQ(row->AcceptsKeyMaterial(bytes),
                listed || (hmac && bytes > 0 && bytes <= kMaxAnyKeyBytes))
          << bytes;
    }
  }
}

TEST(AlgorithmTest, TakesTheIcvLengthsOfLinuxAndNoOthers) {
  for (const Expected& e : kExpected) {
    if (e.kind == kCipher) continue;
    SCOPED_TRACE(e.name);
    const AlgorithmDescriptor* row = FindAlgorithm(e.kind, e.name);
    ASSERT_NE(row, nullptr);
    for (std::size_t bytes = 0; bytes <= 80; ++bytes) {
      const bool listed = std::ranges::count(e.icv_bits, bytes * 8) != 0;
      const bool truncated = e.kind == kAuth && bytes > 0 && bytes * 8 <= e.icv_bits[0];
      EXPECT_EQ(row->AcceptsIcv(bytes), listed || truncated) << bytes;
    }
    if (e.kind == kAuth) {
      EXPECT_EQ(row->default_icv_bytes() * 8u, e.icv_bits[1]);
    }
  }
}

TEST(AlgorithmTest, NamesAndIdsAreUnique) {
  std::set<std::string> names;
  std::set<AlgorithmId> ids;
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    EXPECT_TRUE(names.insert(std::string(row.name)).second) << row.name;
    if (!row.alias.empty()) {
      EXPECT_TRUE(names.insert(std::string(row.alias)).second) << row.alias;
    }
    EXPECT_TRUE(ids.insert(row.id).second) << row.name;
  }
}

// RFC 8221 and Linux: these are never negotiated; their names must find nothing.
TEST(AlgorithmTest, WeakAndUnknownNamesFindNothing) {
  for (const char* name : {"hmac(md5)",     "md5",       "digest_null",   "hmac(rmd160)",
                           "rmd160",        "hmac(sm3)", "cbc(des)",      "des",
                           "cbc(blowfish)", "blowfish",  "cbc(cast5)",    "cast5",
                           "cbc(serpent)",  "serpent",   "cbc(camellia)", "camellia",
                           "cbc(twofish)",  "twofish",   "cbc(sm4)",      "gcm(aes)",
                           "ccm(aes)",      "ctr(aes)",  "AES",           "cbc(aes) ",
                           "hmac(sha384) ", "sha384",    "sha512",        ""}) {
    for (const AlgorithmKind kind : {kAead, kCipher, kAuth}) {
      EXPECT_EQ(FindAlgorithm(kind, name), nullptr) << name;
    }
  }
}

TEST(AlgorithmTest, NameOfAnotherKindFindsNothing) {
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    for (const AlgorithmKind kind : {kAead, kCipher, kAuth}) {
      if (kind == row.kind) continue;
      EXPECT_EQ(FindAlgorithm(kind, row.name), nullptr) << row.name;
    }
  }
}

}  // namespace
}  // namespace cygnet
