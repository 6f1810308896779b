#include "plugin/modules/cryptodev/transforms.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <rte_cryptodev.h>

#include <string_view>

namespace cygnet::cryptodev {
namespace {

struct Aead {
  const char* name;
  rte_crypto_aead_algorithm algorithm;
};
constexpr Aead kAeads[] = {
    {"rfc4106(gcm(aes))", RTE_CRYPTO_AEAD_AES_GCM},
    {"rfc7539esp(chacha20,poly1305)", RTE_CRYPTO_AEAD_CHACHA20_POLY1305},
};
constexpr uint32_t kAeadIvBytes = 12;

constexpr Cipher kCiphers[] = {
    {"cbc(aes)", RTE_CRYPTO_CIPHER_AES_CBC, 16, 16},
    {"rfc3686(ctr(aes))", RTE_CRYPTO_CIPHER_AES_CTR, 16, 1},
};
constexpr std::string_view kNullCipher = "ecb(cipher_null)";

struct Auth {
  const char* name;
  rte_crypto_auth_algorithm algorithm;
  const char* hash;  // OpenSSL's name
  uint32_t block_bytes;
};
constexpr Auth kAuths[] = {
    {"hmac(sha1)", RTE_CRYPTO_AUTH_SHA1_HMAC, "SHA1", 64},
    {"hmac(sha256)", RTE_CRYPTO_AUTH_SHA256_HMAC, "SHA256", 64},
    {"hmac(sha384)", RTE_CRYPTO_AUTH_SHA384_HMAC, "SHA384", 128},
    {"hmac(sha512)", RTE_CRYPTO_AUTH_SHA512_HMAC, "SHA512", 128},
};
constexpr uint32_t kHashBytes[] = {20, 32, 48, 64};

constexpr uint32_t kMinIcvBytes = 4;  // the word of an ESN lies under it

template <typename Row, std::size_t kRows>
const Row* Find(const Row (&rows)[kRows], std::string_view name) {
  for (const Row& row : rows) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

uint32_t CipherKeyBytes(const cygnet_session_params& params) {
  return params.cipher.key.length - params.cipher.salt_bytes;
}

// RFC 2104: a key that is longer than the block is hashed first. Some devices do not.
const Auth* HashedFirst(const cygnet_session_params& params) {
  const Auth* auth = Find(kAuths, params.auth.name);
  return auth != nullptr && params.auth.key.length > auth->block_bytes ? auth : nullptr;
}

uint32_t AuthKeyBytes(const cygnet_session_params& params) {
  const Auth* hashed = HashedFirst(params);
  return hashed != nullptr ? kHashBytes[hashed - kAuths] : params.auth.key.length;
}

const rte_cryptodev_symmetric_capability* Capability(
    uint8_t device, const rte_cryptodev_sym_capability_idx& index) {
  return rte_cryptodev_sym_capability_get(device, &index);
}

}  // namespace

std::optional<Suite> SuiteOf(const cygnet_session_params& params) {
  Suite suite;
  suite.seal = params.direction == CYGNET_SEAL;
  if (params.auth.name == nullptr) {
    const Aead* aead = Find(kAeads, params.cipher.name);
    if (aead == nullptr) return std::nullopt;
    suite.aead = true;
    suite.aead_algorithm = aead->algorithm;
    suite.iv_bytes = kAeadIvBytes;
    suite.icv_bytes = params.cipher.icv_bytes;
    return suite;
  }
  const Auth* auth = Find(kAuths, params.auth.name);
  suite.cipher = Find(kCiphers, params.cipher.name);
  if (auth == nullptr || (suite.cipher == nullptr && kNullCipher != params.cipher.name)) {
    return std::nullopt;
  }
  suite.auth_algorithm = auth->algorithm;
  suite.icv_bytes = params.auth.icv_bytes;
  if (suite.icv_bytes < kMinIcvBytes) return std::nullopt;
  if (suite.cipher != nullptr) {
    suite.iv_bytes = suite.cipher->iv_bytes;
    if (suite.cipher->block_bytes > 1) suite.text_front = suite.cipher->iv_bytes;
  }
  return suite;
}

bool DeviceDoes(uint8_t device, const Suite& suite, const cygnet_session_params& params) {
  if (suite.aead) {
    const auto* can = Capability(
        device, {.type = RTE_CRYPTO_SYM_XFORM_AEAD, .algo = {.aead = suite.aead_algorithm}});
    const auto does = [&](uint16_t aad) {
      return rte_cryptodev_sym_capability_check_aead(can,
                                                     static_cast<uint16_t>(CipherKeyBytes(params)),
                                                     static_cast<uint16_t>(suite.icv_bytes), aad,
                                                     static_cast<uint16_t>(suite.iv_bytes)) == 0;
    };
    return can != nullptr && does(kEspAadBytes) && does(kEsnAadBytes);
  }
  const auto* auth = Capability(
      device, {.type = RTE_CRYPTO_SYM_XFORM_AUTH, .algo = {.auth = suite.auth_algorithm}});
  if (auth == nullptr ||
      rte_cryptodev_sym_capability_check_auth(auth, static_cast<uint16_t>(AuthKeyBytes(params)),
                                              static_cast<uint16_t>(suite.icv_bytes), 0) != 0) {
    return false;
  }
  if (suite.cipher == nullptr) return true;
  const auto* cipher = Capability(
      device, {.type = RTE_CRYPTO_SYM_XFORM_CIPHER, .algo = {.cipher = suite.cipher->algorithm}});
  return cipher != nullptr && rte_cryptodev_sym_capability_check_cipher(
                                  cipher, static_cast<uint16_t>(CipherKeyBytes(params)),
                                  static_cast<uint16_t>(suite.iv_bytes)) == 0;
}

Transforms::Transforms(const Suite& suite, const cygnet_session_params& params, uint16_t aad_bytes,
                       uint16_t iv_offset) {
  if (suite.aead) {
    FillAead(suite, params, aad_bytes, iv_offset);
  } else {
    FillPair(suite, params, iv_offset);
  }
}

Transforms::~Transforms() { OPENSSL_cleanse(hashed_key_.data(), hashed_key_.size()); }

void Transforms::FillAead(const Suite& suite, const cygnet_session_params& params,
                          uint16_t aad_bytes, uint16_t iv_offset) {
  first_ = &forms_[0];
  first_->type = RTE_CRYPTO_SYM_XFORM_AEAD;
  rte_crypto_aead_xform& aead = first_->aead;
  aead.op = suite.seal ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT;
  aead.algo = suite.aead_algorithm;
  aead.key.data = params.cipher.key.data;
  aead.key.length = static_cast<uint16_t>(CipherKeyBytes(params));
  aead.iv.offset = iv_offset;
  aead.iv.length = static_cast<uint16_t>(suite.iv_bytes);
  aead.digest_length = static_cast<uint16_t>(suite.icv_bytes);
  aead.aad_length = aad_bytes;
}

// Seal: encrypt, then authenticate. Open: verify, then decrypt.
void Transforms::FillPair(const Suite& suite, const cygnet_session_params& params,
                          uint16_t iv_offset) {
  rte_crypto_sym_xform& cipher = forms_[0];
  rte_crypto_sym_xform& auth = forms_[1];
  auth.type = RTE_CRYPTO_SYM_XFORM_AUTH;
  auth.auth.op = suite.seal ? RTE_CRYPTO_AUTH_OP_GENERATE : RTE_CRYPTO_AUTH_OP_VERIFY;
  auth.auth.algo = suite.auth_algorithm;
  auth.auth.key.data = params.auth.key.data;
  if (const Auth* hashed = HashedFirst(params)) {
    if (EVP_Q_digest(nullptr, hashed->hash, nullptr, params.auth.key.data, params.auth.key.length,
                     hashed_key_.data(), nullptr) != 1) {
      return;
    }
    auth.auth.key.data = hashed_key_.data();
  }
  auth.auth.key.length = static_cast<uint16_t>(AuthKeyBytes(params));
  auth.auth.digest_length = static_cast<uint16_t>(suite.icv_bytes);
  first_ = &auth;
  if (suite.cipher == nullptr) return;
  cipher.type = RTE_CRYPTO_SYM_XFORM_CIPHER;
  cipher.cipher.op = suite.seal ? RTE_CRYPTO_CIPHER_OP_ENCRYPT : RTE_CRYPTO_CIPHER_OP_DECRYPT;
  cipher.cipher.algo = suite.cipher->algorithm;
  cipher.cipher.key.data = params.cipher.key.data;
  cipher.cipher.key.length = static_cast<uint16_t>(CipherKeyBytes(params));
  cipher.cipher.iv.offset = iv_offset;
  cipher.cipher.iv.length = static_cast<uint16_t>(suite.iv_bytes);
  first_ = suite.seal ? &cipher : &auth;
  first_->next = suite.seal ? &auth : &cipher;
}

}  // namespace cygnet::cryptodev
