#include "control/numbers/keyed_hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <memory>

#include "base/check.h"

namespace cygnet {
namespace {

struct Free {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MAC_CTX, Free>;

// HMAC-SHA256 without a key. To look for both algorithms takes several times as long as a hash.
Context Prepared() {
  const std::unique_ptr<EVP_MAC, Free> mac(EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr));
  CYGNET_CHECK(mac != nullptr);
  Context context(EVP_MAC_CTX_new(mac.get()));
  char digest[] = OSSL_DIGEST_NAME_SHA2_256;
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  CYGNET_CHECK(context != nullptr && EVP_MAC_CTX_set_params(context.get(), parameters) == 1);
  return context;
}

Context CopyOfPrepared() {
  static const Context prepared = Prepared();
  return Context(EVP_MAC_CTX_dup(prepared.get()));
}

}  // namespace

// A copy for each key: OpenSSL wipes it when it is freed.
struct KeyedHasher::Context {
  const std::unique_ptr<EVP_MAC_CTX, Free> mac;
};

KeyedHasher::KeyedHasher(const KeyMaterial& key) : context_(new Context{CopyOfPrepared()}) {
  EVP_MAC_CTX* const mac = context_->mac.get();
  CYGNET_CHECK(mac != nullptr && EVP_MAC_init(mac, key.bytes().data(), key.size(), nullptr) == 1);
}

KeyedHasher::~KeyedHasher() = default;

std::array<uint8_t, 32> KeyedHasher::Hash(std::span<const uint8_t> bytes) {
  EVP_MAC_CTX* const mac = context_->mac.get();
  std::array<uint8_t, 32> hash{};
  std::size_t length = 0;
  // The second time without a key: it keeps the one that it has.
  CYGNET_CHECK(EVP_MAC_init(mac, nullptr, 0, nullptr) == 1 &&
               EVP_MAC_update(mac, bytes.data(), bytes.size()) == 1 &&
               EVP_MAC_final(mac, hash.data(), &length, hash.size()) == 1 && length == hash.size());
  return hash;
}

std::array<uint8_t, 32> KeyedHash(const KeyMaterial& key, std::span<const uint8_t> bytes) {
  return KeyedHasher(key).Hash(bytes);
}

}  // namespace cygnet
