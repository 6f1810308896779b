// Algorithm attributes of an SA: names, aliases, truncations, key lengths and refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "netlink/attribute.h"
#include "support/xfrm_messages.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {
namespace {

using testing::Algorithm;
using testing::AuthTrunc;
using testing::Message;
using testing::SaInfo;

Message NewSa() {
  Message message(RequestType::kNewSa);
  message.Put(SaInfo());
  return message;
}

Result<SaSpec> Decode(Message& message) {
  const netlink::Buffer bytes = message.Finish();
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(testing::View(bytes), ack);
  if (!request) return request.error();
  return DecodeSa(*request);
}

constexpr const char* kCryptoText = "Kernel was unable to initialize cryptographic operations";

struct Pair {
  const char* cipher;
  std::size_t cipher_key;
  const char* auth;
  std::size_t auth_key;
  const char* canonical_cipher;
  const char* canonical_auth;
  uint32_t default_icv_bits;
};

constexpr Pair kPairs[] = {
    {"cbc(aes)", 16, "hmac(sha1)", 20, "cbc(aes)", "hmac(sha1)", 96},
    {"aes", 24, "sha1", 20, "cbc(aes)", "hmac(sha1)", 96},
    {"aes", 32, "sha256", 32, "cbc(aes)", "hmac(sha256)", 96},
    {"rfc3686(ctr(aes))", 20, "hmac(sha384)", 48, "rfc3686(ctr(aes))", "hmac(sha384)", 192},
    {"rfc3686(ctr(aes))", 36, "hmac(sha512)", 64, "rfc3686(ctr(aes))", "hmac(sha512)", 256},
    {"cipher_null", 0, "hmac(sha256)", 32, "ecb(cipher_null)", "hmac(sha256)", 96},
    {"ecb(cipher_null)", 0, "cmac(aes)", 16, "ecb(cipher_null)", "cmac(aes)", 96},
    {"des3_ede", 24, "xcbc(aes)", 16, "cbc(des3_ede)", "xcbc(aes)", 96},
    {"cbc(des3_ede)", 24, "hmac(sha1)", 7, "cbc(des3_ede)", "hmac(sha1)", 96},
};

TEST(SaAlgorithmTest, PairsComeBackByTheirCanonicalNamesInBothForms) {
  for (const Pair& pair : kPairs) {
    SCOPED_TRACE(std::string(pair.cipher) + " " + pair.auth);
    const auto spec =
        Decode(NewSa()
                   .AttrBytes(XFRMA_ALG_CRYPT, Algorithm(pair.cipher, pair.cipher_key))
                   .AttrBytes(XFRMA_ALG_AUTH, Algorithm(pair.auth, pair.auth_key)));
    ASSERT_TRUE(spec.has_value()) << spec.error().message;
    EXPECT_EQ(spec->pair->cipher.descriptor->name, pair.canonical_cipher);
    EXPECT_EQ(spec->pair->cipher.key.size(), pair.cipher_key);
    EXPECT_EQ(spec->pair->auth.descriptor->name, pair.canonical_auth);
    EXPECT_EQ(spec->pair->auth.key.size(), pair.auth_key);
    EXPECT_EQ(spec->pair->auth.icv_bits, pair.default_icv_bits);
    SaView view;
    view.spec = &*spec;
    const netlink::Buffer dump = EncodeSa(view, {}, DumpPart::kNo);
    netlink::ExtendedAck ack;
    const auto again = ParseRequest(testing::View(dump), ack);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(testing::Bytes(again->attributes.Payload(XFRMA_ALG_CRYPT).begin(),
                             again->attributes.Payload(XFRMA_ALG_CRYPT).end()),
              Algorithm(pair.canonical_cipher, pair.cipher_key));
    EXPECT_EQ(testing::Bytes(again->attributes.Payload(XFRMA_ALG_AUTH).begin(),
                             again->attributes.Payload(XFRMA_ALG_AUTH).end()),
              Algorithm(pair.canonical_auth, pair.auth_key));
    EXPECT_EQ(testing::Bytes(again->attributes.Payload(XFRMA_ALG_AUTH_TRUNC).begin(),
                             again->attributes.Payload(XFRMA_ALG_AUTH_TRUNC).end()),
              AuthTrunc(pair.canonical_auth, pair.auth_key, pair.default_icv_bits));
  }
}

TEST(SaAlgorithmTest, EveryAeadOfTheTableIsTakenWithEachKeyAndIcv) {
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (row.kind != AlgorithmKind::kAead) continue;
    for (const uint16_t key : row.key_bytes) {
      for (const uint8_t icv : row.icv_bytes) {
        if (key == 0 || icv == 0) continue;
        SCOPED_TRACE(std::string(row.name) + " key " + std::to_string(key));
        const std::size_t material = std::size_t{key} + row.salt_bytes;
        const auto spec = Decode(NewSa().AttrBytes(
            XFRMA_ALG_AEAD, testing::Aead(row.name, material, uint32_t{icv} * 8)));
        ASSERT_TRUE(spec.has_value()) << spec.error().message;
        EXPECT_EQ(spec->aead.descriptor, &row);
        EXPECT_EQ(spec->aead.icv_bits, icv * 8);
        const auto odd = Decode(NewSa().AttrBytes(
            XFRMA_ALG_AEAD, testing::Aead(row.name, material + 1, uint32_t{icv} * 8)));
        ASSERT_FALSE(odd.has_value());
        EXPECT_EQ(odd.error().message, kCryptoText);
      }
    }
  }
}

