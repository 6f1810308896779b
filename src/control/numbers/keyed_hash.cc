#include "control/numbers/keyed_hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

namespace cygnet {

std::array<uint8_t, 32> KeyedHash(const KeyMaterial& key, std::span<const uint8_t> bytes) {
  std::array<uint8_t, 32> hash{};
  unsigned int length = 0;
  CYGNET_CHECK(HMAC(EVP_sha256(), key.bytes().data(), static_cast<int>(key.size()), bytes.data(),
                    bytes.size(), hash.data(), &length) != nullptr &&
               length == hash.size());
  return hash;
}

}  // namespace cygnet
