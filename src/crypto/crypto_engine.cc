#include "crypto/crypto_engine.h"

namespace cygnet {

std::string Text(const ModuleIdentity& identity) {
  return identity.model + (identity.version.empty() ? "" : " " + identity.version);
}

Status CheckSessionParams(const CryptoEngine& engine, const SessionParams& params) {
  const auto refuse = [&engine](const char* what) {
    return MakeError(Errc::kInvalid, std::string(engine.name()) + ": " + what);
  };
  if (params.cipher == nullptr || !engine.Supports(*params.cipher, params.auth)) {
    return refuse("unsupported algorithm");
  }
  if (!params.cipher->AcceptsKeyMaterial(params.key.size())) return refuse("wrong key length");
  if (params.auth != nullptr && !params.auth->AcceptsKeyMaterial(params.auth_key.size())) {
    return refuse("wrong authentication key length");
  }
  const AlgorithmDescriptor& integrity = params.auth != nullptr ? *params.auth : *params.cipher;
  if (!integrity.AcceptsIcv(params.icv_bytes)) return refuse("wrong ICV length");
  if (params.queues == 0 || params.queues > kMaxCryptoQueues) return refuse("wrong queue count");
  return {};
}

}  // namespace cygnet
