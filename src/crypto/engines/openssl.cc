// Engine over OpenSSL's EVP interface. It supports every algorithm of the table, is the reference
// for every other engine, and is the FIPS-capable one. openssl_aead.cc and openssl_pair.cc hold the
// sessions.
#include <openssl/crypto.h>

#include <array>

#include "crypto/engines/openssl_session.h"

namespace cygnet {

namespace openssl {

const char* CipherName(AlgorithmId id, std::size_t key_bytes) {
  const auto by_size = [key_bytes](const char* k128, const char* k192, const char* k256) {
    return key_bytes == 16 ? k128 : key_bytes == 24 ? k192 : k256;
  };
  switch (id) {
    case AlgorithmId::kAesGcm:
    case AlgorithmId::kAesGmac:
      return by_size("AES-128-GCM", "AES-192-GCM", "AES-256-GCM");
    case AlgorithmId::kAesCcm:
      return by_size("AES-128-CCM", "AES-192-CCM", "AES-256-CCM");
    case AlgorithmId::kChaCha20Poly1305:
      return "ChaCha20-Poly1305";
    case AlgorithmId::kAesCbc:
      return by_size("AES-128-CBC", "AES-192-CBC", "AES-256-CBC");
    case AlgorithmId::kAesCtr:
      return by_size("AES-128-CTR", "AES-192-CTR", "AES-256-CTR");
    case AlgorithmId::kDes3Cbc:
      return "DES-EDE3-CBC";
    default:
      return nullptr;
  }
}

}  // namespace openssl

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
  explicit OpensslEngine(openssl::LibraryPtr library) : library_(std::move(library)) {
    for (const AlgorithmDescriptor& row : AllAlgorithms()) {
      does_.at(static_cast<std::size_t>(row.id)) = Does(row);
    }
  }

  std::string_view name() const override { return "openssl"; }
  ModuleIdentity identity() const override { return library_->identity(); }

  // A cipher requires an authenticator: unauthenticated data is never decrypted (RFC 8221 section
  // 4).
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override {
    const auto does = [this](const AlgorithmDescriptor& row) {
      return does_[static_cast<std::size_t>(row.id)];
    };
    if (!does(cipher) || (auth != nullptr && !does(*auth))) return false;
    if (cipher.kind == AlgorithmKind::kAead) return auth == nullptr;
    return cipher.kind == AlgorithmKind::kCipher && auth != nullptr &&
           auth->kind == AlgorithmKind::kAuth;
  }

  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override {
    CYGNET_RETURN_IF_ERROR(CheckSessionParams(*this, params));
    return params.auth == nullptr ? openssl::CreateAeadSession(library_, params)
                                  : openssl::CreatePairSession(library_, params);
  }

  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override {
    return std::make_unique<OpensslQueue>(number);
  }

 private:
  // If openssl.cnf activates only the FIPS provider, the process's own context lacks some
  // algorithms.
  bool Does(const AlgorithmDescriptor& row) const {
    // The null cipher is not cryptography; the engine does not decide whether an SA may use it.
    if (row.id == AlgorithmId::kNullCipher) return true;
    if (library_->fips_mode() && !row.fips_approved) return false;
    if (row.kind == AlgorithmKind::kAuth) return true;  // HMAC and AES always exist
    return library_->Cipher(openssl::CipherName(row.id, row.key_bytes[0])) != nullptr;
  }

  const openssl::LibraryPtr library_;
  std::array<bool, kAlgorithmCount> does_{};  // by AlgorithmId
};

}  // namespace

extern const EngineInfo kOpensslEngine;
const EngineInfo kOpensslEngine = {
    .name = "openssl",
    .help = "OpenSSL libcrypto on the CPU",
    .probe = [] { return 10; },
    .create = [](const EngineOptions& options) -> std::unique_ptr<CryptoEngine> {
      return std::make_unique<OpensslEngine>(options.fips ? openssl::Library::Fips()
                                                          : openssl::Library::Default());
    },
    .version = [] { return std::string(OpenSSL_version(OPENSSL_VERSION_STRING)); },
};

}  // namespace cygnet