TEST(SaAlgorithmTest, AuthTruncTakesEveryWholeByteUpToTheFullLength) {
  for (const uint32_t bits : {8u, 80u, 96u, 128u, 160u, 256u}) {
    const auto spec =
        Decode(NewSa()
                   .AttrBytes(XFRMA_ALG_CRYPT, Algorithm("aes", 16))
                   .AttrBytes(XFRMA_ALG_AUTH_TRUNC, AuthTrunc("hmac(sha256)", 32, bits)));
    ASSERT_TRUE(spec.has_value()) << bits << spec.error().message;
    EXPECT_EQ(spec->pair->auth.icv_bits, bits);
    EXPECT_TRUE(spec->pair->auth.explicit_truncation);
  }
  const auto zero = Decode(NewSa()
                               .AttrBytes(XFRMA_ALG_CRYPT, Algorithm("aes", 16))
                               .AttrBytes(XFRMA_ALG_AUTH_TRUNC, AuthTrunc("hmac(sha256)", 32, 0)));
  ASSERT_TRUE(zero.has_value());
  EXPECT_EQ(zero->pair->auth.icv_bits, 96) << "0 requests the default";
  for (const uint32_t bits : {1u, 97u, 264u, 0xfffffff8u}) {
    const auto spec =
        Decode(NewSa()
                   .AttrBytes(XFRMA_ALG_CRYPT, Algorithm("aes", 16))
                   .AttrBytes(XFRMA_ALG_AUTH_TRUNC, AuthTrunc("hmac(sha256)", 32, bits)));
    ASSERT_FALSE(spec.has_value()) << bits;
    EXPECT_EQ(spec.error().code, Errc::kInvalid);
    EXPECT_EQ(spec.error().message, "Invalid length requested for truncated ICV");
  }
}

// charon sends back both forms when it moves an SA.
TEST(SaAlgorithmTest, AuthTruncWinsOverAuth) {
  const auto spec = Decode(NewSa()
                               .AttrBytes(XFRMA_ALG_CRYPT, Algorithm("aes", 16))
                               .AttrBytes(XFRMA_ALG_AUTH_TRUNC, AuthTrunc("hmac(sha256)", 32, 128))
                               .AttrBytes(XFRMA_ALG_AUTH, Algorithm("hmac(sha256)", 32)));
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->pair->auth.icv_bits, 128);
}

struct Refusal {
  const char* name;
  Message message;
  Errc code;
  const char* text;
};

