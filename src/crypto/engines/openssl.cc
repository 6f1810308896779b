// Engine over OpenSSL's EVP interface: every algorithm of the table, the reference for every other
// engine, and the FIPS-capable one. openssl_aead.cc and openssl_pair.cc hold the sessions.
#include <openssl/crypto.h>

#include "crypto/engines/openssl_session.h"

namespace cygnet {
namespace {

class OpensslQueue final : public CryptoQueue {
 public:
  explicit OpensslQueue(uint32_t number) : number_(number) {}

  std::size_t Submit(std::span<CryptoJob> jobs) override {
    for (std::size_t begin = 0; begin < jobs.size();) {
      std::size_t end = begin + 1;
      while (end < jobs.size() && jobs[end].session == jobs[begin].session) ++end;
      static_cast<openssl::Session*>(jobs[begin].session)
          ->Run(number_, jobs.subspan(begin, end - begin));
      begin = end;
    }
    return jobs.size();
  }

 private:
  const uint32_t number_;
};

class OpensslEngine final : public CryptoEngine {
 public:
  std::string_view name() const override { return "openssl"; }

  // A cipher wants an authenticator: what nobody authenticates (RFC 8221 section 4) is not opened.
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override {
    if (cipher.kind == AlgorithmKind::kAead) return auth == nullptr;
    return cipher.kind == AlgorithmKind::kCipher && auth != nullptr &&
           auth->kind == AlgorithmKind::kAuth;
  }

  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override {
    CYGNET_RETURN_IF_ERROR(CheckSessionParams(*this, params));
    return params.auth == nullptr ? openssl::CreateAeadSession(params)
                                  : openssl::CreatePairSession(params);
  }

  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override {
    return std::make_unique<OpensslQueue>(number);
  }
};

}  // namespace

extern const EngineInfo kOpensslEngine;
const EngineInfo kOpensslEngine = {
    .name = "openssl",
    .help = "OpenSSL libcrypto on the CPU",
    .probe = [] { return 10; },
    .create = [](const EngineOptions&) -> std::unique_ptr<CryptoEngine> {
      return std::make_unique<OpensslEngine>();
    },
    .version = [] { return std::string(OpenSSL_version(OPENSSL_VERSION_STRING)); },
};

}  // namespace cygnet
