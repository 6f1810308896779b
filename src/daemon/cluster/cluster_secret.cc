#include "daemon/cluster/cluster_secret.h"

#include "base/text_file.h"
#include "control/numbers/number_identity.h"

namespace cygnet {

Result<KeyMaterial> ReadClusterSecret(const std::string& path) {
  auto text = ReadOwnFile(path);
  if (!text) return text.error();
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text->data()),
                                       text->size());
  const bool fits = bytes.size() >= kNumberSecretBytes && bytes.size() <= KeyMaterial::kMaxBytes;
  Result<KeyMaterial> secret = MakeError(
      Errc::kInvalid, path + ": it has " + std::to_string(bytes.size()) +
                          " bytes; a cluster's secret has " + std::to_string(kNumberSecretBytes) +
                          " to " + std::to_string(KeyMaterial::kMaxBytes) + " random bytes");
  if (fits) secret = KeyMaterial(bytes);
  SecureWipe(text->data(), text->size());
  return secret;
}

}  // namespace cygnet