TEST(SaAlgorithmTest, WeakUnknownUnfitAndUnauthenticatedAreRefused) {
  const auto pair = [](const char* cipher, std::size_t cipher_key, const char* auth,
                       std::size_t auth_key) {
    return std::move(NewSa()
                         .AttrBytes(XFRMA_ALG_CRYPT, Algorithm(cipher, cipher_key))
                         .AttrBytes(XFRMA_ALG_AUTH, Algorithm(auth, auth_key)));
  };
  constexpr const char* kNoCrypt = "Requested CRYPT algorithm not found";
  constexpr const char* kNoAuth = "Requested AUTH algorithm not found";
  constexpr const char* kUnauthenticated =
      "Encryption without authentication is refused (RFC 8221): add an AUTH algorithm or use an "
      "AEAD";
  Refusal refusals[] = {
      {"md5", pair("aes", 16, "md5", 16), Errc::kNotImplemented, kNoAuth},
      {"hmac(md5)", pair("aes", 16, "hmac(md5)", 16), Errc::kNotImplemented, kNoAuth},
      {"rmd160", pair("aes", 16, "hmac(rmd160)", 20), Errc::kNotImplemented, kNoAuth},
      {"digest_null", pair("aes", 16, "digest_null", 0), Errc::kNotImplemented, kNoAuth},
      {"des", pair("des", 8, "sha1", 20), Errc::kNotImplemented, kNoCrypt},
      {"cbc(des)", pair("cbc(des)", 8, "sha1", 20), Errc::kNotImplemented, kNoCrypt},
      {"blowfish", pair("blowfish", 16, "sha1", 20), Errc::kNotImplemented, kNoCrypt},
      {"cast5", pair("cast5", 16, "sha1", 20), Errc::kNotImplemented, kNoCrypt},
      {"an AEAD as a cipher", pair("rfc4106(gcm(aes))", 20, "sha1", 20), Errc::kNotImplemented,
       kNoCrypt},
      {"auth-trunc",
       std::move(NewSa()
                     .AttrBytes(XFRMA_ALG_CRYPT, Algorithm("aes", 16))
                     .AttrBytes(XFRMA_ALG_AUTH_TRUNC, AuthTrunc("md5", 16, 96))),
       Errc::kNotImplemented, "Requested AUTH_TRUNC algorithm not found"},
      {"aes key 17", pair("aes", 17, "sha1", 20), Errc::kInvalid, kCryptoText},
      {"aes key 0", pair("aes", 0, "sha1", 20), Errc::kInvalid, kCryptoText},
      {"ctr key without nonce", pair("rfc3686(ctr(aes))", 16, "sha1", 20), Errc::kInvalid,
       kCryptoText},
      {"3des key 16", pair("des3_ede", 16, "sha1", 20), Errc::kInvalid, kCryptoText},
      {"null key 1", pair("cipher_null", 1, "sha1", 20), Errc::kInvalid, kCryptoText},
      {"hmac key 0", pair("aes", 16, "sha1", 0), Errc::kInvalid, kCryptoText},
      {"xcbc key 20", pair("aes", 16, "xcbc(aes)", 20), Errc::kInvalid, kCryptoText},
      {"cipher alone", std::move(NewSa().AttrBytes(XFRMA_ALG_CRYPT, Algorithm("aes", 16))),
       Errc::kInvalid, kUnauthenticated},
      {"null alone", std::move(NewSa().AttrBytes(XFRMA_ALG_CRYPT, Algorithm("cipher_null", 0))),
       Errc::kInvalid, kUnauthenticated},
      {"authenticator alone", std::move(NewSa().AttrBytes(XFRMA_ALG_AUTH, Algorithm("sha1", 20))),
       Errc::kInvalid, "Encryption algorithm must be provided"},
  };
  for (Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.name);
    const auto spec = Decode(refusal.message);
    ASSERT_FALSE(spec.has_value());
    EXPECT_EQ(spec.error().code, refusal.code);
    EXPECT_EQ(spec.error().message, refusal.text);
  }
}

}  // namespace
}  // namespace cygnet::xfrm
